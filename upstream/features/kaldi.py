"""Kaldi's fbank, mfcc and spectrogram (compute-*-feats), batched, differentiable, on any device.

The definition is short: `_spectra` turns frames into spectra and `_features` spectra into features. It runs
as one set of launches over the padded batch on a GPU, and utterance by utterance where a CPU needs gradients.
Without gradients a CPU takes `_chunk_spectra` instead: the same values from a waveform that is pre-emphasised
once, in chunks that stay in its cache (one large padded batch is several times slower there).
"""

from collections.abc import Sequence
from math import log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.errors import UserError

from .frames import (
    check_wavs,
    chunks,
    empty_batch,
    frame_means,
    power_spectrum,
    reflected,
    valid_mask,
    wants_gradients,
)
from .mel import Band, apply_bands, bands, cosine_transform, kaldi_mel_banks, lifter
from .options import FbankOptions, MfccOptions, SpectrogramOptions, kaldi_options
from .tables import Tables

EPSILON = torch.finfo(torch.float32).eps  # floor of every energy before its logarithm


class _Tables(NamedTuple):
    """Constants of a feature on one device, in one precision."""

    window: Tensor  # [window]
    banks: list[Band] | None
    cepstra: Tensor | None  # [mels, ceps], the cosine transform with its lifter


class KaldiFeatures(nn.Module):
    """One kind of Kaldi feature with fixed options.

    Attributes: `options`, `dim` (size of a feature vector), `shift` (samples per frame).
    """

    def __init__(self, kind: str = "fbank", where: str | None = None, **options: Any) -> None:
        """
        Args:
            kind: fbank, mfcc or spectrogram.
            where: how to name the origin of the options in an error.
            options: those of torchaudio.compliance.kaldi (see options.py).

        Raises:
            UserError: an unknown kind or option, or a value that cannot work.
        """
        super().__init__()
        self.options: SpectrogramOptions = kaldi_options(kind, options, where or kind)
        self.dim = self.options.dim
        self.shift = self.options.shift
        self._cache = Tables()

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`; 0 when it is shorter than one window or `min_duration`."""
        options = self.options
        if samples < options.window or samples < options.min_duration * options.sample_frequency:
            return 0
        if options.snip_edges:
            return 1 + (samples - options.window) // options.shift
        return (samples + options.shift // 2) // options.shift

    def forward(self, wavs: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Features of a batch.

        Args:
            wavs: unpadded [samples] tensors in [-1, 1], on one device.

        Returns:
            [batch, frames, dim], zero after an utterance's end, and the frames of each utterance.

        Raises:
            UserError: no wav, or one that is not a 1-D float tensor.
        """
        wavs = check_wavs(wavs)
        frames = [self.num_frames(len(wav)) for wav in wavs]
        with torch.autocast(wavs[0].device.type, enabled=False):
            if wavs[0].device.type != "cpu":
                return self._whole_batch(wavs, frames), frames
            if wants_gradients(wavs):
                return pad_sequence([self._alone(wav) for wav in wavs], batch_first=True), frames
            batch = empty_batch(wavs, frames, self.dim)
            for wav, utterance, valid in zip(wavs, batch, frames, strict=True):
                self.write(wav, utterance[:valid])
            return batch, frames

    def _whole_batch(self, wavs: list[Tensor], frames: list[int]) -> Tensor:
        """[batch, frames, dim] from one set of launches over the padded batch."""
        padded = pad_sequence(wavs, batch_first=True)  # [batch, samples]
        if max(frames) == 0:
            return padded.new_zeros(len(wavs), 0, self.dim)
        lengths = torch.tensor([len(wav) for wav in wavs], device=padded.device)
        tables = self._tables(padded)
        framed = self._framed(padded, lengths, max(frames))
        features = self._features(*self._spectra(framed, tables), tables)
        valid = valid_mask(frames, max(frames), padded.device)
        features = features.masked_fill(~valid, 0.0)
        if self.options.subtract_mean:
            counts = valid.sum(1, keepdim=True).clamp(min=1)
            features = (features - features.sum(1, keepdim=True) / counts).masked_fill(~valid, 0.0)
        return features

    def _alone(self, wav: Tensor) -> Tensor:
        """[frames, dim] of one wav by the plain definition."""
        frames = self.num_frames(len(wav))
        if frames == 0:
            return wav.new_zeros(0, self.dim)
        tables = self._tables(wav)
        framed = self._framed(wav[None], torch.tensor([len(wav)], device=wav.device), frames)[0]
        features = self._features(*self._spectra(framed, tables), tables)
        return features - features.mean(0) if self.options.subtract_mean else features

    def write(self, wav: Tensor, out: Tensor) -> None:
        """Write the features of one wav on a CPU into `out` [frames, dim], without gradients."""
        if len(out) == 0:
            return
        options, tables = self.options, self._tables(wav)
        if options.dither != 0.0:  # noise is drawn per frame, so nothing can be worked out before framing
            out.copy_(self._alone(wav))
            return
        if not options.snip_edges:
            wav = self._extended(wav[None], torch.tensor([len(wav)]), len(out))[0]
        if options.remove_dc_offset:  # a large offset would cost digits in `_chunk_spectra`
            wav = wav - wav.mean()
        framed = wav.unfold(0, options.window, options.shift)  # [frames, window], a view
        emphasised = wav.clone()
        emphasised[1:].sub_(wav[:-1], alpha=options.preemphasis_coefficient)
        emphasised = emphasised.unfold(0, options.window, options.shift)
        means = frame_means(wav, options.window, options.shift, len(out))[:, None]
        slices = chunks(len(out))
        buffer = wav.new_zeros(slices[0].stop, options.fft)
        for rows in slices:
            chunk = buffer[: rows.stop - rows.start]
            spectra = self._chunk_spectra(framed[rows], emphasised[rows], means[rows], chunk, tables)
            out[rows] = self._features(*spectra, tables)
        if options.subtract_mean:
            out -= out.mean(0)

    def _chunk_spectra(
        self, framed: Tensor, emphasised: Tensor, means: Tensor, buffer: Tensor, tables: _Tables
    ) -> tuple[Tensor, Tensor | None]:
        """What `_spectra` returns, without dither, for [frames, window] views and their [frames, 1] means.

        Pre-emphasis is linear, so taking a frame's mean away first equals taking (1 - coefficient) means away
        afterwards; a frame's first sample is its own predecessor, which the shared waveform cannot know.
        """
        options = self.options
        kept = 1.0 - options.preemphasis_coefficient
        windowed = buffer[:, : options.window]  # the rest of the buffer stays zero: padding of the FFT
        if options.remove_dc_offset:
            torch.sub(emphasised, means, alpha=kept, out=windowed)
            windowed[:, 0] = (framed[:, 0] - means[:, 0]) * kept
        else:
            windowed.copy_(emphasised)
            windowed[:, 0] = framed[:, 0] * kept
        windowed *= tables.window
        energy = None
        if self._needs_energy and options.raw_energy:
            energy = self._log_energy(framed - means if options.remove_dc_offset else framed)
        elif self._needs_energy:
            energy = self._log_energy(windowed)
        return self._power(torch.fft.rfft(buffer)), energy

    def _spectra(self, frames: Tensor, tables: _Tables) -> tuple[Tensor, Tensor | None]:
        """[..., window] -> spectra [..., fft // 2 + 1] and log energies [...] (None where not needed)."""
        options, energy = self.options, None
        if options.dither != 0.0:
            frames = frames + options.dither * torch.randn_like(frames)
        if options.remove_dc_offset:
            frames = frames - frames.mean(-1, keepdim=True)
        if self._needs_energy and options.raw_energy:
            energy = self._log_energy(frames)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        frames = (frames - options.preemphasis_coefficient * previous) * tables.window
        if self._needs_energy and not options.raw_energy:
            energy = self._log_energy(frames)
        return self._power(torch.fft.rfft(frames, n=options.fft)), energy

    def _power(self, spectrum: Tensor) -> Tensor:
        if isinstance(self.options, FbankOptions) and not self.options.use_power:
            return spectrum.abs()  # its gradient at 0 is 0; that of a square root is not
        return power_spectrum(spectrum)

    def _features(self, power: Tensor, energy: Tensor | None, tables: _Tables) -> Tensor:
        """Spectra [..., fft // 2 + 1] and log energies [...] -> features [..., dim]."""
        options = self.options
        if tables.banks is None:
            features = power.clamp(min=EPSILON).log()
            return torch.cat([energy[..., None], features[..., 1:]], -1)
        features = apply_bands(power, tables.banks)  # [..., mels]
        if isinstance(options, MfccOptions) or options.use_log_fbank:
            features = features.clamp_(min=EPSILON).log_()
        if isinstance(options, FbankOptions):
            if not options.use_energy:
                return features
            pair = [features, energy[..., None]]
            return torch.cat(pair if options.htk_compat else pair[::-1], -1)
        cepstra = features @ tables.cepstra  # [..., ceps]
        first, rest = cepstra[..., :1], cepstra[..., 1:]
        if options.use_energy:
            first = energy[..., None]
        if not options.htk_compat:
            return torch.cat([first, rest], -1)
        return torch.cat([rest, first if options.use_energy else first * sqrt(2.0)], -1)

    @property
    def _needs_energy(self) -> bool:
        return getattr(self.options, "use_energy", True)

    def _log_energy(self, frames: Tensor) -> Tensor:
        """[..., window] -> [...], floored like Kaldi's."""
        energy = frames.square().sum(-1).clamp(min=EPSILON).log()
        floor = self.options.energy_floor
        return energy if floor == 0.0 else energy.clamp(min=log(floor))

    def _framed(self, padded: Tensor, lengths: Tensor, frames: int) -> Tensor:
        """[batch, samples] -> [batch, frames, window] (a view)."""
        if not self.options.snip_edges:
            padded = self._extended(padded, lengths, frames)
        return padded.unfold(1, self.options.window, self.options.shift)[:, :frames]

    def _extended(self, padded: Tensor, lengths: Tensor, frames: int) -> Tensor:
        """Each wav mirrored at both ends, as `snip_edges: false` wants it: [batch, samples]."""
        window, shift = self.options.window, self.options.shift
        total = (frames - 1) * shift + window
        return reflected(padded, lengths, window // 2 - shift // 2, total, repeat_edge=True)

    def _tables(self, like: Tensor) -> _Tables:
        return self._cache.get_for(like, self._build_tables)

    def _build_tables(self, device: torch.device, dtype: torch.dtype) -> _Tables:
        options = self.options
        window = _window(options, dtype).to(device)
        if not isinstance(options, FbankOptions | MfccOptions):
            return _Tables(window, None, None)
        band = (options.low_freq, options.highest, options.vtln_low, options.vtln_highest, options.vtln_warp)
        banks = kaldi_mel_banks(options.num_mel_bins, options.fft, options.sample_frequency, *band)
        cepstra = None
        if isinstance(options, MfccOptions):
            cepstra = cosine_transform(options.num_mel_bins, options.num_ceps)
            cepstra = (cepstra * lifter(options.num_ceps, options.cepstral_lifter)).to(device, dtype)
        return _Tables(window, bands(banks.to(device, dtype)), cepstra)


def _window(options: SpectrogramOptions, dtype: torch.dtype) -> Tensor:
    """[window], symmetric."""
    size, symmetric = options.window, {"periodic": False, "dtype": dtype}
    if options.window_type == "hanning":
        return torch.hann_window(size, **symmetric)
    if options.window_type == "hamming":
        return torch.hamming_window(size, alpha=0.54, beta=0.46, **symmetric)
    if options.window_type == "povey":  # like hanning, but wider and still zero at the edges
        return torch.hann_window(size, **symmetric).pow(0.85)
    if options.window_type == "rectangular":
        return torch.ones(size, dtype=dtype)
    phase = 2.0 * torch.pi / (size - 1) * torch.arange(size, dtype=dtype)
    coefficient = options.blackman_coeff
    return coefficient - 0.5 * phase.cos() + (0.5 - coefficient) * (2.0 * phase).cos()


def fbank(waveform: Tensor, **options: Any) -> Tensor:
    """Mel filter bank energies of one waveform: [channels, samples] -> [frames, num_mel_bins (+ 1)].

    Stands in for torchaudio.compliance.kaldi.fbank and takes the same options. For many utterances build
    `KaldiFeatures` once instead.

    Raises:
        UserError: an unknown option, a value that cannot work, no such channel.
    """
    return _one_waveform("fbank", waveform, options)


def mfcc(waveform: Tensor, **options: Any) -> Tensor:
    """Cepstral coefficients of one waveform: [channels, samples] -> [frames, num_ceps]; else as `fbank`."""
    return _one_waveform("mfcc", waveform, options)


def spectrogram(waveform: Tensor, **options: Any) -> Tensor:
    """Log power spectra of one waveform: [channels, samples] -> [frames, fft // 2 + 1]; else as `fbank`.

    Column 0 holds the log energy, as in Kaldi.
    """
    return _one_waveform("spectrogram", waveform, options)


def _one_waveform(kind: str, waveform: Tensor, options: dict[str, Any]) -> Tensor:
    extractor = KaldiFeatures(kind, **options)
    channel = max(extractor.options.channel, 0)
    if waveform.dim() != 2 or channel >= len(waveform):
        raise UserError(
            f"{kind} was asked for channel {channel} of a waveform of shape {list(waveform.shape)}; "
            "it takes [channels, samples]."
        )
    return extractor([waveform[channel]])[0][0]
