"""Every query against every document, a few documents at a time, in memory that does not grow with them."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from s3prl.utility import progress
from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import UserError

from ..common.dtw import QueryIndex
from .findings import Findings
from .settings import Settings
from .statistics import Moments

SHORTEST = 5  # frames of a query that is searched, as in the public S3PRL
ADVICE = "Check the recordings in downstream_expert.datarc.dataset_root."
PER_THREAD = 4  # documents that are compared at a time
MOST_BYTES = 1 << 30  # of their features, so that many threads and layers do not fill the memory


class Search:
    """Takes in the features of an evaluation as they come, [layers, frames, dim] of an utterance.

    Queries are held. A document is compared with all of them, by a thread of its own while the next ones are
    being computed; its scores are kept and its features forgotten. Where features are normalised, documents
    come twice: `measure`, and `search` unless `keeps` says that they were kept.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        findings: Findings,
        keeps: set[str],
        shape: tuple[int, int],
        device: torch.device,
    ) -> None:
        """
        Args:
            names: of all queries.
            findings: what earlier tries have found out, and where this one writes.
            keeps: names of the documents whose features are kept when they are measured.
            shape: layers that are searched, size of a frame.
            device: where queries and documents are compared.
        """
        self.settings, self.names, self.findings, self.keeps = settings, names, findings, keeps
        self.layers, self.dim = shape
        self.device = device
        self.compared = 0  # pairs, in this try
        self.seconds = 0.0  # since the first of them
        self._moments = [Moments() for _ in range(self.layers)]  # of documents that are not kept
        self._scales: Tensor | None = None  # mean and standard deviation, [layers, 2, dim]
        self._indices: list[QueryIndex] | None = None
        self._waiting: list[tuple[str, Tensor]] = []  # documents, until there are enough
        self._thread = ThreadPoolExecutor(1, "search")
        self._running: Future | None = None
        self._threads = settings.max_workers or cpu_count()

    def query(self, name: str, feature: Tensor) -> None:
        """Hold a query."""
        if name not in self.findings.queries:
            self.findings.queries.add(name, feature)

    def measure(self, name: str, feature: Tensor) -> None:
        """Take the frames of a document into the statistics."""
        if name not in self.keeps:
            self._take_in(self._moments, feature)
        elif name not in self.findings.documents:
            self.findings.documents.add(name, feature)

    def search(self, name: str, feature: Tensor) -> None:
        """Compare a document with all queries; returns before that is done."""
        if name in self.findings.scores:
            return
        if self._indices is None:
            self._begin()
        self._waiting.append((name, feature))
        size = sum(waiting.nbytes for _, waiting in self._waiting)
        if len(self._waiting) >= PER_THREAD * self._threads or size >= MOST_BYTES:
            self._compare()

    def finish(self, documents: Iterable[str]) -> None:
        """Search the documents that were kept, and wait for all comparisons.

        Args:
            documents: names of all.

        Raises:
            UserError: no query could be read, or no document.
        """
        documents, kept, scored = list(documents), self.findings.documents, self.findings.scores
        waiting = {name for name, _ in self._waiting}
        left = [name for name in documents if name in kept and name not in scored and name not in waiting]
        for name in _followed(left, "search"):
            self.search(name, kept[name])
        self._compare()
        self._wait()
        if self._indices is not None:
            self.seconds = progress.clock() - self._began
        self._thread.shutdown()
        if not any(name in scored for name in documents):
            raise UserError(f"None of the documents can be read. {ADVICE}")

    def found(self) -> list[str]:
        """Names of the queries that could be read, in the order of all."""
        return [name for name in self.names if name in self.findings.queries]

    def scores(self, layer: int, documents: Iterable[str]) -> tuple[list[str], np.ndarray]:
        """What was found out about a layer.

        Returns:
            Names of the documents that could be read, and float64 [queries, documents] of what could be read.
        """
        names = [name for name in documents if name in self.findings.scores]
        found = [column for column, name in enumerate(self.names) if name in self.findings.queries]
        rows = np.empty((len(names), len(found)))
        for row, name in zip(rows, names, strict=True):
            row[:] = self.findings.scores[name][layer, 0, found].numpy()
        return names, rows.T

    def _begin(self) -> None:
        self._began = progress.clock()
        if not (found := self.found()):
            raise UserError(f"None of the queries can be read. {ADVICE}")
        if self.settings.feature_normalization:
            if "all" not in self.findings.statistics:
                self.findings.statistics.add("all", self._statistics(found))
            self._scales = self.findings.statistics["all"]
        columns = {name: column for column, name in enumerate(self.names)}
        self._found = [columns[name] for name in found]
        self._long: list[list[int]] = []  # per layer, the columns of queries that are long enough
        self._indices = []
        dtwrc = self.settings.dtwrc
        for layer in range(self.layers):
            queries = {columns[name]: self._prepared(self.findings.queries[name], layer) for name in found}
            queries = {column: query for column, query in queries.items() if len(query) >= SHORTEST}
            self._long.append(list(queries))
            self._indices.append(
                QueryIndex(list(queries.values()), *dtwrc.options, device=self.device, threads=self._threads)
            )

    def _statistics(self, queries: Iterable[str]) -> Tensor:
        """Always in the same order, so that an interrupted search has the statistics of any other."""
        moments = [Moments() for _ in range(self.layers)]
        for name in queries:
            self._take_in(moments, self.findings.queries[name])
        kept = [name for name in sorted(self.keeps) if name in self.findings.documents]
        for name in _followed(kept, "statistics"):
            self._take_in(moments, self.findings.documents[name])
        for own, others in zip(moments, self._moments, strict=True):
            own.merge(others)
        return torch.stack([own.result(self.dim) for own in moments])

    def _take_in(self, moments: Sequence[Moments], feature: Tensor) -> None:
        for own, frames in zip(moments, feature, strict=True):
            own.add(self._voiced(frames))

    def _voiced(self, frames: Tensor) -> Tensor:
        """Frames [frames, dim] without those whose greatest value is that of the silence class."""
        silence = self.settings.silence_frame
        return frames if silence is None else frames[frames.argmax(1) != silence]

    def _prepared(self, feature: Tensor, layer: int) -> Tensor:
        """One layer as it is compared: [frames, dim]."""
        frames = self._voiced(feature[layer])
        if self._scales is None:
            return frames
        mean, deviation = self._scales[layer].to(frames.device)
        return (frames - mean) / deviation

    def _compare(self) -> None:
        """Compare the documents that are waiting, once those before them are done."""
        self._wait()
        group, self._waiting = self._waiting, []
        if group:
            self._running = self._thread.submit(self._score, group)

    def _wait(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.result()

    @torch.no_grad()
    def _score(self, group: Sequence[tuple[str, Tensor]]) -> None:
        scores = np.full((len(group), self.layers, len(self.names)), np.nan, dtype=np.float32)
        scores[:, :, self._found] = 0.0  # what queries have that are too short
        for layer, (index, columns) in enumerate(zip(self._indices, self._long, strict=True)):
            if columns:
                documents = [self._prepared(feature, layer) for _, feature in group]
                scores[:, layer, columns] = index.scores(documents)
                self.compared += len(documents) * len(columns)
        for (name, _), row in zip(group, torch.from_numpy(scores), strict=True):
            self.findings.scores.add(name, row.unsqueeze(1))


def _followed(documents: Sequence[str], title: str) -> Iterator[str]:
    return progress.followed(documents, len(documents), title, "documents", leave=False, on_stdout=True)
