"""The files below a folder, kept in the user's cache: a corpus of 150,000 files is walked through once."""

import json
import os
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from s3prl.utility.download import hub_dir
from s3prl.utility.files import write_atomically

SETTLED = 2.0  # seconds; a folder changed later than that could change again within its clock's tick


def files_in(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it and sorted; hidden ones left out, links followed.

    What a walk finds is believed in later runs as long as no folder in it has changed: a file that was added,
    renamed or removed changes the time of its folder.

    Raises:
        PermissionError: a folder in it must not be read.
    """
    key = sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    table = hub_dir() / "s3prl_cache" / "folders" / f"{key}.json"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no table, or a damaged one
        known = json.loads(table.read_text("utf-8"))
        if all(_time(folder / place) == changed for place, changed in known["folders"].items()):
            return [str(name) for name in known["files"]]
    folders, files = _walk(folder)
    if time.time_ns() - max(folders.values()) > SETTLED * 1e9:
        with suppress(OSError):  # not writable: the next run walks again
            table.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps({"folders": folders, "files": files})
            write_atomically(table, lambda file: file.write(content.encode()))
    return files


def _walk(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Folders with the times of their last change, and files; both relative to `folder`."""

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    folders, files = {}, []
    for place, _, names in os.walk(folder, onerror=refuse, followlinks=True):
        relative = Path(place).relative_to(folder)
        folders[relative.as_posix()] = _time(Path(place))
        files += [(relative / name).as_posix() for name in names if not name.startswith(".")]
    return folders, sorted(files)


def _time(folder: Path) -> int:
    return folder.stat().st_mtime_ns
