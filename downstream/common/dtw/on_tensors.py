"""The search as tensor operations, for a GPU (or without numba): many queries and documents at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from .distances import DISTANCES
from .options import COARSE, SMALLEST_RANGE, Options

CELLS = {"cpu": 2**22, "cuda": 2**26}  # of a block of distances (256 MB of a GPU), unless one pair has more


class Group(NamedTuple):
    """Queries that are searched for together, longest first."""

    numbers: list[int]  # which queries they are
    lengths: list[int]
    frames: Tensor  # [all their frames, dim], as given

    @property
    def begins(self) -> Tensor:
        """[queries] where each begins in `frames`."""
        lengths = torch.tensor(self.lengths, device=self.frames.device)
        return lengths.cumsum(0) - lengths


class Batch(NamedTuple):
    """Documents that are searched together."""

    frames: Tensor  # [documents, most frames, dim], prepared for the distance
    lengths: Tensor  # [documents]
    outside: Tensor  # [documents, most frames] where there is padding


class TensorSearch:
    """Scores of documents for concatenated queries; float32, and float64 for the pairs that need it."""

    def __init__(self, frames: Tensor, lengths: Sequence[int], options: Options, cells: int | None) -> None:
        """
        Args:
            frames: [frames of all queries, dim] float32, on the device that computes.
            lengths: frames of each query.
            options: checked.
            cells: of a block of distances (query frames x document frames), at most; a pair that has more has
                a block of its own. The memory in use is a few times as much.
        """
        self.options, self.distance = options, DISTANCES[options.distance]
        self.cells = cells or CELLS.get(frames.device.type, CELLS["cuda"])
        self.queries = list(frames.split(list(lengths)))
        self.device = frames.device
        self.order = sorted((q for q, n in enumerate(lengths) if n), key=lambda q: -lengths[q])

    @torch.no_grad()
    def scores(self, lengths: Sequence[int], take: Callable[[int], Tensor]) -> np.ndarray:
        """
        Args:
            lengths: frames of each document, none 0.
            take: gives a document, [frames, dim] float32 on any device, by its number.

        Returns:
            [documents, queries] float64.
        """
        found = np.zeros((len(lengths), len(self.queries)))
        dtype = torch.float64 if self.distance.needs_double else torch.float32
        for some in self._batches(lengths):
            raw = [take(number).to(self.device) for number in some]
            batch = self._batch(raw, dtype)
            for group in self._groups(self.order, batch.outside.numel()):
                scores, doubtful = self._search(group, batch)
                found[np.ix_(some, group.numbers)] = scores.cpu().numpy()
                for d in doubtful.any(1).nonzero().flatten().tolist():
                    exact = self._batch(raw[d : d + 1], torch.float64)
                    numbers = [group.numbers[q] for q in doubtful[d].nonzero().flatten().tolist()]
                    for again in self._groups(numbers, exact.outside.numel()):
                        found[some[d], again.numbers] = self._search(again, exact)[0][0].cpu().numpy()
        return found

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of documents of similar length whose frames fit with those of one query at least."""
        longest = len(self.queries[self.order[0]]) if self.order else 1
        batch: list[int] = []
        for number in sorted(range(len(lengths)), key=lambda d: lengths[d]):
            if batch and (len(batch) + 1) * lengths[number] * longest > self.cells:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _groups(self, order: Sequence[int], columns: int) -> Iterator[Group]:
        """Queries, in an order of falling length, whose frames fit with so many document frames."""
        start = 0
        while start < len(order):
            end, rows = start, 0
            while end < len(order) and (
                end == start or (rows + len(self.queries[order[end]])) * columns <= self.cells
            ):
                rows += len(self.queries[order[end]])
                end += 1
            numbers = list(order[start:end])
            yield Group(
                numbers,
                [len(self.queries[q]) for q in numbers],
                torch.cat([self.queries[q] for q in numbers]),
            )
            start = end

    def _batch(self, documents: Sequence[Tensor], dtype: torch.dtype) -> Batch:
        lengths = torch.tensor([len(document) for document in documents], device=self.device)
        padded = pad_sequence(list(documents), batch_first=True)
        outside = torch.arange(padded.shape[1], device=self.device) >= lengths[:, None]
        return Batch(self.distance.prepare(padded.double()).to(dtype), lengths, outside)

    def _search(self, group: Group, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores [documents, queries], and which of them the batch's type is too coarse for."""
        columns, lengths, outside = batch
        rows = self.distance.prepare(group.frames.double()).to(columns.dtype)
        values = self.distance.matrix(rows, columns.flatten(0, 1)).view(len(rows), *outside.shape)
        far = values.masked_fill(outside, -torch.inf).amax(2)
        doubtful = torch.zeros_like(far, dtype=torch.bool)
        if self.options.minmax_norm:
            near = values.masked_fill(outside, torch.inf).amin(2)
            if columns.dtype == torch.float32:
                doubtful = (far - near < COARSE * (self.distance.offset + far)) | far.isinf()
            scale = (far - near).clamp(min=SMALLEST_RANGE)
            values = values.sub_(near[..., None]).div_(scale[..., None])
            far = (far - near) / scale
        counts = torch.tensor(group.lengths, device=self.device)
        owner = torch.arange(len(counts), device=self.device).repeat_interleave(counts)
        of_pairs = torch.zeros(len(counts), len(lengths), dtype=torch.float64, device=self.device)
        farthest = of_pairs.index_add(0, owner, far.double())
        unsure = of_pairs.index_add(0, owner, doubtful.double()) > 0
        totals = self._totals(values, group, batch).double()
        counts = counts[:, None]
        weight = counts if self.options.step_pattern == "asymmetric" else counts + lengths
        costs = torch.where(totals.isinf(), farthest / counts, totals / weight)
        return -costs.T, unsure.T

    def _totals(self, values: Tensor, group: Group, batch: Batch) -> Tensor:
        """Costs [queries, documents] of the best paths through distances [rows, documents, frames]."""
        costs = values.new_full((len(group.numbers), *values.shape[1:]), torch.inf)
        begins, active = group.begins, len(group.numbers)
        for at in range(group.lengths[0]):
            while group.lengths[active - 1] <= at:
                active -= 1
            row = values[begins[:active] + at]
            costs[:active] = self._step(costs[:active], row, at == 0)
        if self.options.subsequence:
            return costs.masked_fill(batch.outside, torch.inf).amin(2)
        last = (batch.lengths - 1).expand(len(costs), -1)[..., None]
        return costs.gather(2, last)[..., 0]

    def _step(self, costs: Tensor, row: Tensor, first: bool) -> Tensor:
        """Costs of the next query frame, from those of the last one; all are [queries, documents, frames]."""
        if first and self.options.step_pattern != "asymmetric":
            return row.cumsum(2)
        if first:
            if self.options.subsequence:
                return row
            only = torch.full_like(row, torch.inf)
            only[..., 0] = row[..., 0]
            return only
        one_back = pad(costs, (1, 0), value=torch.inf)[..., :-1]
        if self.options.step_pattern == "asymmetric":
            two_back = pad(costs, (2, 0), value=torch.inf)[..., :-2]
            return torch.minimum(torch.minimum(costs, one_back), two_back) + row
        diagonal = 2 if self.options.step_pattern == "symmetric2" else 1
        entered = torch.minimum(costs + row, one_back + diagonal * row).double()
        # Staying at the query frame adds distances: the least of (cost where entered + distances since then).
        sums = row.double().cumsum(2)
        return ((entered - sums).cummin(2).values + sums).to(row.dtype)
