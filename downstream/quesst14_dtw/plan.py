"""Which recordings an evaluation still has to read, in which order, and what for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..common.items import Item
from .findings import Findings

Purpose = Literal["query", "measure", "search"]


@dataclass(frozen=True)
class Plan:
    """The batches of an evaluation.

    Queries come first. Where features are normalised, all documents are measured next. Last come the
    documents that are then searched, but for those whose features were kept when they were measured.

    Attributes:
        batches: of items whose label is their purpose. A batch is read whole or not at all, so that it has
            the same utterances however often the evaluation is interrupted.
        finished: queries and documents that need not be read again.
    """

    batches: list[list[Item]]
    finished: int


def plan(
    queries: Sequence[Item],
    documents: Sequence[Item],
    findings: Findings,
    batch_size: int,
    normalizes: bool,
    kept: set[str],
) -> Plan:
    """What is left to do.

    Args:
        normalizes: whether statistics of all features are needed before the first document can be searched.
        kept: names of the documents whose features are kept when they are measured.
    """

    def left(items: Sequence[Item], done: Callable[[Item], bool]) -> Iterator[list[Item]]:
        for start in range(0, len(items), batch_size):
            batch = list(items[start : start + batch_size])
            if not all(map(done, batch)):
                yield batch

    def heard(document: Item) -> bool:
        return document.name in findings.scores or document.name in findings.documents

    batches = _for("query", left(queries, lambda query: query.name in findings.queries))
    if normalizes and "all" not in findings.statistics:
        batches += _for("measure", left(documents, lambda document: document.name in findings.documents))
        batches += _for("search", left(documents, lambda document: document.name in kept))
    else:
        batches += _for("search", left(documents, heard))
    finished = sum(query.name in findings.queries for query in queries) + sum(map(heard, documents))
    return Plan(batches, finished)


def documents_within(size: int, documents: Sequence[Item], bytes_per_sample: float) -> set[str]:
    """Names of the first documents whose features take at most `size` bytes together."""
    names = set()
    for document in documents:
        size -= document.samples * bytes_per_sample
        if size < 0:
            break
        names.add(document.name)
    return names


def _for(purpose: Purpose, batches: Iterator[list[Item]]) -> list[list[Item]]:
    return [[replace(item, label=purpose) for item in batch] for batch in batches]
