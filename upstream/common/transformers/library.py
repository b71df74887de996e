"""The transformers library, usable also where torchaudio's compiled part does not fit this PyTorch.

Import `transformers` from here in place of `import transformers`: the library imports torchaudio wherever it
is installed, and fails if that fails, although none of its models needs it.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def _torchaudio_works() -> bool:
    try:
        importlib.import_module("torchaudio")
    except Exception:  # of an extension that does not fit, anything
        return False
    return True


def _without_torchaudio() -> ModuleType:
    """The library after it has looked for torchaudio and found none; it remembers the answer."""
    sys.modules["torchaudio"] = None  # import and find_spec then say that there is no such package
    try:
        library = importlib.import_module("transformers")
        library.utils.is_torchaudio_available.cache_clear()
        library.utils.is_torchaudio_available()
        importlib.import_module("transformers.audio_utils")
    finally:
        del sys.modules["torchaudio"]
    return library


transformers = importlib.import_module("transformers") if _torchaudio_works() else _without_torchaudio()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars and warnings, which tell of unused heads as if of mistakes."""
    logging = transformers.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
