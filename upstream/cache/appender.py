"""A file that one process appends to, and that others may read meanwhile."""

import os
from contextlib import suppress
from pathlib import Path


class Appender:
    """A new file of this process; what could not be written whole is cut off again.

    Attributes:
        path: of the file.
        size: in bytes; what lies beyond it does not count and is written over.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: the file cannot be made, or is there already.
        """
        self.path, self.size, self._pid = path, 0, os.getpid()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def __del__(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            os.close(self._file)

    @property
    def usable(self) -> bool:
        """Not in a forked child, which would write over what its parent writes; nor once it is removed."""
        return self._pid == os.getpid() and os.fstat(self._file).st_nlink > 0

    def append(self, content: bytes | memoryview, alignment: int = 1) -> int:
        """Write bytes at the next multiple of `alignment`; returns where they begin.

        Raises:
            OSError: they do not fit; the file is as long as before, if the system lets it be cut.
        """
        start = -(-self.size // alignment) * alignment
        rest, at = memoryview(content), start
        try:
            while rest:
                written = os.pwrite(self._file, rest, at)
                rest, at = rest[written:], at + written
        except OSError:
            self.cut(self.size)
            raise
        self.size = at
        return start

    def cut(self, size: int) -> None:
        """Make the file `size` bytes long, so that what lies beyond takes no space."""
        self.size = size
        with suppress(OSError):
            os.ftruncate(self._file, size)
