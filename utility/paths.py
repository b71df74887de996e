"""Where things are: the clone (or the installed package) and the relative paths of configs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # holds upstream/, downstream/, utility/, ...
_launch_folders: list[Path] = []


def add_launch_folder(folder: str | Path) -> None:
    """Let `find_path` also look in the folder from which an experiment was started first."""
    folder = Path(folder)
    if folder not in _launch_folders:
        _launch_folders.append(folder)


def find_path(path: str | Path, *folders: str | Path) -> Path:
    """Resolve a path of a config or of the command line.

    A relative path is looked for in the working folder, then in `folders` (such as the folder from which an
    experiment was started first, so that its checkpoint can be evaluated from anywhere), then in the
    repository. When it exists nowhere, it is returned as it is, relative to the working folder.
    """
    path = Path(path).expanduser()
    if not path.is_absolute() and not path.exists():
        for base in map(Path, (*folders, *_launch_folders, ROOT)):
            if (base / path).exists():
                return base / path
    return path
