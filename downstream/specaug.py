"""SpecAugment on upstream features (Park et al. 2019): time warp, then frequency masks, then time masks.

`adaptive` follows Park et al. 2020, where number and width of the time masks grow with the utterance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed

Range = int | Sequence[int]


class SpecAug(nn.Module):
    """Augments a list of unpadded features, each [frames, dim]; in eval mode they pass unchanged.

    Widths are drawn evenly from [low, high) (`N` means (0, N)), positions from the true length of each
    utterance. `replace_with_zero=False` fills masks with the mean of the utterance instead. With `adaptive`,
    an utterance of T frames gets `min(max_n_time_masks, adaptive_number_ratio * T)` time masks of
    0 to `adaptive_size_ratio * T` frames. Everything random comes from PyTorch's global CPU generator.
    Raises UserError for settings that cannot work.
    """

    def __init__(
        self,
        apply_time_warp: bool = True,
        time_warp_window: int = 5,
        time_warp_mode: str = "bicubic",
        apply_freq_mask: bool = True,
        freq_mask_width_range: Range = (0, 20),
        num_freq_mask: int = 2,
        apply_time_mask: bool = True,
        time_mask_width_range: Range = (0, 100),
        num_time_mask: int = 2,
        adaptive: bool = False,
        adaptive_number_ratio: float = 0.04,
        adaptive_size_ratio: float = 0.04,
        max_n_time_masks: int = 20,
        replace_with_zero: bool = True,
    ) -> None:
        super().__init__()
        if not (apply_time_warp or apply_freq_mask or apply_time_mask):
            raise UserError(
                "specaug: time warp, frequency and time masks are all off. Turn one on, or remove the block."
            )
        if time_warp_mode not in TAPS:
            raise UserError(f"specaug.time_warp_mode is '{time_warp_mode}'. Valid modes: {', '.join(TAPS)}.")
        if apply_time_warp and time_warp_window < 1:
            raise UserError(f"specaug.time_warp_window is {time_warp_window}; it takes at least 1 frame.")
        if adaptive and max_n_time_masks < 1:
            raise UserError(
                f"specaug.max_n_time_masks is {max_n_time_masks}; adaptive masking takes at least 1."
            )
        self.time_warp_window = time_warp_window if apply_time_warp else 0
        self.time_warp_mode = time_warp_mode
        self.freq_widths = _width_range("freq_mask_width_range", freq_mask_width_range)
        self.num_freq_mask = num_freq_mask if apply_freq_mask else 0
        self.time_widths = _width_range("time_mask_width_range", time_mask_width_range)
        self.num_time_mask = num_time_mask if apply_time_mask else 0
        self.adaptive = adaptive
        self.adaptive_number_ratio = adaptive_number_ratio
        self.adaptive_size_ratio = adaptive_size_ratio
        self.max_n_time_masks = max_n_time_masks
        self.replace_with_zero = replace_with_zero

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SpecAug":
        """Build from the `specaug` block of a config; an unknown field is a UserError naming the nearest."""
        return typed(cls, config, "specaug")

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Augmented copies of `features`: same lengths, dtype and device, differentiable."""
        if not self.training or not features:
            return features
        lengths = torch.tensor([len(feature) for feature in features])
        rows = _Rows.of(lengths)
        # All utterances lie one after the other, [rows, dim]: no padding, a handful of kernels per batch.
        stacked = torch.cat(features)
        if self.time_warp_window:
            stacked = self._warped(stacked, rows)
        masked = self._masked(rows, stacked.size(-1), stacked.device)
        if masked is not None and self.replace_with_zero:
            stacked = stacked.masked_fill_(masked, 0.0)  # in place on our own copy
        elif masked is not None:
            means = torch.stack([item.mean() for item in stacked.split(lengths.tolist())])
            stacked = torch.where(masked, means[rows.utterance.to(means.device), None], stacked)
        return list(stacked.split(lengths.tolist()))

    def _warped(self, stacked: Tensor, rows: "_Rows") -> Tensor:
        """Move a random frame of every utterance within the window; resize what lies on its two sides."""
        window, lengths = self.time_warp_window, rows.lengths
        centre = _uniform(torch.full_like(lengths, window), lengths - window)
        moved = _uniform(centre - window, centre + window) + 1
        short = lengths <= 2 * window  # stays as it is
        centre, moved = torch.where(short, lengths, centre), torch.where(short, lengths, moved)
        index, weight = _resize(rows, centre, moved, TAPS[self.time_warp_mode])
        index, weight = index.to(stacked.device), weight.to(stacked.device)
        # Every output row is a weighted sum of a few; half precision is computed in float32.
        source = stacked if stacked.dtype == torch.float64 else stacked.float()
        return F.embedding_bag(index, source, per_sample_weights=weight.to(source), mode="sum").to(stacked)

    def _masked(self, rows: "_Rows", dim: int, device: torch.device) -> Tensor | None:
        """True where a mask lies: [rows, dim], or [rows, 1] without frequency masks; None without any."""
        masked = None
        if self.num_freq_mask:
            widths = self._draw_widths(self.freq_widths, self.num_freq_mask, rows.lengths)
            starts = _starts(widths, torch.full_like(rows.lengths, dim))
            freq = _covered(torch.arange(dim)[None, :], starts[:, None], widths[:, None])  # [batch, dim]
            masked = freq.to(device)[rows.utterance.to(device)]
        if self.num_time_mask:
            if self.adaptive:
                widths = self._draw_adaptive_widths(rows.lengths)
            else:
                widths = self._draw_widths(self.time_widths, self.num_time_mask, rows.lengths)
            starts = _starts(widths, rows.lengths)
            time = _covered(rows.position, starts[rows.utterance], widths[rows.utterance])  # [rows]
            time = time.to(device)[:, None]
            masked = time if masked is None else masked | time
        return masked

    @staticmethod
    def _draw_widths(bounds: tuple[int, int], count: int, lengths: Tensor) -> Tensor:
        low = torch.full((len(lengths), count), bounds[0])
        return _uniform(low, torch.full_like(low, bounds[1]))  # [batch, masks]

    def _draw_adaptive_widths(self, lengths: Tensor) -> Tensor:
        count = (lengths * self.adaptive_number_ratio).long()
        slots = torch.arange(self.max_n_time_masks)
        high = (lengths * self.adaptive_size_ratio).long()[:, None].expand(-1, len(slots))
        return torch.where(slots < count[:, None], _uniform(torch.zeros_like(high), high), 0)


@dataclass
class _Rows:
    """Which frame of which utterance every row of the stacked batch is; all on the CPU."""

    lengths: Tensor  # [batch] frames
    utterance: Tensor  # [rows] index in the batch
    position: Tensor  # [rows] frame inside the utterance
    first: Tensor  # [rows] row of that utterance's frame 0

    @classmethod
    def of(cls, lengths: Tensor) -> "_Rows":
        utterance = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        first = (lengths.cumsum(0) - lengths)[utterance]
        return cls(lengths, utterance, torch.arange(len(utterance)) - first, first)


def _uniform(low: Tensor, high: Tensor) -> Tensor:
    """Integers drawn evenly from [low, high), element by element; `low` where that is empty."""
    room = (high - low).clamp(min=1)
    return low + (torch.rand(room.shape, dtype=torch.float64) * room).long()


def _starts(widths: Tensor, sizes: Tensor) -> Tensor:
    """Where masks of `widths` [batch, masks] begin on axes of `sizes` [batch], with room for the widest."""
    room = (sizes - widths.amax(1)).clamp(min=1)
    return _uniform(torch.zeros_like(widths), room[:, None].expand_as(widths))


def _covered(place: Tensor, starts: Tensor, widths: Tensor) -> Tensor:
    """Whether `place` [...] lies in any of the masks [..., masks]."""
    return ((place[..., None] >= starts) & (place[..., None] < starts + widths)).any(-1)


def _resize(
    rows: _Rows, centre: Tensor, moved: Tensor, taps: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The rows and weights [rows, taps] of which the warped rows are sums.

    Frames before `centre` become those before `moved`, the rest the rest, as resizing the two parts apart
    does (pixel centres at one half, borders repeated).
    """
    centre, moved = centre[rows.utterance], moved[rows.utterance]
    length = rows.lengths[rows.utterance]
    left = rows.position < moved
    begin, end = torch.where(left, 0, centre), torch.where(left, centre, length)
    out_begin, out_end = torch.where(left, 0, moved), torch.where(left, moved, length)
    scale = (end - begin).double() / (out_end - out_begin)
    place = (rows.position - out_begin + 0.5) * scale - 0.5
    whole = place.floor()
    weight = taps(place - whole)  # [rows, taps]
    offset = torch.arange(weight.size(1)) - (weight.size(1) - 1) // 2
    source = (begin + whole.long())[:, None] + offset
    source = source.clamp(begin[:, None], end[:, None] - 1)
    return rows.first[:, None] + source, weight


def _cubic(fraction: Tensor) -> Tensor:
    """Weights of the four nearest frames by cubic convolution, a = -0.75 (the bicubic of PyTorch)."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return torch.stack([far(fraction + 1), near(fraction), near(1 - fraction), far(2 - fraction)], dim=-1)


def _linear(fraction: Tensor) -> Tensor:
    return torch.stack([1 - fraction, fraction], dim=-1)


TAPS: dict[str, Callable[[Tensor], Tensor]] = {"bicubic": _cubic, "bilinear": _linear}


def _width_range(field: str, value: Range) -> tuple[int, int]:
    low, high = (0, value) if isinstance(value, int) else (value if len(value) == 2 else (0, 0))
    if not 0 <= low < high:
        raise UserError(
            f"specaug.{field} is {value}. It takes [low, high) with 0 <= low < high, or one number."
        )
    return int(low), int(high)
