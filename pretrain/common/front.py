"""From the waves of a batch to what a model is given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl.upstream.features.frames import least_length
from s3prl.upstream.features.level import rms_of, scaled
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.errors import UserError


class Front(nn.Module):
    """Acoustic features of a batch, on the device of its waves.

    Attributes: `dim` (size of a feature vector), `shift` (samples per frame).
    """

    def __init__(self, config: Mapping[str, Any], where: str, level: float | str | None = None) -> None:
        """
        Args:
            config: as `features_from_config` takes it.
            where: how to name the config in an error.
            level: dB to which the root mean square of every wave is scaled; None leaves waves as they are.

        Raises:
            UserError: a field that does not exist or cannot work.
        """
        super().__init__()
        self.features = features_from_config(config, where)
        self.rms = rms_of(level, f"{where}: target_level")
        self.dim, self.shift = self.features.dim, self.features.shift

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.features.num_frames(samples)

    def forward(self, wavs: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Unpadded waves [samples] -> [batch, frames, dim], zero after each end, and the frames of each."""
        wavs = list(wavs) if self.rms is None else scaled(wavs, self.rms)
        return self.features(wavs)


class ReadyFeatures(nn.Module):
    """Features that were made ready, with the surface of Front: they are only padded.

    Attributes: `dim`, `shift` (samples per frame, where it is known).
    """

    def __init__(self, dim: int, shift: int = 160, field: str = "transformer.input_dim") -> None:
        """
        Args:
            field: of the model's configuration, which sets `dim`.
        """
        super().__init__()
        self.dim, self.shift, self.field = dim, shift, field

    def num_frames(self, frames: int) -> int:
        """Frames of an utterance, whose length is given in frames."""
        return frames

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """[frames, dim] of every utterance -> [batch, frames, dim], zero after each end, and the frames.

        Raises:
            UserError: features of another size than the model's.
        """
        wrong = next((each.size(1) for each in features if each.size(1) != self.dim), None)
        if wrong is not None:
            raise UserError(
                f"The features have {wrong} dimensions, but the model takes {self.dim}. Set "
                f"config.upstream_config.{self.field} to what the folder of features holds."
            )
        return pad_sequence(list(features), batch_first=True), [len(each) for each in features]


def shortest_for(front: nn.Module, frames: int = 1) -> int:
    """The least length (samples, or frames of ready features) that gives so many frames."""
    return least_length(front.num_frames, frames)


def check_heard(front: nn.Module, heard: int, waves: bool, frames: int = 1) -> int:
    """`shortest_for(front, frames)`, once it is sure that no more than that is cut out of utterances.

    Args:
        heard: `task.sequence_length`, the frames to hear of an utterance at most; 0: all.
        waves: whether the front reads waves, and not ready features.

    Raises:
        UserError: what is heard is too short.
    """
    shortest = shortest_for(front, frames)
    least = math.ceil(shortest / front.shift) if waves else shortest
    if 0 < heard < least:
        raise UserError(
            f"config.upstream_config.task.sequence_length is {heard}, but at least {least} frames must be "
            "heard of an utterance. Raise it; 0 hears all."
        )
    return shortest


def on_device(batch: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The tensors of a batch where they are computed with."""
    return [each.to(device, non_blocking=True) for each in batch]
