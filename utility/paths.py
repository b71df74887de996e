"""Where things are: the clone (or the installed package) and the relative paths of configs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # holds upstream/, downstream/, utility/, ...


def find_path(path: str | Path, *folders: str | Path | None) -> Path:
    """Resolve a path of a config or of the command line.

    A relative path is looked for in the working folder, then in `folders` (such as the folder from which an
    experiment was started first, so that its checkpoint can be evaluated from anywhere; None is passed over),
    then in the repository. When it exists nowhere, it is returned as it is, relative to the working folder.
    """
    path = Path(path).expanduser()
    if not path.is_absolute() and not path.exists():
        for base in (*folders, ROOT):
            if base is not None and (Path(base) / path).exists():
                return Path(base) / path
    return path
