"""What a search has found out so far. It is on disk where possible, so that a killed search goes on."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from xxhash import xxh3_128_hexdigest

from s3prl.utility.errors import UserError

from ..common.items import Item
from ..common.partial import PartialResults, Table, key_of


class Kept:
    """Tensors [layers, frames, dim] by the name of an utterance, on disk where that is possible."""

    def __init__(self, table: Table | None, keys: Mapping[str, str]) -> None:
        """
        Args:
            table: None keeps everything in memory.
            keys: what an utterance is called in the table.
        """
        self._table, self._keys = table, keys
        self._memory: dict[str, Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._memory or (self._table is not None and self._key(name) in self._table)

    def __getitem__(self, name: str) -> Tensor:
        """On the CPU, not to be written to.

        Raises:
            UserError: it was on disk and is no longer.
        """
        if name in self._memory:
            return self._memory[name]
        try:
            return self._table[self._key(name)]
        except KeyError as error:
            raise UserError(
                "Files of this evaluation in the folder 'partial' have disappeared. If the same evaluation "
                "ran twice at a time, the other one has written the results; if not, start it again."
            ) from error

    def add(self, name: str, values: Tensor) -> None:
        """Keep it; in memory if the disk is full."""
        values = values.cpu()
        if self._table is not None:
            self._table.add(self._key(name), values)
        if name not in self:
            self._memory[name] = values

    def _key(self, name: str) -> str:
        return self._keys.get(name, name)


class Findings:
    """The state of a search.

    Attributes:
        queries: features of queries.
        documents: features of those documents that are kept until the statistics are known.
        statistics: under the name "all", mean and standard deviation: [layers, 2, dim].
        scores: for each document [layers, 1, queries], NaN for queries that could not be read.
    """

    def __init__(
        self,
        partial: PartialResults | None,
        queries: Sequence[Item],
        documents: Sequence[Item],
        layers: int,
        dim: int,
    ) -> None:
        """
        Args:
            layers: how many are searched.
            dim: size of a feature frame.
        """
        keys = {item.name: key_of(item) for item in (*queries, *documents)}
        corpus = xxh3_128_hexdigest("\n".join(keys.values()).encode())[:16]

        def kept(kind: str, dim: int) -> Kept:
            return Kept(None if partial is None else partial.table(kind, layers, dim), keys)

        self.queries, self.documents = kept("queries", dim), kept("documents", dim)
        # Both are about all queries and documents at once: another file makes them worthless.
        self.statistics = kept(f"statistics-{corpus}", dim)
        self.scores = kept(f"scores-{corpus}", len(queries))
