"""From the frames of an upstream to one feature for each label."""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from s3prl.utility.errors import UserError

from ..common.frame import fit_to_labels


class Pace(NamedTuple):
    """How often a frame is repeated, or how many are averaged; one of the two is 1."""

    repeats: int
    averaged: int

    @classmethod
    def between(cls, upstream_rate: int, stride: int) -> "Pace":
        """For samples between two frames, and between two labels.

        Raises:
            UserError: neither is a multiple of the other.
        """
        found = cls(max(1, round(upstream_rate / stride)), max(1, round(stride / upstream_rate)))
        if found.repeats * stride != found.averaged * upstream_rate:
            raise UserError(
                f"Labels every {stride} samples (downstream_expert.datarc: frame_shift times subsampling) do "
                f"not fit the upstream, which has a frame every {upstream_rate}: one must divide the other. "
                "With frame_shift at null and subsampling at 1 there is a label for each frame."
            )
        return found

    def fit(self, features: Sequence[Tensor], labels: Sequence[int]) -> Tensor:
        """A feature for each label, zeros behind the shorter utterances: [batch, most labels, dim].

        Args:
            features: [frames, dim] of every utterance; its last feature is repeated where one is missing.
            labels: how many each utterance has.
        """
        if self.averaged > 1:
            features = [_averaged(feature, self.averaged) for feature in features]
        return fit_to_labels(features, labels, self.repeats)


def _averaged(feature: Tensor, frames: int) -> Tensor:
    """The mean of every so many frames in a row, the last of what is left: [frames, dim]."""
    return F.avg_pool1d(feature.T[None], frames, ceil_mode=True)[0].T
