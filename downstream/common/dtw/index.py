"""Queries, prepared once, and their scores in documents."""

import importlib.util
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.errors import UserError

from .distances import DISTANCES
from .on_tensors import TensorSearch
from .options import Options

BACKENDS = ("compiled", "torch")


class QueryIndex:
    """Searches for queries in documents by dynamic time warping of their frames.

        index = QueryIndex(queries)
        scores = index.scores(documents)  # [documents, queries]

    The score of a pair is minus the normalised distance of its best path, as the package dtw-python defines
    it. With the default options each query frame is at one document frame; the next query frame stays there
    or goes on by one or two; the path begins and ends anywhere in the document; its cost is the mean of the
    distances along it, each of them scaled so that a query frame's smallest distance to the document is 0 and
    its largest 1. So scores are from -1 to 0.

    Where dtw-python has no finite result:

    - A path that may not begin and end anywhere does not exist in a document of at least twice the query's
      frames (`step_pattern` asymmetric). The score is then the lowest that a path could have: minus the mean
      of each query frame's largest distance.
    - An empty query has the score 0 with every document.
    - An empty document has the score -1 with `minmax_norm`, else minus the mean distance of the query's
      frames to a frame of zeros.
    - The cosine distance of a frame of zeros to any frame is 1.
    - Costs of the pattern symmetric1 are divided by query frames + document frames, as those of symmetric2.

    A document whose frames are all equal (one of a single frame, for example) has the score 0 with
    `minmax_norm`, also in dtw-python: no frame is nearer than another.
    """

    def __init__(
        self,
        queries: Sequence[Tensor],
        distance: str = "cosine_exp",
        minmax_norm: bool = True,
        step_pattern: str = "asymmetric",
        subsequence: bool = True,
        *,
        device: str | torch.device = "cpu",
        backend: str | None = None,
        threads: int | None = None,
        cells: int | None = None,
    ) -> None:
        """
        Args:
            queries: [frames, dim] each, of any floating type, on any device.
            distance: between two frames, a name in `DISTANCES`.
            minmax_norm: scale the distances of a query frame to all frames of a document to [0, 1].
            step_pattern: asymmetric, symmetric1 or symmetric2, as dtw-python names them.
            subsequence: the path may begin and end anywhere in the document (asymmetric only); else it leads
                from the first frame of both to the last one of both.
            device: computes the scores.
            backend: `compiled` (CPU only, needs numba) or `torch`; chosen by default.
            threads: CPU cores that `compiled` uses; PyTorch's number of threads by default.
            cells: query frames x document frames that `torch` holds in memory at a time, at most.

        Raises:
            UserError: an unknown name, options that exclude one another, queries of different dimensions or
                with values that are not finite.
        """
        device = torch.device(device)
        backend = backend or default_backend(device)
        if backend not in BACKENDS or (backend == "compiled" and device.type != "cpu"):
            raise UserError(
                f"The search has no backend '{backend}' on {device.type}. It has: compiled (on a CPU), torch."
            )
        self.options = Options(distance, minmax_norm, step_pattern, subsequence)
        self.options.check()
        self.lengths = [len(query) for query in queries]
        self.dim = next((query.shape[-1] for query in queries if len(query)), None)
        frames = [self._checked(query, f"query {n}") for n, query in enumerate(queries)]
        joined = torch.cat([one for one in frames if len(one)]) if self.dim else torch.zeros(0, 1)
        if backend == "compiled":
            from .on_cpu import CpuSearch  # needs numba

            self._search = CpuSearch(joined.cpu(), self.lengths, self.options, threads)
        else:
            self._search = TensorSearch(joined.to(device), self.lengths, self.options, cells)
        self._of_nothing = self._scores_of_nothing(joined)

    def scores(self, documents: Sequence[Tensor]) -> np.ndarray:
        """How well each query is found in each document.

        Args:
            documents: [frames, dim] each, of any floating type, on any device.

        Returns:
            [documents, queries] float64, higher is better. Those of a document do not depend on the other
            documents of the call nor on the number of threads (with `torch`, but for rounding errors).

        Raises:
            UserError: a document has another dimension than the queries, or values that are not finite.
        """
        found = np.tile(self._of_nothing, (len(documents), 1))
        if self.dim is None:
            return found
        filled = [number for number, document in enumerate(documents) if len(document)]

        def take(place: int) -> Tensor:
            return self._checked(documents[filled[place]], f"document {filled[place]}")

        if filled:
            found[filled] = self._search.scores([len(documents[number]) for number in filled], take)
        return found

    def _checked(self, frames: Tensor, what: str) -> Tensor:
        """As float32, contiguous."""
        frames = frames.detach().float().contiguous()
        if len(frames) and frames.shape[1:] != (self.dim,):
            raise UserError(
                f"{what}: its shape is {tuple(frames.shape)}, but queries have {self.dim} dimensions."
            )
        if not frames.isfinite().all():
            raise UserError(
                f"{what}: its features hold NaN or infinite values. Check the upstream, or its audio."
            )
        return frames

    def _scores_of_nothing(self, joined: Tensor) -> np.ndarray:
        """[queries] of an empty document."""
        lengths = np.asarray(self.lengths)
        if self.options.minmax_norm:
            return np.where(lengths > 0, -1.0, 0.0)
        distance = DISTANCES[self.options.distance]
        frames, silence = joined.cpu().double(), torch.zeros(1, joined.shape[1], dtype=torch.float64)
        costs = distance.matrix(distance.prepare(frames), distance.prepare(silence))[:, 0].numpy()
        owner = np.repeat(np.arange(len(lengths)), lengths)
        return -np.bincount(owner, costs, minlength=len(lengths)) / np.maximum(lengths, 1)


def default_backend(device: torch.device) -> str:
    """`compiled` on a CPU with numba, else `torch`."""
    return "compiled" if device.type == "cpu" and importlib.util.find_spec("numba") else "torch"
