"""The upstream that APC, NPC and DeCoAR are: Kaldi features, normalised per utterance, then a network."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..features.pipeline import KaldiPipeline
from ..interfaces import UpstreamBase

MEL_BANDS = 80
# What a checkpoint's `data.audio` says beside options of the features. Wavs come decoded.
NO_OPTION = ("feat_type", "feat_dim", "cmvn", "decode_wav")


def audio_features(audio: Mapping[str, Any], where: str) -> KaldiPipeline:
    """Features that the block `data.audio` of a checkpoint describes.

    Args:
        audio: feat_type (fbank or mfcc), feat_dim (mel bands), cmvn (normalise per utterance; default true),
            and options of the Kaldi feature such as frame_length and frame_shift in milliseconds.
        where: how to name the block in an error.

    Raises:
        UserError: an unknown field, or a value that cannot work.
    """
    kind = audio.get("feat_type", "fbank")
    options = {name: value for name, value in audio.items() if name not in NO_OPTION}
    mel_bands = audio.get("feat_dim", MEL_BANDS)
    return KaldiPipeline(
        kaldi={"feat_type": kind, kind: {"window_type": "hamming", "num_mel_bins": mel_bands, **options}},
        delta={"order": 0},
        cmvn={"use_cmvn": audio.get("cmvn", True)},
        where=where,
    )


class FilterbankExpert(UpstreamBase):
    """Features of the whole batch at once, every `skip`-th frame of them, then the network.

    Attributes: `model`, called as model(features [batch, frames, dim], frames: list of int) -> the list of
    hidden states [batch, frames, dim].
    """

    batch_invariant = True

    def __init__(
        self, name: str, features: KaldiPipeline, model: nn.Module, skip: int = 1, **options: Any
    ) -> None:
        """
        Args:
            name: of the model, for errors.
            skip: keep frames 0, skip, 2 * skip, ...
        """
        super().__init__(**options)
        self.name = f"[{name}]"
        self.features = features
        self.model = model
        self.skip = skip

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.features.shift * self.skip

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return -(-self.features.num_frames(samples) // self.skip)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> the hidden states of the model, each [batch, frames, dim]."""
        features, _ = self.features(wavs)
        frames = [self.num_frames(len(wav)) for wav in wavs]
        hidden_states = self.model(features[:, :: self.skip], frames)
        return {"hidden_states": hidden_states, "last_hidden_state": hidden_states[-1]}
