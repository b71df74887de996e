"""The search on CPU cores: one document at a time in each thread, some rows of the queries at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.progress import say

from .distances import DISTANCES
from .fast_forms import Form, fast_form
from .options import COARSE, Options
from .recursion import DISTANCE, advance, compile_all, extremes

CELLS = 2**19  # of a block of distances, at most (2 MB: it stays in the cache) ...
FEWEST_ROWS = 16  # ... unless a document is so long that so many rows have more
NOTICE = 1.0  # seconds of compiling after which it is mentioned
DIAGONAL = {"asymmetric": 0, "symmetric1": 1, "symmetric2": 2}


def rows_at_once(frames: int) -> int:
    """How many query frames are compared at once with a document of so many frames."""
    return max(CELLS // frames, FEWEST_ROWS)


class CpuSearch:
    """Scores of documents for concatenated queries; float32, and float64 for the pairs that need it."""

    def __init__(self, frames: Tensor, lengths: Sequence[int], options: Options, threads: int | None) -> None:
        """
        Args:
            frames: [frames of all queries, dim] float32, one query after the other.
            lengths: frames of each query.
            options: checked.
            threads: CPU cores to use; PyTorch's number of threads by default.
        """
        compile_once()
        self.frames, self.options, self.threads = frames, options, threads
        self.distance = DISTANCES[options.distance]
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.begins = np.cumsum(self.lengths) - self.lengths
        self.fast = fast_form(options.distance)
        self.prepared = self.distance.prepare(frames.double()).float()

    def scores(self, lengths: Sequence[int], take: Callable[[int], Tensor]) -> np.ndarray:
        """
        Args:
            lengths: frames of each document, none 0.
            take: gives a document, [frames, dim] float32, by its number; called by several threads.

        Returns:
            [documents, queries] float64; the same for any number of threads.
        """

        def score(number: int) -> np.ndarray:
            return self._score(take(number).cpu())

        with one_thread_each(self.threads) as threads, ThreadPoolExecutor(threads) as pool:
            return np.stack(list(pool.map(score, range(len(lengths)))))

    def _score(self, document: Tensor) -> np.ndarray:
        exact = self.distance.prepare(document.double())
        if self.distance.needs_double:
            return self._exactly(np.arange(len(self.lengths)), exact)
        scores, doubtful = self._pass(self.prepared, self.lengths, exact.float(), self.fast)
        (again,) = np.nonzero(doubtful)
        scores[again] = self._exactly(again, exact)
        return scores

    def _exactly(self, queries: np.ndarray, document: Tensor) -> np.ndarray:
        """Scores of some queries in float64, for a prepared document."""
        exact_form = Form(DISTANCE, lambda document: lambda rows: self.distance.matrix(rows, document))
        scores = np.zeros(len(queries))
        for place, query in enumerate(queries):
            begin, length = self.begins[query], self.lengths[query]
            if length:
                frames = self.distance.prepare(self.frames[begin : begin + length].double())
                found, _ = self._pass(frames, np.array([length]), document, exact_form)
                scores[place] = found[0]
        return scores

    def _pass(
        self, frames: Tensor, lengths: np.ndarray, document: Tensor, form: Form
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores of prepared queries for a prepared document; for which of them the type is too coarse."""
        count, columns, options = len(lengths), document.shape[0], self.options
        settings = (form.kind, options.minmax_norm, options.subsequence, DIAGONAL[options.step_pattern])
        coarse = (COARSE if frames.dtype == torch.float32 else 0.0, self.distance.offset)
        queries = (np.repeat(np.arange(count), lengths), np.cumsum(lengths) - lengths, lengths)
        scores, farthest, doubtful = np.zeros(count), np.zeros(count), np.zeros(count, dtype=bool)
        size, matrix = rows_at_once(columns), form.matrix_of(document)
        costs = torch.empty(2, 2 + columns, dtype=frames.dtype).numpy()
        for start in range(0, len(frames), size):
            values = matrix(frames[start : start + size])
            limits = limits_of(values)
            advance(
                values.numpy(), limits, start, queries, settings, coarse, costs, farthest, scores, doubtful
            )
        return scores, doubtful


def limits_of(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """[rows] least and greatest value of each row."""
    if values.dtype == torch.float64:
        return values.amin(1).numpy(), values.amax(1).numpy()
    lowest, highest = np.empty((2, len(values)), dtype=np.int32)
    extremes(values.numpy().view(np.int32), lowest, highest)
    return lowest.view(np.float32), highest.view(np.float32)


@contextmanager
def one_thread_each(threads: int | None) -> Iterator[int]:
    """Number of threads to use; PyTorch's operations start no further ones meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads or before
    finally:
        torch.set_num_threads(before)


def compile_once() -> None:
    """Compile, or load what an earlier run has compiled; says so if it takes time."""
    notice = threading.Timer(
        NOTICE, say, ["Compiling the search (once; it is kept for later runs) ...", False]
    )
    notice.daemon = True
    notice.start()
    try:
        compile_all()
    finally:
        notice.cancel()
