"""Folders of the user's, wherever they lie, imported as if they lay in a room of ours.

`-d ~/my_task` becomes the package `s3prl.downstream.my_task`, so that `from ..model import *` works inside.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

from s3prl.utility.errors import UserError

MOUNTED = "S3PRL_MOUNTED"  # environment variable: {package: folder}, for workers that import anew


def is_path(name: str) -> bool:
    """Whether a name on the command line means a folder: `./mine`, `~/mine`, `models/mine`."""
    return "/" in name or os.sep in name or name.startswith(("~", "."))


def absolute(name: str | None) -> str | None:
    """The path of a folder made absolute (also in `FOLDER:ENTRY`); what is none stays as it is."""
    if name is None or not is_path(name):
        return name
    folder, colon, entry = name.partition(":")
    path = Path(folder).expanduser().resolve()
    return f"{path}{colon}{entry}" if path.is_dir() else name


def check_stored(name: str | None, checkpoint: object, options: str = "-u and -d") -> None:
    """A checkpoint names code by absolute paths; one from elsewhere may not name code that came with it.

    Args:
        options: what is needed beside -i.

    Raises:
        UserError: the name is a relative path.
    """
    if name is not None and is_path(name) and not Path(name).is_absolute():
        raise UserError(
            f"{checkpoint} asks for code of the relative path {name}, which is not what training writes. If "
            f"you trust that folder, take only the weights: -i in place of -e, with {options}."
        )


def mount(package: str, folder: Path) -> None:
    """Make `folder` importable as `package`, whose parent package is there; what it replaces is forgotten.

    Raises:
        Exception: whatever the folder's `__init__.py` raises.
    """
    known = sys.modules.get(package)
    if known is not None and list(known.__path__) == [str(folder)]:
        return
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]
    init = folder / "__init__.py"
    if init.is_file():
        spec = importlib.util.spec_from_file_location(package, init, submodule_search_locations=[str(folder)])
    else:
        spec = importlib.util.spec_from_loader(package, loader=None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    module = sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        if spec.loader is not None:
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[package]
        raise
    os.environ[MOUNTED] = json.dumps({**_mounted(), package: str(folder)})


def mount_inherited(room: str) -> None:
    """In a worker that imports anew, mount what its parent process has mounted in `room` (a package)."""
    for package, folder in _mounted().items():
        if package.rpartition(".")[0] == room and Path(folder).is_dir():
            mount(package, Path(folder))


def _mounted() -> dict[str, str]:
    return json.loads(os.environ.get(MOUNTED) or "{}")
