"""The alterations that a model learns to undo: of spans in time, of a band of frequency, of the magnitude.

    task = Task(mask_proportion=0.15, mask_frequency=0.2)
    altered = alter(features, frames, task)
    loss = masked_loss(head, hidden, target, altered, task.loss)

Liu et al., "Mockingjay", ICASSP 2020; Liu et al., "TERA", TASLP 2021. All utterances of a batch are altered
together, on the device of the features, with PyTorch's global generators.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from s3prl.upstream.features.frames import valid_mask
from s3prl.utility.errors import UserError
from s3prl.utility.typed import above, at_least, within

ZEROED = 0.8  # of the utterances: their spans are set to zero
REPLACED = 0.1  # their spans are replaced by others of the same utterance; the rest are left as they are
NOISE = 0.2  # standard deviation
DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {"L1": Tensor.abs, "MSE": Tensor.square}

Share = Annotated[float, within(0, 1)]
Count = Annotated[int, at_least(1)]


@dataclass(frozen=True)
class Task:
    """The block `task` of a model's configuration."""

    loss: Literal["L1", "MSE"] = "L1"
    sequence_length: int = 1500  # frames of an utterance at most, from a random place; 0: all
    position_encoding_size: int | None = None  # of no effect: positions are as large as hidden states
    mask_proportion: Share = 0.15  # of the frames
    mask_consecutive_min: Count = 7  # frames of a span; the number is drawn for each utterance
    mask_consecutive_max: Count = 7
    mask_allow_overlap: bool = True  # False: spans start on a grid with a random phase
    mask_bucket_ratio: Annotated[float, above(0)] = 1.5  # grid: its stride, in spans
    mask_frequency: Share = 0.0  # widest band set to zero, of the dimensions
    noise_proportion: Share = 0.0  # of the batches, which get Gaussian noise

    def __post_init__(self) -> None:
        """Refuse spans of no length.

        Raises:
            UserError: the least length of a span is above the greatest.
        """
        if self.mask_consecutive_min > self.mask_consecutive_max:
            raise UserError(
                f"mask_consecutive_min ({self.mask_consecutive_min}) is above mask_consecutive_max "
                f"({self.mask_consecutive_max})."
            )

    def check_counts(self, dim: int, where: str) -> None:
        """Refuse alterations so small that no cell would ever be altered, and the loss always be 0.

        Args:
            dim: of the features.
            where: how to name this block in an error.

        Raises:
            UserError: neither a span nor a band is ever as wide as one frame or dimension.
        """
        share, heard, least = self.mask_proportion, self.sequence_length, self.mask_consecutive_min
        spans = share > 0 and (heard <= 0 or round(heard * share / least) > 0)
        bands = int(dim * self.mask_frequency) > 0
        if (share or self.mask_frequency) and not (spans or bands):
            raise UserError(
                f"{where}: nothing would be altered: mask_proportion {share:g} of {heard} frames gives no "
                f"span of {least}, and mask_frequency {self.mask_frequency:g} of {dim} dimensions no band. "
                "Raise one, or set both to 0 to predict everything."
            )


class Altered(NamedTuple):
    """Altered features, and which of their cells the loss is taken over: those of `times` or of `dims`."""

    features: Tensor  # [batch, frames, dim]
    valid: Tensor  # [batch, frames], False for padding
    times: Tensor  # [batch, frames]
    dims: Tensor  # [batch, dim]


class _Spans(NamedTuple):
    """Spans of all utterances, [batch, spans] each; `width` is [batch, 1]."""

    width: Tensor  # frames
    starts: Tensor
    sources: Tensor  # starts of the spans that may take their place
    drawn: Tensor  # False for those that an utterance does not have


def alter(features: Tensor, frames: Sequence[int], task: Task) -> Altered:
    """Alter a batch; `features` themselves stay as they are.

    Args:
        features: [batch, frames, dim].
        frames: the valid frames of each utterance.
    """
    batch, longest, dim = features.shape
    valid = valid_mask(frames, longest, features.device)[..., 0]
    times = torch.zeros_like(valid)
    dims = torch.zeros(batch, dim, dtype=torch.bool, device=features.device)
    if task.mask_proportion > 0:
        lengths = torch.tensor(list(frames), device=features.device)[:, None]
        features, times = _alter_times(features, lengths, task)
        times = times & valid
    if task.mask_frequency > 0:
        dims = _bands(dims, int(dim * task.mask_frequency))
        features = features.masked_fill(dims[:, None], 0.0)
    if task.noise_proportion > 0 and float(torch.rand(())) < task.noise_proportion:
        features = features + NOISE * torch.randn_like(features)
    if not (task.mask_proportion or task.mask_frequency):
        times = valid
    return Altered(features, valid, times, dims)


def masked_loss(
    head: Callable[[Tensor], Tensor], hidden: Tensor, target: Tensor, altered: Altered, kind: str
) -> Tensor:
    """The mean distance of predicted and true cells, over those that count; 0 where none does.

    Args:
        head: predicts target frames [..., target dim] from hidden states; called on frames that matter.
        hidden: [batch, frames, hidden size].
        target: [batch, frames, target dim]. Where that is another size than the input's, the band that counts
            has the same indices, as far as there are such.
        kind: L1 or MSE.
    """
    dims = F.pad(altered.dims, (0, target.size(2) - altered.dims.size(1)))
    counted = altered.valid & (altered.times | dims.any(1, keepdim=True))
    rows = counted.flatten().nonzero()[:, 0]
    cells = altered.times.flatten()[rows, None] | dims[rows // target.size(1)]
    predicted = head(hidden.flatten(0, 1).index_select(0, rows)).float()
    distance = DISTANCES[kind](predicted - target.flatten(0, 1).index_select(0, rows))
    return (distance * cells).sum() / cells.sum().clamp(min=1)


def _alter_times(features: Tensor, lengths: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Altered features, and the frames [batch, frames] that spans cover."""
    batch, longest, _ = features.shape
    position = torch.arange(longest, device=features.device)
    spans = _draw_spans(lengths, longest, task)
    place = spans.starts.masked_fill(~spans.drawn, longest)  # behind the end
    empty = position.new_full((batch, longest + 1), -1)
    latest = empty.scatter(1, place, spans.starts)[:, :longest].cummax(1).values
    covered = (latest >= 0) & (position - latest < spans.width)
    fate = torch.rand(batch, 1, device=features.device)
    moves = empty.scatter(1, place, spans.sources - spans.starts).gather(1, latest.clamp(min=0))
    replaced = covered & (fate >= ZEROED) & (fate < ZEROED + REPLACED)
    source = torch.where(replaced, position + moves, position).clamp(max=longest - 1)
    altered = features.gather(1, source[..., None].expand_as(features))
    return altered.masked_fill((covered & (fate < ZEROED))[..., None], 0.0), covered


def _draw_spans(lengths: Tensor, longest: int, task: Task) -> _Spans:
    """Spans for utterances of `lengths` [batch, 1], each the same number of frames in one utterance."""
    least, most = task.mask_consecutive_min, task.mask_consecutive_max
    width = torch.randint(least, most + 1, lengths.shape, device=lengths.device)
    last = (lengths - width - 1).clamp(min=0)  # where a span may start at the latest
    wanted = (lengths.double() * task.mask_proportion / width).round().long()
    most_spans = min(1 + round(longest * task.mask_proportion / least), longest)
    if task.mask_allow_overlap:
        first, stride = torch.zeros_like(last), torch.ones_like(last)
    else:
        first = _uniform(torch.minimum(width, last) + 1)
        stride = (width * task.mask_bucket_ratio).round().long().clamp(min=1)
    places = (last - first) // stride + 1
    starts = first + stride * _without_replacement(places, longest)[:, :most_spans]
    sources = _without_replacement(last + 1, longest)[:, :most_spans]
    number = torch.arange(starts.size(1), device=lengths.device)
    return _Spans(width, starts, sources, number < torch.minimum(wanted, places))


def _without_replacement(below: Tensor, longest: int) -> Tensor:
    """[batch, longest]: rows with the numbers less than `below` [batch, 1] in random order, then the rest."""
    keys = torch.rand(len(below), longest, device=below.device)
    number = torch.arange(longest, device=below.device)
    return keys.masked_fill(number >= below, 2.0).argsort(1)


def _bands(dims: Tensor, widest: int) -> Tensor:
    """[batch, dim], True inside one band of each row: its width is uniform from 0 to `widest`."""
    batch, dim = dims.shape
    width = torch.randint(widest + 1, (batch, 1), device=dims.device)
    start = _uniform((dim - width).clamp(min=1))
    place = torch.arange(dim, device=dims.device)
    return (place >= start) & (place < start + width)


def _uniform(below: Tensor) -> Tensor:
    """A whole number for each of `below`, uniform from 0 to less than it."""
    return (torch.rand(below.shape, device=below.device) * below).long()
