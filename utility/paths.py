"""Where things are: the clone (or the installed package) and the relative paths of configs."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # holds upstream/, downstream/, utility/, ...


def find_path(path: str | Path, *folders: str | Path | None) -> Path:
    """Resolve a path of a config or of the command line.

    A relative path is looked for in the working folder, then in `folders` (such as the folder from which an
    experiment was started first, so that its checkpoint can be evaluated from anywhere; None is passed over),
    then in the repository. When it exists nowhere, it is returned as it is, relative to the working folder.
    """
    path = Path(path).expanduser()
    if not path.is_absolute() and not _exists(path):
        for base in (*folders, ROOT):
            if base is not None and _exists(Path(base) / path):
                return Path(base) / path
    return path


def _exists(path: Path) -> bool:
    """Not so where looking is forbidden, as in the folder in which somebody else has started a run."""
    try:
        return path.exists()
    except PermissionError:
        return False


def files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth, hidden ones left out; links are followed.

    Raises:
        PermissionError: a folder in it must not be read.
    """

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for place, _, names in os.walk(folder, onerror=refuse, followlinks=True):
        yield from (Path(place, name) for name in names if not name.startswith("."))
