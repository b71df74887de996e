"""What a cache folder holds, whether it is sound, and what of it may be removed."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_json

from .budget import folder_size
from .identity import ABOUT, read_json
from .store import ALIGNMENT, Store
from .store import SUFFIX as DATA_SUFFIX

MARKER = "cache.json"
FORMAT = 1
RECORDINGS = "recordings"
SET_NAME = re.compile(r".+-[0-9a-f]{16}")
OURS = re.compile(
    r"[0-9a-f]{16}\.data|[0-9a-f]{16}-[0-9a-f]{8}\.journal|about\.json|\.about\.json\..*\.partial"
)
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
HOUR = 3600 * 16000  # samples


def prepare(folder: Path) -> None:
    """Make a folder a cache, unless it is one.

    Raises:
        UserError: it holds something else, or a later version of this program has made it.
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARKER).is_file():
        if any(not path.name.startswith(".") for path in folder.iterdir() if path.name != MARKER):
            raise UserError(
                f"{folder} is no cache of features (it has no {MARKER}) and not empty. Choose another folder."
            )
        write_json(folder / MARKER, {"format": FORMAT})
    elif _version(folder) is None:  # damaged; the sets look after themselves
        write_json(folder / MARKER, {"format": FORMAT})
    check(folder)


def check(folder: Path) -> None:
    """Nothing, for a cache.

    Raises:
        UserError: the folder is none, or one of a later version of this program.
    """
    if not (folder / MARKER).is_file():
        raise UserError(
            f"{folder} is no cache of features: it has no {MARKER}. Name the folder that --cache was given."
        )
    if _version(folder) not in (None, FORMAT):
        raise UserError(
            f"{folder} was made by another version of this program ({MARKER} says format {_version(folder)}, "
            f"not {FORMAT}). Choose another folder."
        )


def _version(folder: Path) -> int | None:
    version = read_json(folder / MARKER).get("format")
    return version if isinstance(version, int) else None


@dataclass(frozen=True)
class CachedSet:
    """The features of one upstream, in one dtype and tier.

    Attributes:
        folder: of the set.
        about: the content of its about.json; nothing where that is damaged.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """By which a user may call it: the upstream, and the folder's name."""
        return (str(self.about.get("upstream", self.folder.name)), self.folder.name)

    @property
    def size(self) -> int:
        """In bytes."""
        return folder_size(self.folder)

    def store(self) -> Store | None:
        """What reads it; None where about.json does not say how."""
        layers, dim, dtype = (self.about.get(name) for name in ("layers", "dim", "dtype"))
        if not isinstance(layers, int) or not isinstance(dim, int) or str(dtype) not in DTYPES:
            return None
        return Store(self.folder, layers, dim, DTYPES[dtype])


def sets_in(folder: Path) -> list[CachedSet]:
    """The sets of a cache, in the order of their names."""
    folders = [path for path in folder.iterdir() if SET_NAME.fullmatch(path.name) and path.is_dir()]
    return [
        CachedSet(path, read_json(path / ABOUT))
        for path in sorted(folders)
        if any(OURS.fullmatch(file.name) for file in path.iterdir())
    ]


def chosen(sets: Sequence[CachedSet], names: Sequence[str]) -> list[CachedSet]:
    """The sets of which upstream or folder has one of the names; without names, all.

    Raises:
        UserError: a name that no set has.
    """
    known = dict.fromkeys(name for one in sets for name in one.names)
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "nothing"
            raise UserError(f"The cache holds no '{name}'.{nearest(name, known)} It holds: {listed}.")
    return [one for one in sets if not names or set(names) & set(one.names)]


@dataclass
class Findings:
    """What reading every record of a set has shown.

    Attributes:
        utterances, size: how many there are, and the bytes of their features.
        damaged: utterances without a sound record: key, data file, what is wrong.
        superseded: damaged records of utterances that have a sound one too.
        entries: damaged journal entries.
        unused: bytes of data files that no entry points to.
    """

    utterances: int = 0
    size: int = 0
    damaged: list[tuple[bytes, Path, str]] = field(default_factory=list)
    superseded: int = 0
    entries: int = 0
    unused: int = 0


def records_size(store: Store) -> int:
    """Bytes of all records of a set."""
    return sum(store.size(record) for key in store for record in store.copies(key))


def examine(store: Store, progress: Callable[[int], object]) -> Findings:
    """Read every record of a set.

    Args:
        progress: called with the size of every record, in bytes.
    """
    found, used = Findings(), Counter()
    for key in store:
        found.utterances += 1
        flaws = []
        records = store.copies(key)
        for record in records:
            size = store.size(record)
            flaw = store.flaw(record)
            if flaw is not None:
                flaws.append((key, store.path(record), flaw))
            used[store.path(record).name] += _aligned(size)
            found.size += size
            progress(size)
        if len(flaws) == len(records):
            found.damaged += flaws[-1:]
        else:
            found.superseded += len(flaws)
    found.entries = store.damaged_entries
    found.unused = sum(
        max(0, path.stat().st_size - used[path.name])
        for path in _files(store.folder)
        if path.suffix == DATA_SUFFIX
    )
    return found


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _files(folder: Path) -> list[Path]:
    """The files of a set that we have made: journals first, so that no entry outlives what it points to."""
    ours = [path for path in folder.iterdir() if OURS.fullmatch(path.name) and path.is_file()]
    return sorted(ours, key=lambda path: (path.suffix != ".journal", path.name))


def remove(folder: Path) -> list[Path]:
    """Remove our files in a folder of a cache, and the folder itself if nothing else is in it.

    Returns:
        What is left.
    """
    for path in _files(folder):
        path.unlink(missing_ok=True)
    left = sorted(folder.iterdir())
    if not left and not folder.is_symlink():
        folder.rmdir()
    return left


def hours(store: Store) -> float:
    """Of audio, in all utterances of a set."""
    return sum(store.samples(key) or 0 for key in store) / HOUR
