"""What an evaluation has computed so far, kept on disk: one that was killed goes on where it was.

table = partial.table("embeddings", layers=1, dim=512)
left = [item for item in items if key_of(item) not in table]
table.add(key_of(item), embedding.view(1, 1, 512))
"""

import shutil
from contextlib import suppress
from pathlib import Path

import torch
import xxhash
from torch import Tensor

from s3prl.upstream.cache.store import Store

from .items import Item


class Table:
    """Tensors [layers, frames, dim] in float32 by name.

    Any number of processes may add to it, and may be killed at any moment. A damaged record does not exist.
    """

    def __init__(self, folder: Path, layers: int, dim: int) -> None:
        """
        Args:
            folder: of this table alone; made with the first record.
        """
        self._store = Store(folder, layers, dim, torch.float32)
        self._store.advice_when_full = "what follows is computed anew if this evaluation is started again."
        self._store.advice_on_damage = ""
        # All processes must find the same names; what one of them adds from now on is its own.
        self._names = {key for key in self._store if self._store.get(key) is not None}

    def __contains__(self, name: str) -> bool:
        """Whether it was there when the table was opened, or has been added since by this process."""
        return _key(name) in self._names

    def __len__(self) -> int:
        """How many names it contains."""
        return len(self._names)

    def __getitem__(self, name: str) -> Tensor:
        """What was added under a name, not to be written to; raises KeyError where there is nothing."""
        found = self._store.get(_key(name))
        if found is None:
            raise KeyError(name)
        return found.values

    def add(self, name: str, values: Tensor) -> None:
        """Keep a tensor [layers, frames, dim]; a full disk is told once, and nothing is kept from then on."""
        if self._store.put(_key(name), values, samples=0):
            self._names.add(_key(name))


class PartialResults:
    """The tables of one evaluation: of one split, by one model with one set of options."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: which belongs to this evaluation alone, and exists.
        """
        self.folder = Path(folder)

    def table(self, kind: str, layers: int, dim: int) -> Table:
        """The table of that name; every process opens it before any of them adds to it."""
        return Table(self.folder / f"{kind}-{layers}-{dim}", layers, dim)

    def remove(self) -> None:
        """Delete everything: the results of the evaluation have been written."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # other evaluations have theirs beside it
            self.folder.parent.rmdir()


def key_of(item: Item) -> str:
    """A name for what was computed of an item, another one as soon as its file or what is heard changes."""
    found = Path(item.recording.path).stat()
    return f"{item.name} {item.recording} {item.crop} {found.st_size} {found.st_mtime_ns}"


def _key(name: str) -> bytes:
    return xxhash.xxh3_128_digest(name.encode())
