"""Matrices in Kaldi's archives (.ark) and in lists of places in them (.scp).

Only matrices and vectors are read: plain or compressed binary ones, and text. An entry of a list that is a
command (`cat feats.ark |`) is refused, and so is whatever else an archive may hold, such as a pickle.
Archives may be packed by gzip.
"""

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from s3prl.utility.errors import UserError, first_line
from s3prl.utility.files import write_atomically

BINARY = b"\0B"
UNPACKING = (EOFError, zlib.error, gzip.BadGzipFile)
LONGEST_KEY = 4096  # bytes; a file without a blank for so long is no archive


class Place(NamedTuple):
    """Where a matrix is; an offset of None is the beginning of the file."""

    path: Path
    offset: int | None = None


def read_list(path: Path) -> dict[str, Place]:
    """The entries of an .scp file, `<utterance> <archive>:<offset>`.

    An archive that is not (or no longer) where it says is looked for from the list and the folders above it,
    and beside the list.

    Raises:
        UserError: a line that is none, a command, or a part of a matrix; with its number.
    """
    found: dict[str, Place] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no list of places in archives: it is not text in UTF-8.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, *rest = line.split(maxsplit=1)
        place, where = "".join(rest).strip(), f"{path}, line {number}"
        if not place:
            raise UserError(f"{where}: write `<utterance> <archive>:<offset>`.")
        if "|" in place or place == "-":
            raise UserError(
                f"{where}: {place!r} is a command, which is not run. Write the matrices to an archive "
                "first (copy-feats scp:feats.scp ark,scp:new.ark,new.scp) and give its list."
            )
        if place.endswith("]"):
            raise UserError(
                f"{where}: {place!r} is a part of a matrix. Write the parts to an archive first with "
                "copy-feats."
            )
        if key in found:
            raise UserError(f"{where}: {key} is there a second time.")
        archive, colon, offset = place.rpartition(":")
        if colon and offset.isdigit():
            found[key] = Place(_where(Path(archive), path), int(offset))
        else:
            found[key] = Place(_where(Path(place), path))
    return found


def read_at(place: Place) -> np.ndarray:
    """The matrix at a place: [rows, columns], or a vector.

    Raises:
        UserError: there is none.
    """
    try:
        with _opened(place.path) as file:
            file.seek(place.offset or 0)
            return _read(file)
    except (OSError, *UNPACKING) as error:
        raise UserError(f"{place.path}: {getattr(error, 'strerror', None) or first_line(error)}.") from error
    except UserError as error:
        raise UserError(f"{place.path}, offset {place.offset or 0}: {error}") from None


def read_archive(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The matrices of an .ark file with the names of their utterances.

    Raises:
        UserError: the file is no archive, or is cut off; what was whole has been given before.
    """
    try:
        with _opened(path) as file:
            while key := _read_key(file, path):
                try:
                    yield key, _read(file)
                except UserError as error:
                    raise UserError(f"{path}, {key}: {error}") from None
    except UNPACKING as error:
        raise UserError(f"{path} is damaged or cut off ({first_line(error)}).") from error


def write_archive(ark: Path, matrices: Iterable[tuple[str, np.ndarray]]) -> dict[str, int]:
    """Write float32 matrices [frames, dim] and, beside the archive, its list `<name>.scp`, both atomically.

    Args:
        matrices: utterance and matrix, in the order in which Kaldi wants them (of the bytes of the names).

    Returns:
        The frames of each utterance.
    """
    from kaldiio.matio import write_array

    offsets: dict[str, int] = {}
    frames: dict[str, int] = {}

    def write(file: IO[bytes]) -> None:
        for key, matrix in matrices:
            file.write(f"{key} ".encode())
            offsets[key] = file.tell()
            write_array(file, np.ascontiguousarray(matrix, dtype=np.float32))
            frames[key] = len(matrix)

    write_atomically(ark, write)
    lines = "".join(f"{key} {ark.resolve()}:{offset}\n" for key, offset in offsets.items())
    write_atomically(ark.with_suffix(".scp"), lambda file: file.write(lines.encode()))
    return frames


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _where(path: Path, listed_in: Path) -> Path:
    """The archive: as written, from the list's folder or one above it, or beside the list."""
    if path.is_absolute():
        tried = [path]
    else:
        tried = [path, *(folder / path for folder in listed_in.absolute().parents)]
    return next((one for one in [*tried, listed_in.parent / path.name] if one.is_file()), path)


def _read_key(file: IO[bytes], path: Path) -> str:
    """The name before the next matrix; empty at the end of the archive."""
    key = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        key += byte
        if len(key) > LONGEST_KEY:
            break
    try:
        text = key.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = "\0"
    if len(key) > LONGEST_KEY or not (text.isprintable() and (text or not byte)) or (text and not byte):
        raise UserError(f"{path} is no Kaldi archive, or is damaged before byte {file.tell()}.")
    return text


def _read(file: IO[bytes]) -> np.ndarray:
    """The matrix that begins here, as it is; nothing but matrices is handed to the reader of archives."""
    from kaldiio.matio import read_matrix_or_vector

    start = file.tell()
    head = file.read(16)
    file.seek(start)
    binary = head[:2] == BINARY and head[2:3] in b"FDC" and head[2:3]
    if not binary and not head.lstrip().startswith(b"["):
        raise UserError("this is no matrix of Kaldi.")
    try:
        matrix = read_matrix_or_vector(file) if binary else _read_text(file)
    except (ValueError, AssertionError, struct.error, RuntimeError, MemoryError, OverflowError) as error:
        raise UserError(f"the matrix is damaged or cut off ({first_line(error)}).") from error
    return np.asarray(matrix)


def _read_text(file: IO[bytes]) -> np.ndarray:
    """A matrix as text, `[`, its rows in lines, `]`; or a vector, which is in one line.

    Kaldi writes 2.0 as 2, so the first number does not tell whether all are whole.
    """
    text = b""
    while b"]" not in text:
        if not (line := file.readline()):
            raise ValueError("there is no ] at its end")
        text += line
    inner = text.decode("ascii").strip().removeprefix("[").removesuffix("]")
    rows = [row.split() for row in inner.split("\n") if row.strip()]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its rows are not of one length")
    matrix = np.array(rows, dtype=np.float32)
    return matrix if "\n" in inner or not rows else matrix[0]
