"""Where things are: the clone (or the installed package) and the relative paths of configs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # holds upstream/, downstream/, utility/, ...


def find_path(path: str | Path, *folders: str | Path | None) -> Path:
    """Resolve a path of a config or of the command line.

    A relative path is looked for in the working folder, then in `folders`, then in the repository; so that
    a checkpoint can be evaluated from anywhere. When it exists nowhere, it is returned as it is, relative to
    the working folder.

    Args:
        folders: such as the one from which an experiment was started first; None is passed over.
    """
    path = Path(path).expanduser()
    if not path.is_absolute() and not path.exists():
        for base in (*folders, ROOT):
            if base is not None and (Path(base) / path).exists():
                return Path(base) / path
    return path
