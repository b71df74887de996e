"""Models that are not built like wav2vec 2.0: by the library's own forward pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.errors import UserError

from ...features.frames import valid_mask
from ...features.kaldi import KaldiFeatures
from ...interfaces import SAMPLE_RATE, UpstreamBase
from .adapter import TransformersUpstream, captured, padded, without_randomness
from .library import transformers


class WaveformUpstream(TransformersUpstream):
    """A model of waves with strided convolutions and any other encoder: Conformer, SEW."""

    def __init__(self, model: transformers.PreTrainedModel, *arguments: Any, **options: Any) -> None:
        """Take the same arguments as TransformersUpstream."""
        super().__init__(model, *arguments, **options)
        if (pooling := getattr(model.config, "squeeze_factor", 1)) > 1:  # SEW pools before its layers
            self.convolutions.append((pooling, pooling))

    def encode(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """The hidden states of wavs that are padded together."""
        batch = padded(wavs, self.normalize).to(self.model.dtype)
        return captured(self.model, batch, attention_mask=_mask([len(wav) for wav in wavs], batch))


class FilterBankUpstream(TransformersUpstream):
    """w2v-BERT 2.0 (Communication et al., 2023): mel filter banks, two frames in one: 20 ms."""

    def __init__(
        self, model: transformers.PreTrainedModel, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """
        Args:
            model: a Wav2Vec2BertModel.
            settings: of its feature extractor (`num_mel_bins`, `stride`).
        """
        super().__init__(model, **options)
        extractor = transformers.SeamlessM4TFeatureExtractor(**(settings or {}))
        self.fbank = KaldiFeatures("fbank", num_mel_bins=extractor.num_mel_bins)
        self.convolutions = [(self.fbank.options.window, self.fbank.shift), (extractor.stride,) * 2]

    def encode(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """The hidden states of wavs that are padded together."""
        fbank, frames = self.fbank([wav * 2.0**15 for wav in wavs])  # Kaldi's range: 16-bit integers
        stacked = self.convolutions[-1][0]
        features = _normalised(fbank, frames)[:, : max(frames) // stacked * stacked]
        features = features.unflatten(1, (-1, stacked)).flatten(2).to(self.model.dtype)
        return captured(self.model, features, attention_mask=_mask([n // stacked for n in frames], features))


class AnyUpstream(UpstreamBase):
    """A model of which nothing more is known: utterances one by one, by its own feature extractor.

    Slow, without gradients to the waves, and the frames of an utterance are counted by rounding.
    """

    batch_invariant = True

    def __init__(self, model: transformers.PreTrainedModel, folder: str, **options: Any) -> None:
        """
        Args:
            model: whose layers are [batch, frames, dim].
            folder: holds the settings of its feature extractor.

        Raises:
            UserError: its frames do not follow the length of the audio.
        """
        super().__init__(**options)
        self.model = without_randomness(model).eval()
        self.name = f"[{model.config.model_type}]"
        try:
            self.extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
            short, long = (self._frames(seconds) for seconds in (1, 11))
        except Exception as error:  # what the library raises where a model cannot be fed audio alone
            raise UserError(f"{self.name}, a {type(model).__name__}, cannot be fed audio: {error}") from error
        if long <= short:
            raise UserError(
                f"{self.name} gives {short} frames for 1 s of audio and {long} for 11 s, so it has no frames "
                "in time. Choose a model of speech frames."
            )
        self.rate = round(10 * SAMPLE_RATE / (long - short))

    @torch.no_grad()
    def _frames(self, seconds: int) -> int:
        noise = torch.randn(seconds * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
        return self._alone(noise)[0].size(1)

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.rate

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> hidden states [batch, frames, dim], zero after an utterance's end."""
        alone = [self._alone(wav) for wav in wavs]
        states = [
            pad_sequence([state[0] for state in layer], batch_first=True)
            for layer in zip(*alone, strict=True)
        ]
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def _alone(self, wav: Tensor) -> list[Tensor]:
        samples = wav.detach().float().cpu().numpy()
        inputs = self.extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(wav.device)
        feature = inputs[self.model.main_input_name].to(self.model.dtype)
        return captured(self.model, feature)


def _mask(lengths: list[int], batch: Tensor) -> Tensor | None:
    """[batch, time], 1 outside padding, as the library wants it; None where there is no padding."""
    if min(lengths) == batch.size(1):
        return None
    return valid_mask(lengths, batch.size(1), batch.device)[..., 0].long()


def _normalised(features: Tensor, frames: list[int]) -> Tensor:
    """[batch, frames, dim], each utterance and dimension brought to zero mean and unit variance."""
    valid = valid_mask(frames, features.size(1), features.device)
    count = valid.sum(1, keepdim=True)
    centred = (features - features.sum(1, keepdim=True) / count).masked_fill(~valid, 0)
    return centred * (centred.square().sum(1, keepdim=True) / (count - 1) + 1e-7).rsqrt()
