"""Where the public S3PRL lies, for tests that compare with it or run its tasks."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent / "upstream"))  # oracle.py

MARK = Path("downstream") / "emotion" / "expert.py"


def public_package_or_skip() -> Path:
    """The folder `s3prl` of the public package: $PUBLIC_S3PRL, or that of an installed copy."""
    named = os.environ.get("PUBLIC_S3PRL")
    if named:
        if not (Path(named) / MARK).is_file():
            pytest.fail(f"PUBLIC_S3PRL={named} is not the folder s3prl of the public package: no {MARK}")
        return Path(named)
    try:
        installed = metadata.distribution("s3prl")
    except metadata.PackageNotFoundError:
        installed = None
    if installed is None or not installed.version.startswith("0."):  # later ones are this project
        pytest.skip("needs the public package: PUBLIC_S3PRL=its folder s3prl, or pip install s3prl==0.4.18")
    return Path(str(installed.locate_file("s3prl")))


@contextmanager
def public_s3prl(folder: Path) -> Iterator[Callable[[str], Any]]:
    """Inside, the name `s3prl` means the public package; gives a function that imports modules of it.

    Args:
        folder: what public_package_or_skip returned.
    """

    def take_out() -> dict[str, Any]:
        names = [name for name in sys.modules if name.split(".")[0] == "s3prl"]
        return {name: sys.modules.pop(name) for name in names}

    from oracle import torchaudio_or_skip

    torchaudio_or_skip()
    ours = take_out()
    sys.path.insert(0, str(folder.parent))
    try:
        yield lambda name: importlib.import_module(f"s3prl.{name}")
    finally:
        sys.path.remove(str(folder.parent))
        take_out()
        sys.modules.update(ours)
