"""A table on disk that many processes add to at the same time and none waits for another.

    journal = Journal(Path("cache/recordings"), value_bytes=16)
    journal.add(key, value)  # in any process
    journal.get(key)  # [value], in every other one

Each writing process has a file of its own, `<time>-<random>.journal`: entries of one size, appended one after
the other, each with a checksum. So a torn entry, as a killed process leaves it, is told from a whole one, a
damaged one costs only itself, and no file is ever appended to by a second process.
"""

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from xxhash import xxh64_digest, xxh64_intdigest

from .appender import Appender

KEY_BYTES = 16
CHECKSUM_BYTES = 8
SUFFIX = ".journal"
READ_BYTES = 1 << 20  # of a file at a time
RECHECK_SECONDS = 1.0  # between two looks at the files of other processes


class Journal:
    """From keys of 16 bytes to values of a fixed size; a key may have several values.

    Not thread-safe. It can be pickled and inherited by a forked process: a copy reads the files itself and
    writes to a file of its own.

    Attributes:
        folder: where the files are; need not exist as long as nothing is added.
        value_bytes: the size of a value.
        damaged: how many entries had a wrong checksum.
    """

    def __init__(self, folder: Path, value_bytes: int, seal: bytes = b"") -> None:
        """
        Args:
            seal: what the values depend on (say, the shape of what they describe). Entries that were written
                with another one, or in a folder of another name, do not count.
        """
        self.folder, self.value_bytes, self.seal = Path(folder), value_bytes, seal
        self.damaged = 0
        self.entry_bytes = KEY_BYTES + value_bytes + CHECKSUM_BYTES
        name = self.folder.absolute().name  # not resolved: a set may be a link to another disk
        self._seed = xxh64_intdigest(f"{name} {value_bytes} {sys.byteorder} ".encode() + seal)
        self._values: dict[bytes, bytes] = {}  # values of a key one after the other, the newest last
        self._read: dict[str, int] = {}  # bytes of each file that have been read
        self._looked: float | None = None  # when the files were looked at
        self._own: Appender | None = None

    def __reduce__(self) -> tuple:
        """Only what it was made with travels to another process."""
        return Journal, (self.folder, self.value_bytes, self.seal)

    def __contains__(self, key: bytes) -> bool:
        if key not in self._values:
            self._look_again()
        return key in self._values

    def __len__(self) -> int:
        """The number of keys."""
        self._look_again()
        return len(self._values)

    def __iter__(self) -> Iterator[bytes]:
        """The keys known so far."""
        self._look_again()
        return iter(list(self._values))

    def get(self, key: bytes) -> list[bytes]:
        """The values of a key, the newest last; none where it is not known.

        After a miss the files of other processes are looked at again, at most once a second.
        """
        if key not in self:
            return []
        packed, size = self._values[key], self.value_bytes
        return [packed[at : at + size] for at in range(0, len(packed), size)]

    def add(self, key: bytes, value: bytes) -> None:
        """Add a value to those of a key.

        Raises:
            OSError: it cannot be written: the disk is full, the folder may not be written, ...
        """
        if len(key) != KEY_BYTES or len(value) != self.value_bytes:
            raise ValueError(f"a key has {KEY_BYTES} bytes and a value {self.value_bytes}")
        if self._own is None or not self._own.usable:
            self.folder.mkdir(exist_ok=True)
            self._own = Appender(self.folder / f"{time.time_ns():016x}-{secrets.token_hex(4)}{SUFFIX}")
        self._own.append(key + value + self._checksum(key + value))
        self._read[self._own.path.name] = self._own.size
        self._insert(key, value)

    def forget(self, key: bytes, value: bytes) -> None:
        """Act as if this value had never been read; the files keep it."""
        rest = [other for other in self.get(key) if other != value]
        self._values.pop(key, None)
        if rest:
            self._values[key] = b"".join(rest)

    def refresh(self) -> None:
        """Read what others have added since."""
        self._looked = time.monotonic()
        for name, size in self._grown():
            self._read_on(name, size)

    def _look_again(self) -> None:
        if self._looked is None or time.monotonic() - self._looked >= RECHECK_SECONDS:
            self.refresh()

    def _grown(self) -> list[tuple[str, int]]:
        """The files with unread entries and their sizes, the oldest first."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                if file.name.endswith(SUFFIX):
                    found.append((file.name, _size(file)))
        return sorted((name, size) for name, size in found if size >= self._next(name))

    def _next(self, name: str) -> int:
        """How long a file is at least when it has a whole entry that was not read."""
        return self._read.get(name, 0) + self.entry_bytes

    def _read_on(self, name: str, size: int) -> None:
        """Read the whole entries of a file that are new; what cannot be read is left for another time."""
        chunk_bytes = max(1, READ_BYTES // self.entry_bytes) * self.entry_bytes
        try:
            file = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            while size >= self._next(name):
                start = self._read.get(name, 0)
                chunk = os.pread(file, chunk_bytes, start)
                whole = len(chunk) - len(chunk) % self.entry_bytes
                if not whole:
                    return
                self._take(chunk[:whole])
                self._read[name] = start + whole
        except OSError:
            return
        finally:
            os.close(file)

    def _take(self, entries: bytes) -> None:
        for start in range(0, len(entries), self.entry_bytes):
            end = start + self.entry_bytes - CHECKSUM_BYTES
            body = entries[start:end]
            if self._checksum(body) == entries[end : end + CHECKSUM_BYTES]:
                self._insert(body[:KEY_BYTES], body[KEY_BYTES:])
            else:
                self.damaged += 1

    def _insert(self, key: bytes, value: bytes) -> None:
        known = self._values.get(key)
        self._values[key] = value if known is None else known + value

    def _checksum(self, body: bytes) -> bytes:
        return xxh64_digest(body, self._seed)


def _size(file: os.DirEntry) -> int:
    """In bytes; 0 for what is no file, or none any more."""
    with suppress(OSError):
        if file.is_file():
            return file.stat().st_size
    return 0
