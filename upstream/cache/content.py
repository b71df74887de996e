"""The key of an utterance in the cache: what is heard, not where the file lies."""

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash
from torch import Tensor

from s3prl.utility.recordings import Recording

from .journal import Journal

DIGEST = 16  # bytes
BLOCK = 1 << 20  # bytes of a file that are read at once
SETTLED = 2.0  # seconds; a file changed later than that could change again within its clock's tick


class Memo(NamedTuple):
    """What a file, as it is now, contains; to be remembered, so that it is not read again for its key."""

    state: bytes
    digest: bytes


class Contents:
    """Digests of the files that recordings are in.

    They are remembered in the cache by path, size and times of the file, as Git does: a corpus that was moved
    or copied is read once more, but its features are found.
    """

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of the cache.
        """
        self._known = Journal(folder / "recordings", DIGEST)

    def key(self, recording: Recording) -> tuple[bytes, Memo | None]:
        """The recording's key, and what is new about its file for `remember`.

        Raises:
            OSError: the file cannot be read.
        """
        state, settled = _state(recording.path)
        digest = next(iter(self._known.get(state)), None)
        memo = None
        if digest is None:
            digest = _digest(recording.path)
            memo = Memo(state, digest) if settled else None
        return _excerpt(digest, recording), memo

    def known_key(self, recording: Recording) -> bytes | None:
        """The recording's key if that is known without reading the file."""
        try:
            state, _ = _state(recording.path)
        except OSError:
            return None
        digest = next(iter(self._known.get(state)), None)
        return None if digest is None else _excerpt(digest, recording)

    def remember(self, memo: Memo) -> None:
        """Keep the digest of a file for all runs, if anything can be written."""
        if not self._known.get(memo.state):
            with suppress(OSError):
                self._known.add(*memo)


def key_of_wave(wave: Tensor | np.ndarray) -> bytes:
    """The key of a wave [samples] that is in no file, by its samples."""
    samples = np.ascontiguousarray(wave.detach().cpu().numpy() if isinstance(wave, Tensor) else wave)
    return xxhash.xxh3_128_digest(samples.astype(np.float32, copy=False).data, seed=1)


def _excerpt(digest: bytes, recording: Recording) -> bytes:
    heard = (recording.start, recording.stop, recording.crop, recording.place, recording.gain)
    heard += ("trim",) if recording.trim else ()  # the keys of all others are those of earlier versions
    return xxhash.xxh3_128_digest(digest + repr(heard).encode())


def _state(path: str) -> tuple[bytes, bool]:
    """What tells this state of the file from another, and whether it can be trusted to do so."""
    found = Path(path).stat()
    state = (str(Path(path).absolute()), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED
    return xxhash.xxh3_128_digest(repr(state).encode()), settled


def _digest(path: str) -> bytes:
    digest = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.digest()
