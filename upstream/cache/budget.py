"""How much a cache may hold: the user's limit, and what the disk keeps free for checkpoints."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from s3prl.utility.errors import UserError, free_space

from ..tools.text import in_units

LIMIT = "200G"  # unless the user says otherwise
PUBLIC_BATCH = (
    "--cache keeps the features that an utterance has alone, --upstream_public_batch gives those of its "
    "batch. Give one of them."
)
MEASURED_EVERY = 64 << 20  # bytes written by this process between two looks at the disk
RESERVE = 1 << 30  # bytes that stay free on the disk,
RESERVE_OF_DISK = 0.05  # or this part of it, where that is less
NO_LIMIT = 1 << 62  # bytes
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_size(text: str | int, option: str = "--cache_limit") -> int:
    """Bytes: of `200G`, `500M`, `1.5T`, `64GiB` or a plain number.

    Raises:
        UserError: it is none of these; the message names the option.
    """
    match = SIZE.fullmatch(str(text).strip())
    if match is None or (match[3] and not match[2]):
        raise UserError(
            f"{option} {text} is not a size. Give bytes, or a number with a unit, such as 200G, 500M or 1.5T."
        )
    number, unit, binary = float(match[1]), match[2].lower(), bool(match[3])
    factor = 1024 ** list(UNITS).index(unit) if binary else UNITS[unit]
    return round(number * factor)


def show_size(size: int) -> str:
    """`3.4 GB`"""
    return in_units(size, "B")


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder and below; those that vanish meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total


class Budget:
    """Whether there is space for more in a cache.

    The folder and the disk are looked at from the first question on, and again and again: other processes
    write too. In between, what this process wrote is counted.

    Attributes:
        limit: bytes that the whole folder may hold, if it has a limit.
        reason: why the latest refusal was one, for the log; None before the first.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self.folder, self.limit = Path(folder), limit
        self.reason: str | None = None
        self._room: int | None = None  # bytes that could be written when last measured
        self._by_limit = False  # whether the limit allows less than the disk
        self._written = 0  # bytes since then

    def wrote(self, size: int) -> None:
        """This process has written so many bytes."""
        self._written += size

    def room(self) -> int:
        """Bytes that may be written now; negative where that is too much already."""
        self._measure()
        return self._room

    def allows(self, size: int) -> bool:
        """Whether so many bytes more may be written; if not, `reason` says why."""
        due = self._room is None or self._written >= min(MEASURED_EVERY, self._room // 4)
        if due or self._written + size > self._room:
            self._measure()
        if self._written + size <= self._room:
            return True
        self.reason = self._reason()
        return False

    def _measure(self) -> None:
        self._written = 0
        of_disk = self._disk()
        of_limit = NO_LIMIT if self.limit is None else self.limit - folder_size(self.folder)
        self._room, self._by_limit = min(of_limit, of_disk), of_limit < of_disk

    def _disk(self) -> int:
        """Bytes that the disk can take, beyond its reserve."""
        try:
            usage = shutil.disk_usage(self.folder if self.folder.exists() else self.folder.parent)
        except OSError:
            return NO_LIMIT  # it does not say
        return usage.free - min(RESERVE, int(usage.total * RESERVE_OF_DISK))

    def _reason(self) -> str:
        if self._by_limit:
            return f"the cache is at its limit of {show_size(self.limit)} (--cache_limit)"
        return f"the disk of {self.folder} is nearly full ({free_space(self.folder)}, kept for checkpoints)"
