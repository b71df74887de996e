"""Acoustic features as a YAML config describes them, in the two layouts of the public S3PRL.

With a `kaldi` block: `kaldi.feat_type` and a block of its options, then `delta` (order, win_length), then
`cmvn` (use_cmvn). Without: the fields of a centred STFT and an `input` block (see stft.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.config import check_fields
from s3prl.utility.typed import Bound, at_least, typed

from .delta import STD_EPSILON, Workspace, add_deltas, normalise
from .frames import check_wavs, empty_batch, wants_gradients
from .kaldi import KaldiFeatures
from .options import require
from .stft import PADS, STFT_FIELDS, StftFeatures


def features_from_config(config: Mapping[str, Any], where: str = "config") -> "KaldiPipeline | StftFeatures":
    """Build the features that a config describes.

    Both results offer `forward(wavs) -> ([batch, frames, dim], frames of each)`, `num_frames(samples)`, `dim`
    and `shift` (samples per frame).

    Args:
        config: the content of a YAML file such as upstream/baseline/fbank.yaml.
        where: how to name the config in an error.

    Raises:
        UserError: a field that does not exist or cannot work, with its place and the nearest valid name.
    """
    if "kaldi" in config:
        check_fields(config, ("kaldi", "delta", "cmvn"), where)
        return KaldiPipeline(config["kaldi"], config.get("delta"), config.get("cmvn"), where)
    check_fields(config, (*STFT_FIELDS, "input", "target", "pad", "kaldi"), where)
    require(
        "input" in config,
        f"{where} has neither a `kaldi` nor an `input` block, so it describes no acoustic feature. "
        "See upstream/baseline/fbank.yaml and upstream/baseline/mel.yaml.",
    )
    stft = {name: value for name, value in config.items() if name in STFT_FIELDS}
    pad = config.get("pad", PADS[0])
    return StftFeatures(config["input"], pad=pad, where=where, **stft)


@dataclass(frozen=True)
class _Kaldi:
    """The block `kaldi`; the options of a feature are in options.py."""

    feat_type: Literal["fbank", "mfcc", "spectrogram"] = "fbank"
    fbank: dict | None = None
    mfcc: dict | None = None
    spectrogram: dict | None = None


@dataclass(frozen=True)
class _Delta:
    """The block `delta`."""

    order: Annotated[int, at_least(0)] = 2
    win_length: Annotated[int, Bound(lambda length: length >= 3 and length % 2 == 1, "odd and 3 or more")] = 5
    mode: Literal["replicate"] = "replicate"


@dataclass(frozen=True)
class _Cmvn:
    """The block `cmvn`."""

    use_cmvn: bool
    eps: float = STD_EPSILON


class KaldiPipeline(nn.Module):
    """A Kaldi feature, its deltas, and mean and variance normalisation per utterance."""

    def __init__(
        self,
        kaldi: Mapping[str, Any] | None,
        delta: Mapping[str, Any] | None,
        cmvn: Mapping[str, Any] | None,
        where: str = "config",
    ) -> None:
        """
        Args:
            kaldi: feat_type (fbank, mfcc, spectrogram; default fbank) and a block of options for it.
            delta: order (default 2) and win_length in frames (default 5).
            cmvn: use_cmvn, and eps (default 1e-10), added to the standard deviation.
            where: how to name the config in an error.

        Raises:
            UserError: a field that does not exist or cannot work.
        """
        super().__init__()
        base = typed(_Kaldi, kaldi, f"{where}: kaldi")
        options = getattr(base, base.feat_type) or {}
        self.base = KaldiFeatures(base.feat_type, where=f"{where}: kaldi.{base.feat_type}", **options)
        deltas = typed(_Delta, delta, f"{where}: delta")
        self.order, self.win_length = deltas.order, deltas.win_length
        normalisation = typed(_Cmvn, cmvn, f"{where}: cmvn")
        self.cmvn, self.eps = normalisation.use_cmvn, normalisation.eps
        self.dim = self.base.dim * (1 + self.order)
        self.shift = self.base.shift

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`; 0 when it is shorter than one window."""
        return self.base.num_frames(samples)

    def forward(self, wavs: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Features of a batch; each utterance's are those it has alone.

        Args:
            wavs: unpadded [samples] tensors in [-1, 1], on one device.

        Returns:
            [batch, frames, dim], zero after an utterance's end, and the frames of each utterance.

        Raises:
            UserError: no wav, or one that is not a 1-D float tensor.
        """
        wavs = check_wavs(wavs)
        if wavs[0].device.type != "cpu":
            return self._whole_batch(wavs)
        if wants_gradients(wavs):
            alone = [self._whole_batch([wav])[0][0] for wav in wavs]
            return pad_sequence(alone, batch_first=True), [len(features) for features in alone]
        frames = [self.num_frames(len(wav)) for wav in wavs]
        batch = empty_batch(wavs, frames, self.dim)
        workspace = Workspace(wavs[0], max(frames), self.base.dim, self.order, self.win_length)
        with torch.autocast("cpu", enabled=False):
            for wav, features, valid in zip(wavs, batch, frames, strict=True):
                self.base.write(wav, workspace.statics(valid))
                workspace.finish(features[:valid], valid, self.eps if self.cmvn else None)
        return batch, frames

    def _whole_batch(self, wavs: list[Tensor]) -> tuple[Tensor, list[int]]:
        features, frames = self.base(wavs)
        features = add_deltas(features, frames, self.order, self.win_length)
        if self.cmvn:
            features = normalise(features, frames, self.eps)
        index = torch.arange(features.size(1), device=features.device)
        ends = torch.tensor(frames, device=features.device)
        return features.masked_fill((index >= ends[:, None])[..., None], 0.0), frames
