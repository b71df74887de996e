"""Records of features on disk, written and read by many processes at once.

    store = Store(Path("cache/hubert-0123456789abcdef"), layers=13, dim=768, dtype=torch.float16)
    store.put(key, features, samples)  # [layers, frames, dim]
    store.get(key).values

Each writing process appends records to data files of its own and says in a journal (journal.py) where they
are, how long, and with which checksum; a reader reads all journals and maps the data files. A record counts
from its journal entry on, which is written after it, and only when its bytes have that checksum. So nobody
waits for anybody, SIGKILL and a full disk leave bytes that no entry points to, and a damaged byte is a miss.

Why not one of the usual stores:

- lmdb: one writer at a time, a size that is fixed in advance, unsafe on network file systems, no checksums;
- safetensors, npz: files cannot grow, so one for each utterance, which are millions;
- HDF5, zarr: no concurrent writers of one file, or again a file for each utterance;
- a database of blobs (SQLite): one writer at a time, and every read copies.
"""

import errno
import mmap
import os
import secrets
import shlex
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from xxhash import xxh3_64_intdigest

from s3prl.utility.commands import command_line
from s3prl.utility.progress import say

from .appender import Appender
from .budget import Budget
from .journal import Journal

SUFFIX = ".data"
ALIGNMENT = 64  # bytes; a record begins at a multiple
LARGEST_FILE = 2 << 30  # bytes, after which a process begins its next data file
MOST_MAPS = 256  # each holds a file open, and a process may have 1024
NOT_MAPPED = (errno.ENOMEM, errno.ENODEV)  # limits of address space, file systems without maps
TOO_SHORT = "the file is too short"
LAYOUT = struct.Struct("<QQQIQ")  # of a Record


class Stored(NamedTuple):
    """What is kept of an utterance.

    Attributes:
        values: [layers, frames, dim] in the store's dtype: the mapped file itself, not to be written to.
        samples: of the utterance, at 16 kHz.
    """

    values: Tensor
    samples: int


class Record(NamedTuple):
    """Where the features of an utterance are: the value of a journal entry."""

    file: int  # names the data file
    offset: int  # in bytes
    samples: int
    frames: int
    checksum: int


class Store:
    """Features by key (16 bytes), all of one number of layers, one dimension and one dtype.

    Any content of any file leads to features that were put in, or to none. Not thread-safe. It can be
    pickled and inherited by a forked process: a copy opens the files itself and writes to others.

    Attributes:
        full: why nothing is stored any more, once that is so.
        damaged: how many damaged records have been found.
        advice_when_full: what is said then behind the reason.
        advice_on_damage: what is said of the first damaged record; None names the command that finds all.
    """

    advice_when_full = "features that are not cached yet are computed as without --cache; nothing is removed."
    advice_on_damage: str | None = None

    def __init__(
        self,
        folder: Path,
        layers: int,
        dim: int,
        dtype: torch.dtype,
        budget: Budget | None = None,
    ) -> None:
        """
        Args:
            folder: of this store alone. It is made with the first record; the folder above it must exist.
            budget: asked before every record.
        """
        self.folder, self.layers, self.dim, self.dtype = Path(folder), layers, dim, dtype
        self.budget = budget
        self.full: str | None = None
        self.damaged = 0
        self._journal = Journal(self.folder, LAYOUT.size, f"{layers} {dim} {dtype}".encode())
        self._maps: dict[int, mmap.mmap] = {}  # the latest used last
        self._own: Appender | None = None

    def __reduce__(self) -> tuple:
        """Only what it was made with travels to another process."""
        return Store, (self.folder, self.layers, self.dim, self.dtype, self.budget)

    def __contains__(self, key: bytes) -> bool:
        """Whether there is an entry; what others have written is looked at again once a second."""
        return key in self._journal

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self._journal)

    def __iter__(self) -> Iterator[bytes]:
        """The keys."""
        return iter(self._journal)

    def refresh(self) -> None:
        """Look now at what others have written."""
        self._journal.refresh()

    def samples(self, key: bytes) -> int | None:
        """The length of an utterance at 16 kHz."""
        record = self._latest(key)
        return None if record is None else record.samples

    def frames(self, key: bytes) -> int | None:
        """The number of frames of an utterance."""
        record = self._latest(key)
        return None if record is None else record.frames

    def get(self, key: bytes) -> Stored | None:
        """The features of an utterance; None where there are none.

        A damaged record is told of on stderr (the first one), counted, and does not exist from then on: the
        next `put` stores its features anew.
        """
        for value in reversed(self._journal.get(key)):
            record = _record(value)
            try:
                return Stored(self._read(record), record.samples)
            except FileNotFoundError:  # the cache was cleared meanwhile
                pass
            except (OSError, ValueError) as error:
                self._tell_of_damage(record, _reason(error))
            self._journal.forget(key, value)
        return None

    def prefetch(self, key: bytes) -> None:
        """Ask the system to read a record from the disk soon, without waiting for it."""
        record = self._latest(key)
        if record is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        with suppress(OSError, ValueError):
            start = record.offset // mmap.PAGESIZE * mmap.PAGESIZE
            end = record.offset + self.size(record)
            self._map(record.file, end).madvise(mmap.MADV_WILLNEED, start, end - start)

    def put(self, key: bytes, values: Tensor, samples: int) -> bool:
        """Keep the features of an utterance; one that is there already is not stored again.

        Where there is no space, or the folder may not be written, this is said on stderr, and nothing is
        stored from then on.

        Args:
            values: [layers, frames, dim] on any device; converted to the store's dtype.
            samples: of the utterance, at 16 kHz.

        Returns:
            Whether they are in the store.
        """
        if values.dim() != 3 or (len(values), values.shape[2]) != (self.layers, self.dim):
            raise ValueError(f"{list(values.shape)} in a store of [{self.layers}, frames, {self.dim}]")
        if key in self:
            return True
        if self.full is not None:
            return False
        values = values.detach().to("cpu", self.dtype).contiguous()
        size = values.numel() * values.element_size() + ALIGNMENT + self._journal.entry_bytes
        if self.budget is not None and not self.budget.allows(size):
            return self._stop(self.budget.reason)
        try:
            self._write(key, values, samples)
        except OSError as error:
            return self._stop(f"{error.filename or self.folder}: {error.strerror or error}")
        if self.budget is not None:
            self.budget.wrote(size)
        return True

    def copies(self, key: bytes) -> list[Record]:
        """Every record of an utterance, the newest last: two runs may have computed them at the same time."""
        return [_record(value) for value in self._journal.get(key)]

    def size(self, record: Record) -> int:
        """Bytes of a record's features."""
        return self.layers * record.frames * self.dim * self.dtype.itemsize

    def path(self, record: Record) -> Path:
        """The data file of a record."""
        return self._path(record.file)

    def flaw(self, record: Record) -> str | None:
        """What is wrong with a record, which is read for that; None for a sound one."""
        try:
            self._read(record)
        except (OSError, ValueError) as error:
            return _reason(error)
        return None

    @property
    def damaged_entries(self) -> int:
        """Entries of the journals that are damaged."""
        return self._journal.damaged

    def _latest(self, key: bytes) -> Record | None:
        found = self._journal.get(key)
        return _record(found[-1]) if found else None

    def _read(self, record: Record) -> Tensor:
        """[layers, frames, dim] of a record.

        Raises:
            OSError: the file cannot be read.
            ValueError: it does not hold these features.
        """
        try:
            return self._checked(record)
        except ValueError:  # perhaps of this map alone: somebody wrote to a tensor, or a network disk lags
            self._maps.pop(record.file, None)
            return self._checked(record)

    def _checked(self, record: Record) -> Tensor:
        shape = (self.layers, record.frames, self.dim)
        size = self.size(record)
        if not size:
            return torch.empty(shape, dtype=self.dtype)
        buffer, offset = self._buffer(record, size)
        with memoryview(buffer) as view, view[offset : offset + size] as payload:
            if xxh3_64_intdigest(payload) != record.checksum:
                raise ValueError("wrong checksum")
        count = size // self.dtype.itemsize
        return torch.frombuffer(buffer, dtype=self.dtype, count=count, offset=offset).view(shape)

    def _buffer(self, record: Record, size: int) -> tuple[mmap.mmap | bytearray, int]:
        """Memory with a record, and where it begins there: the mapped file, or a copy if that cannot be."""
        try:
            return self._map(record.file, record.offset + size), record.offset
        except OSError as error:
            if error.errno not in NOT_MAPPED:
                raise
        with self.path(record).open("rb") as file:
            file.seek(record.offset)
            copy = bytearray(file.read(size))
        if len(copy) < size:
            raise ValueError(TOO_SHORT)
        return copy, 0

    def _map(self, file: int, end: int) -> mmap.mmap:
        """A data file mapped up to `end` at least: what lies beyond the file must never be touched (SIGBUS).

        Raises:
            OSError: the file cannot be read.
            ValueError: it is shorter.
        """
        mapped = self._maps.pop(file, None)
        if mapped is None or len(mapped) < end:
            # Without O_NONBLOCK, a pipe of this name would be waited for.
            descriptor = os.open(self._path(file), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if os.fstat(descriptor).st_size < end:
                    raise ValueError(TOO_SHORT)
                # A private copy: torch wants memory that could be written to.
                mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
            finally:
                os.close(descriptor)
        self._maps[file] = mapped
        if len(self._maps) > MOST_MAPS:
            del self._maps[next(iter(self._maps))]
        if mapped.size() < end:  # the file was cut since
            raise ValueError(TOO_SHORT)
        return mapped

    def _path(self, file: int) -> Path:
        return self.folder / f"{file:016x}{SUFFIX}"

    def _write(self, key: bytes, values: Tensor, samples: int) -> None:
        if self._own is None or not self._own.usable or self._own.size >= LARGEST_FILE:
            self._open_own()
        payload = memoryview(values.view(torch.uint8).numpy().reshape(-1))
        before, file = self._own.size, int(self._own.path.stem, 16)
        offset = self._own.append(payload, ALIGNMENT)
        record = Record(file, offset, samples, values.shape[1], xxh3_64_intdigest(payload))
        try:
            self._journal.add(key, LAYOUT.pack(*record))
        except OSError:
            self._own.cut(before)
            raise

    def _open_own(self) -> None:
        """Begin a data file."""
        self.folder.mkdir(exist_ok=True)
        self._own = Appender(self._path(secrets.randbits(64)))

    def _stop(self, reason: str) -> bool:
        self.full = reason
        say(f"warning: {reason}: {self.advice_when_full}", on_stdout=False)
        return False

    def _tell_of_damage(self, record: Record, reason: str) -> None:
        self.damaged += 1
        if self.damaged == 1:
            advice = self.advice_on_damage or (
                f"`{command_line('cache')} verify {shlex.quote(str(self.folder.parent))}` finds all of them."
            )
            say(
                f"warning: {self.path(record)}: damaged ({reason}), and computed anew. {advice}",
                on_stdout=False,
            )


def _record(value: bytes) -> Record:
    return Record._make(LAYOUT.unpack(value))


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
