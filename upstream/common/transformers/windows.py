"""Models that read a spectrogram of fixed length: longer audio goes through them window by window."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ...features.kaldi import KaldiFeatures
from ...interfaces import UpstreamBase
from .adapter import captured, without_randomness
from .library import transformers


class WindowedUpstream(UpstreamBase):
    """A model of windows, padded as in its training: an utterance has the same values in any batch.

    Subclasses set `window` (samples that one window sees), `step` (samples from one to the next, the rest
    being context), `rate` (samples per frame, which divides `step`) and `shortest` (samples needed
    for a frame), and give `states`.
    """

    window: int
    step: int
    rate: int
    shortest: int = 1
    batch_invariant = True

    def __init__(self, model: transformers.PreTrainedModel, **options: Any) -> None:
        """
        Args:
            model: the encoder.
        """
        super().__init__(**options)
        self.model = without_randomness(model)
        self.name = f"[{model.config.model_type}]"

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.rate

    def num_windows(self, samples: int) -> int:
        """Windows that an utterance of `samples` is cut into."""
        return 1 + max(-(-(samples - self.window) // self.step), 0)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        if samples < self.shortest:
            return 0
        before = (self.num_windows(samples) - 1) * self.step
        return min(-(-samples // self.rate), (before + self.step) // self.rate)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> hidden states [batch, frames, dim]."""
        counts = [self.num_windows(len(wav)) for wav in wavs]
        pieces = [
            wav[start : start + self.window]
            for wav, count in zip(wavs, counts, strict=True)
            for start in range(0, count * self.step, self.step)
        ]
        frames = max(self.num_frames(len(wav)) for wav in wavs)
        states = [self._joined(state, counts)[:, :frames] for state in self.states(pieces)]
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def states(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Hidden states [pieces, step / rate, dim] of pieces of at most `window` samples."""
        raise NotImplementedError

    def _joined(self, state: Tensor, counts: list[int]) -> Tensor:
        if max(counts) == 1:
            return state
        return pad_sequence([part.flatten(0, 1) for part in state.split(counts)], batch_first=True)


class SpectrogramTransformer(WindowedUpstream):
    """AST (Gong et al., Interspeech 2021): patches of a 10 s spectrogram, averaged over frequency: 100 ms."""

    def __init__(
        self, model: transformers.PreTrainedModel, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """
        Args:
            model: an ASTModel.
            settings: of its feature extractor (`mean`, `std`, `do_normalize`), by default that of AudioSet.
        """
        super().__init__(model, **options)
        extractor = transformers.ASTFeatureExtractor(**(settings or {}))
        self.fbank = KaldiFeatures("fbank", window_type="hanning", num_mel_bins=model.config.num_mel_bins)
        self.mean, self.scale = (extractor.mean, 2 * extractor.std) if extractor.do_normalize else (0.0, 1.0)
        self.bands, self.columns = model.embeddings.get_shape(model.config)  # of patches
        self.rate = model.config.time_stride * self.fbank.shift
        self.step = self.columns * self.rate
        self.shortest = self.fbank.options.window
        self.window = (model.config.max_length - 1) * self.fbank.shift + self.shortest

    def states(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Hidden states [pieces, columns of patches, dim]."""
        fbank, _ = self.fbank(pieces)
        missing = self.model.config.max_length - fbank.size(1)
        fbank = nn.functional.pad(fbank, (0, 0, 0, missing))
        states = captured(self.model, ((fbank - self.mean) / self.scale).to(self.model.dtype))
        return [state[:, 2:].unflatten(1, (self.bands, self.columns)).mean(1) for state in states]


class Whisper(WindowedUpstream):
    """The encoder of Whisper (Radford et al., 2022), which reads 30 s, silence included: 20 ms."""

    def __init__(
        self, model: transformers.PreTrainedModel, settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """
        Args:
            model: a WhisperEncoder.
            settings: of its feature extractor.
        """
        super().__init__(model, **options)
        settings = {"feature_size": model.config.num_mel_bins, **(settings or {})}
        extractor = transformers.WhisperFeatureExtractor(**settings)
        self.fft, self.hop = extractor.n_fft, extractor.hop_length
        self.rate = self.hop * model.conv1.stride[0] * model.conv2.stride[0]
        self.window = self.step = model.config.max_source_positions * self.rate
        banks = torch.from_numpy(extractor.mel_filters).float()
        self.register_buffer("banks", banks.T.contiguous(), persistent=False)  # [mels, bins]

    def states(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Hidden states [pieces, frames of a window, dim]."""
        padded = pieces[0].new_zeros(len(pieces), self.window)
        for row, piece in zip(padded, pieces, strict=True):
            row[: len(piece)] = piece
        return captured(self.model, self.log_mel(padded).to(self.model.dtype))

    def log_mel(self, windows: Tensor) -> Tensor:
        """[pieces, samples] -> [pieces, mels, samples / hop], about -1 to 1."""
        with torch.autocast(windows.device.type, enabled=False):
            hann = torch.hann_window(self.fft, device=windows.device)
            spectrum = torch.stft(windows, self.fft, self.hop, window=hann, return_complex=True)
            energies = self.banks.float() @ spectrum[..., :-1].abs().square()
            decades = energies.clamp(min=1e-10).log10()
            floor = decades.amax((1, 2), keepdim=True) - 8.0
            return (torch.maximum(decades, floor) + 4.0) / 4.0
