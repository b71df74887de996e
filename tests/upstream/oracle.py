"""torchaudio's pure-Python functions as an oracle, also where its compiled extension cannot load."""

import sys
import types

import pytest


def torchaudio_or_skip():
    """The torchaudio package, with a stand-in for its extension where that does not fit this PyTorch."""
    pytest.importorskip("torch")
    try:
        import torchaudio
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension = types.ModuleType("torchaudio._extension")
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = False
        extension.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = extension
        torchaudio = pytest.importorskip("torchaudio")
    return torchaudio
