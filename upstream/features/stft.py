"""Features of a centred STFT (mel, linear, mfcc, phase, complx), with the values of the public S3PRL.

Every utterance has 1 + samples // hop frames, whatever else is in the batch (none, if it is not longer than
half a transform). What the last of them see depends on `pad`:

- `reflect_each` (default) mirrors every wav at its own end and takes statistics over its own frames: each wav
  has the values it has alone, in any batch.
- `batch` gives the values of the public S3PRL for the batch: shorter wavs are followed by zeros up to the
  length of the longest, and only the end of the longest is mirrored. The frames whose window reaches behind
  the end of a shorter wav (at 25 / 10 ms its last one or two) therefore differ from those of the wav alone,
  and so do the two frames before them for each order of deltas. Normalisation carries the difference to every
  frame; its statistics cover round(samples * frames of the batch / samples of the batch) frames, which can
  leave out the last one.

One quirk of the public code is not kept: it took the last sample that is not zero for the end of a wav, so
that digital silence at the end was cut. Here a wav is as long as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.errors import UserError
from s3prl.utility.typed import above, at_least, choice, typed, within

from .delta import STD_EPSILON, Workspace, add_deltas, normalise
from .frames import check_wavs, chunks, power_spectrum, reflected, samples_in, wants_gradients
from .mel import Band, apply_bands, bands, cosine_transform, htk_mel_banks
from .options import require
from .tables import Tables

SIGNED = ("phase", "complx", "mfcc")  # features that can be negative
PADS = ("reflect_each", "batch")  # the first is the default
DELTA_WINDOW = 5  # frames
MFCC_MELS = 128  # the mfcc has a filter bank of its own, whatever n_mels says
MFCC_OFFSET = 1e-6  # added to the mel energies of the mfcc before the logarithm


@dataclass(frozen=True)
class StftSizes:
    """Fields of a config that describe the transform."""

    sample_rate: Annotated[int, above(0)] = 16000  # Hz
    win_ms: Annotated[float, above(0)] = 25.0
    hop_ms: Annotated[float, above(0)] = 10.0
    n_freq: Annotated[int, at_least(2)] = 201  # the transform has 2 * (n_freq - 1) points
    n_mels: Annotated[int, above(0)] = 40
    n_mfcc: Annotated[int, within(1, MFCC_MELS)] = 13
    eps: Annotated[float, above(0)] = 1e-10  # added before the logarithm


@dataclass(frozen=True)
class StftFeature:
    """The block `input` of a config."""

    feat_type: Literal["linear", "mel", "mfcc", "phase", "complx"]
    channel: int = 0  # which of several views of a wav; accepted and ignored
    log: bool = False
    delta: Annotated[int, at_least(0)] = 0  # order
    cmvn: bool = False

    def __post_init__(self) -> None:
        """Refuse a logarithm of what can be negative."""
        require(
            not (self.log and self.feat_type in SIGNED),
            f"a {self.feat_type} can be negative, so log must be false.",
        )


STFT_FIELDS = tuple(field.name for field in fields(StftSizes))


class Span(NamedTuple):
    """Where one utterance ends, in its batch."""

    samples: int
    mirror: int  # samples at which it is mirrored: its own, or those of the padded batch
    valid: int  # frames returned
    counted: int  # frames its statistics are taken over
    context: int  # frames worked out: `valid` and what deltas look ahead to


class Stft(nn.Module):
    """Centred short-time Fourier transform with a Hann window and reflect padding.

    Attributes: `hop` and `fft` in samples, `bins` (frequencies per frame).
    """

    def __init__(self, window: int, hop: int, fft: int) -> None:
        """
        Args:
            window: samples of the Hann window, centred in the transform.
            hop: samples from one frame to the next.
            fft: points of the transform.

        Raises:
            UserError: the window does not fit into the transform.
        """
        super().__init__()
        require(window >= 1 and hop >= 1, f"The window ({window} samples) and hop ({hop}) must be positive.")
        require(
            window <= fft,
            f"The window of {window} samples does not fit into {fft} FFT points (2 * (n_freq - 1)): "
            "shorten it, or raise n_freq.",
        )
        self.window, self.hop, self.fft, self.bins = window, hop, fft, fft // 2 + 1
        self._cache = Tables()

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`."""
        return 1 + samples // self.hop

    def framed(self, padded: Tensor, mirrors: Sequence[int], frames: int) -> Tensor:
        """[batch, samples] -> [batch, frames, fft] (a view of the wavs, mirrored at 0 and at `mirrors`)."""
        half = self.fft // 2
        if min(mirrors) >= padded.size(1):  # one end for all, or no end in sight
            wavs = nn.functional.pad(padded[:, None], (half, half), mode="reflect")[:, 0]
        else:
            lengths = torch.tensor(list(mirrors), device=padded.device)
            total = (frames - 1) * self.hop + self.fft
            wavs = reflected(padded, lengths, half, total, repeat_edge=False)
        return wavs.unfold(1, self.fft, self.hop)[:, :frames]

    def forward(self, framed: Tensor) -> Tensor:
        """[..., fft] -> complex spectra [..., bins]."""
        return torch.fft.rfft(framed * self.taper(framed))

    def taper(self, like: Tensor) -> Tensor:
        """The window [fft], zero outside its middle, on the device of `like`."""
        return self._cache.get_for(like, self._build_taper)

    def _build_taper(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        left = (self.fft - self.window) // 2
        taper = torch.hann_window(self.window, dtype=dtype)
        return nn.functional.pad(taper, (left, self.fft - self.window - left)).to(device)

    def check_reflection(self, lengths: Sequence[int], name: str) -> None:
        """Refuse utterances that are too short to be mirrored by half a transform.

        Raises:
            UserError: names the utterance, its samples and the samples needed.
        """
        for index, samples in enumerate(lengths):
            require(
                samples > self.fft // 2,
                f"Utterance {index} of the batch has {samples} samples, but {name} needs at least "
                f"{self.fft // 2 + 1}. Remove it from the data, or lengthen it with silence.",
            )


class StftFeatures(nn.Module):
    """One feature of a centred STFT with its deltas and normalisation, from the fields of a YAML config.

    Attributes: `dim` (size of a feature vector), `shift` (samples per frame).
    """

    def __init__(
        self, feature: Mapping[str, Any] | None, pad: str = PADS[0], where: str = "config", **stft: Any
    ) -> None:
        """
        Args:
            feature: fields of StftFeature.
            pad: see the head of the file.
            where: how to name the origin of the fields in an error.
            stft: fields of StftSizes.

        Raises:
            UserError: an unknown field, or a value that cannot work.
        """
        super().__init__()
        wanted = typed(StftFeature, feature, f"{where}: input")
        self.kind, self.log, self.order, self.cmvn = wanted.feat_type, wanted.log, wanted.delta, wanted.cmvn
        sizes = typed(StftSizes, stft, f"{where}:")
        choice(pad, PADS, f"{where}: pad")
        self.pad, self.eps = pad, sizes.eps
        rate = sizes.sample_rate
        window, hop = (samples_in(milliseconds, rate) for milliseconds in (sizes.win_ms, sizes.hop_ms))
        try:
            self.stft = Stft(window, hop, 2 * (sizes.n_freq - 1))
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        self.shift = hop
        self.sample_rate = rate
        bins = self.stft.bins
        dims = {"phase": bins, "complx": 2 * bins, "linear": bins, "mel": sizes.n_mels, "mfcc": sizes.n_mfcc}
        self.base_dim = dims[self.kind]
        self.dim = self.base_dim * (1 + self.order)
        self._cache = Tables()

    def num_frames(self, samples: int) -> int:
        """Frames of an utterance of `samples`; 0 when it is too short to be mirrored at its ends."""
        return self.stft.num_frames(samples) if samples > self.stft.fft // 2 else 0

    def forward(self, wavs: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Features of a batch.

        Args:
            wavs: unpadded [samples] tensors in [-1, 1], on one device.

        Returns:
            [batch, frames, dim], zero after an utterance's end, and the frames of each utterance.

        Raises:
            UserError: an input that is not a list of 1-D float tensors, or too short to be mirrored.
        """
        wavs = check_wavs(wavs)
        spans = self._spans([len(wav) for wav in wavs])
        frames = [span.valid for span in spans]
        with torch.autocast(wavs[0].device.type, enabled=False):
            if wavs[0].device.type != "cpu":
                return self._whole_batch(wavs, spans), frames
            if wants_gradients(wavs):
                alone = [self._alone(wav, span) for wav, span in zip(wavs, spans, strict=True)]
                return pad_sequence(alone, batch_first=True), frames
            context = max(span.context for span in spans)
            batch = wavs[0].new_empty(len(wavs), context, self.dim)
            workspace = Workspace(wavs[0], context, self.base_dim, self.order, DELTA_WINDOW)
            for wav, span, utterance in zip(wavs, spans, batch, strict=True):
                self._write(wav, span, workspace.statics(span.context))
                epsilon = STD_EPSILON if self.cmvn else None
                workspace.finish(utterance[: span.context], span.counted, epsilon)
                utterance[span.valid :] = 0.0
            return batch[:, : max(frames)], frames

    def _spans(self, lengths: list[int]) -> list[Span]:
        look_ahead = self.order * (DELTA_WINDOW // 2)
        longest = max(lengths)
        if self.pad == "reflect_each" or longest <= self.stft.fft // 2:
            self.stft.check_reflection(lengths, f"{self.kind} ({self.stft.fft} FFT points)")
        spans = []
        for samples in lengths:
            frames = self.num_frames(samples)
            if self.pad == "reflect_each":
                spans.append(Span(samples, samples, frames, frames, frames))
                continue
            total = self.num_frames(longest)
            counted = max(round(samples / (longest / total)), 1)
            context = min(max(frames, counted) + look_ahead, total)
            spans.append(Span(samples, longest, frames, counted, context))
        return spans

    def _whole_batch(self, wavs: list[Tensor], spans: list[Span]) -> Tensor:
        """[batch, frames, dim] from one set of launches over the padded batch."""
        padded = pad_sequence(wavs, batch_first=True)  # [batch, samples]
        context = max(span.context for span in spans)
        framed = self.stft.framed(padded, [span.mirror for span in spans], context)
        features = self._features(self.stft(framed))
        ends = [self.num_frames(span.mirror) for span in spans]
        features = add_deltas(features, ends, self.order, DELTA_WINDOW)
        if self.cmvn:
            features = normalise(features, [span.counted for span in spans])
        valid = torch.tensor([span.valid for span in spans], device=padded.device)[:, None, None]
        index = torch.arange(context, device=padded.device)[None, :, None]
        return features.masked_fill(index >= valid, 0.0)[:, : max(span.valid for span in spans)]

    def _alone(self, wav: Tensor, span: Span) -> Tensor:
        """[frames, dim] of one wav by the plain definition."""
        framed = self.stft.framed(self._tail(wav, span)[None], [span.mirror], span.context)[0]
        features = add_deltas(
            self._features(self.stft(framed))[None], [span.context], self.order, DELTA_WINDOW
        )
        return (normalise(features, [span.counted]) if self.cmvn else features)[0, : span.valid]

    def _write(self, wav: Tensor, span: Span, out: Tensor) -> None:
        """Write the base features of one wav on a CPU into `out` [context, base_dim], without gradients."""
        framed = self.stft.framed(self._tail(wav, span)[None], [span.mirror], span.context)[0]
        taper = self.stft.taper(wav)
        slices = chunks(span.context)
        buffer = wav.new_empty(slices[0].stop, self.stft.fft)
        for rows in slices:
            chunk = torch.mul(framed[rows], taper, out=buffer[: rows.stop - rows.start])
            out[rows] = self._features(torch.fft.rfft(chunk))

    def _tail(self, wav: Tensor, span: Span) -> Tensor:
        """The wav and as many of the zeros behind it as its frames can see."""
        seen = min(span.mirror, span.context * self.stft.hop + self.stft.fft)
        return nn.functional.pad(wav, (0, max(seen - span.samples, 0)))

    def _features(self, spectra: Tensor) -> Tensor:
        """Complex [..., bins] -> [..., base_dim]."""
        if self.kind == "phase":
            return spectra.angle()
        if self.kind == "complx":
            return torch.view_as_real(spectra).flatten(-2)
        features = power_spectrum(spectra)
        banks, cepstra = self._tables(features)
        if banks is not None:
            features = apply_bands(features, banks)
        if cepstra is not None:
            features = (features + MFCC_OFFSET).log() @ cepstra
        return (features + self.eps).log() if self.log else features

    def _tables(self, like: Tensor) -> tuple[list[Band] | None, Tensor | None]:
        """Filter bank and cosine transform, where this feature has them, on the device of `like`."""
        return self._cache.get_for(like, self._build_tables)

    def _build_tables(
        self, device: torch.device, dtype: torch.dtype
    ) -> tuple[list[Band] | None, Tensor | None]:
        banks = cepstra = None
        if self.kind in ("mel", "mfcc"):
            filters = self.base_dim if self.kind == "mel" else MFCC_MELS
            banks = bands(htk_mel_banks(self.stft.bins, filters, self.sample_rate).to(device, dtype))
        if self.kind == "mfcc":
            cepstra = cosine_transform(MFCC_MELS, self.base_dim).to(device, dtype)
        return banks, cepstra
