"""What a masked model reads and what it predicts, by the block `audio` of its configuration.

    audio: {kaldi: …, delta: …, cmvn: …}                 the target is the input
    audio: {target_level: -25, win_ms: 25, …, input: …, target: …}

Features made ready have no such block; where preprocess_any.py has made them, settings.json of their folder
holds one, so that the checkpoint can say how to compute them from a wave.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from s3prl.upstream.features.stft import STFT_FIELDS
from s3prl.utility.config import check_fields
from s3prl.utility.errors import UserError
from s3prl.utility.settings import SETTINGS
from s3prl.utility.typed import checked_mapping

from ..expert import MODEL
from ..front import Front, ReadyFeatures

AUDIO = f"{MODEL}.audio"
INPUT_DIM = f"{MODEL}.transformer.input_dim"
ONLINE = (*STFT_FIELDS, "target_level", "input", "target")
VIEW = "channel"  # a field of `input` and `target` that changes nothing


class Fronts(nn.Module):
    """Input and target of a batch, computed once where they are the same.

    Attributes: `dim` and `target_dim`, `shift` (samples per frame).
    """

    def __init__(self, read: Front | ReadyFeatures, predicted: Front | None = None) -> None:
        """
        Args:
            read: gives the input.
            predicted: gives the target; None where that is the input.
        """
        super().__init__()
        self.read, self.predicted = read, predicted
        self.dim, self.shift = read.dim, read.shift
        self.target_dim = read.dim if predicted is None else predicted.dim

    def num_frames(self, length: int) -> int:
        """Frames of an utterance; 0 when it is too short for one."""
        return self.read.num_frames(length)

    def forward(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[int]]:
        """Unpadded waves (or features made ready) -> [batch, frames, dim], its target, frames of each."""
        features, frames = self.read(batch)
        return features, features if self.predicted is None else self.predicted(batch)[0], frames


def fronts_of_audio(audio: Any, input_dim: int) -> Fronts:
    """The front ends that a block `audio` describes.

    Args:
        input_dim: what the model is said to take; 0 or less leaves it to the block.

    Raises:
        UserError: a field that does not exist or cannot work.
    """
    block = checked_mapping(audio, AUDIO)
    if "kaldi" in block:
        return Fronts(_checked(Front(block, AUDIO), input_dim))
    check_fields(block, ONLINE, AUDIO)
    level = block.get("target_level")
    stft = {name: value for name, value in block.items() if name in STFT_FIELDS}
    read = _checked(Front({**stft, "input": block.get("input")}, AUDIO, level), input_dim)
    if _same(block.get("input"), block.get("target")):
        return Fronts(read)
    return Fronts(read, Front({**stft, "input": block["target"]}, f"{AUDIO} (target)", level))


def fronts_of_folder(audio: Mapping[str, Any] | None, input_dim: int) -> Fronts:
    """The front end for features made ready.

    Args:
        audio: how they were made, where that is known.
        input_dim: of the model; 0 or less where `audio` tells it.

    Raises:
        UserError: nothing tells the size, or two things tell different ones.
    """
    if audio is not None:
        made = _checked(Front(audio, SETTINGS), input_dim)
        return Fronts(ReadyFeatures(made.dim, made.shift))
    if input_dim <= 0:
        raise UserError(
            f"{INPUT_DIM}: how many dimensions do the features have? Set it. (Only for features of "
            "preprocess_any.py, preprocess_libri.py and preprocess_timit.py is it known.)"
        )
    return Fronts(ReadyFeatures(input_dim))


def _checked(front: Front, input_dim: int) -> Front:
    if 0 < input_dim != front.dim:
        raise UserError(
            f"{INPUT_DIM} is {input_dim}, but the features have {front.dim} dimensions. "
            "-1 takes what they have."
        )
    return front


def _same(read: Any, predicted: Any) -> bool:
    """Whether `input` and `target` describe one feature, or no target is described."""
    if predicted is None:
        return True
    one, other = (checked_mapping(block, AUDIO) for block in (read, predicted))
    return {**one, VIEW: None} == {**other, VIEW: None}
