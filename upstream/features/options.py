"""Options of the Kaldi features, with the names and defaults of compute-{spectrogram,fbank,mfcc}-feats.

The names are those of torchaudio.compliance.kaldi; see https://kaldi-asr.org/doc/feat.html for their meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3prl.utility.errors import UserError
from s3prl.utility.typed import choice, typed

WINDOW_TYPES = ("povey", "hanning", "hamming", "blackman", "rectangular")


def require(condition: bool, message: str) -> None:
    """Raise a UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True, kw_only=True)
class SpectrogramOptions:
    """What every Kaldi feature has; lengths in milliseconds, frequencies in Hz."""

    sample_frequency: float = 16000.0
    frame_length: float = 25.0
    frame_shift: float = 10.0
    window_type: str = "povey"
    blackman_coeff: float = 0.42
    round_to_power_of_two: bool = True
    snip_edges: bool = True  # only frames that fit; False reflects the ends and gives one frame per shift
    dither: float = 0.0
    remove_dc_offset: bool = True
    preemphasis_coefficient: float = 0.97
    raw_energy: bool = True  # energy before pre-emphasis and window
    energy_floor: float = 1.0
    min_duration: float = 0.0  # seconds; shorter utterances have no frames
    subtract_mean: bool = False
    channel: int = -1

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any audio is read."""
        choice(self.window_type, WINDOW_TYPES, "window_type")
        require(
            self.sample_frequency > 0, f"sample_frequency must be above 0 Hz, but is {self.sample_frequency}."
        )
        require(
            self.window >= 2,
            f"frame_length {self.frame_length} ms is {self.window} samples; it needs at least 2.",
        )
        require(
            self.shift >= 1,
            f"frame_shift {self.frame_shift} ms is {self.shift} samples; it needs at least 1.",
        )
        require(
            self.fft % 2 == 0,
            f"frame_length {self.frame_length} ms is {self.window} samples, an odd number: "
            "change it or set round_to_power_of_two to true.",
        )
        require(
            0.0 <= self.preemphasis_coefficient <= 1.0,
            f"preemphasis_coefficient must lie in [0, 1], but is {self.preemphasis_coefficient}.",
        )
        require(self.energy_floor >= 0.0, f"energy_floor must not be negative, but is {self.energy_floor}.")

    @property
    def window(self) -> int:
        """Samples per frame (truncated, as Kaldi does)."""
        return int(self.sample_frequency * self.frame_length * 0.001)

    @property
    def shift(self) -> int:
        """Samples from one frame to the next (truncated, as Kaldi does)."""
        return int(self.sample_frequency * self.frame_shift * 0.001)

    @property
    def fft(self) -> int:
        """Points of the Fourier transform."""
        return 2 ** (self.window - 1).bit_length() if self.round_to_power_of_two else self.window

    @property
    def dim(self) -> int:
        """Size of one feature vector."""
        return self.fft // 2 + 1


@dataclass(frozen=True, kw_only=True)
class _MelOptions(SpectrogramOptions):
    """What fbank and mfcc share."""

    num_mel_bins: int = 23
    low_freq: float = 20.0
    high_freq: float = 0.0  # 0 or below: offset from the Nyquist frequency
    vtln_low: float = 100.0
    vtln_high: float = -500.0  # negative: offset from the Nyquist frequency
    vtln_warp: float = 1.0
    use_energy: bool = False
    htk_compat: bool = False  # energy (or C0) last

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        super().__post_init__()
        require(self.num_mel_bins > 3, f"num_mel_bins must be above 3, but is {self.num_mel_bins}.")
        nyquist, high = self.sample_frequency / 2, self.highest
        require(
            0.0 <= self.low_freq < high <= nyquist,
            f"low_freq {self.low_freq} and high_freq {self.high_freq} give the band {self.low_freq} to "
            f"{high} Hz; it must lie within 0 to {nyquist} Hz.",
        )
        if self.vtln_warp == 1.0:
            return
        low, upper = self.vtln_low, self.vtln_highest
        require(
            self.vtln_warp > 0.0
            and self.low_freq < low < upper < high
            and low * max(1.0, self.vtln_warp) < upper * min(1.0, self.vtln_warp),
            f"vtln_low {low} Hz and vtln_high {upper} Hz must lie in this order inside the band "
            f"{self.low_freq} to {high} Hz, with room for vtln_warp {self.vtln_warp}.",
        )

    @property
    def highest(self) -> float:
        """Upper end of the filter bank in Hz."""
        return self.high_freq + self.sample_frequency / 2 if self.high_freq <= 0.0 else self.high_freq

    @property
    def vtln_highest(self) -> float:
        """Upper knee of the vocal tract length warping in Hz."""
        return self.vtln_high + self.sample_frequency / 2 if self.vtln_high < 0.0 else self.vtln_high


@dataclass(frozen=True, kw_only=True)
class FbankOptions(_MelOptions):
    """Options of mel filter bank energies."""

    use_log_fbank: bool = True
    use_power: bool = True

    @property
    def dim(self) -> int:
        """Size of one feature vector."""
        return self.num_mel_bins + int(self.use_energy)


@dataclass(frozen=True, kw_only=True)
class MfccOptions(_MelOptions):
    """Options of mel-frequency cepstral coefficients."""

    num_ceps: int = 13
    cepstral_lifter: float = 22.0

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        super().__post_init__()
        require(
            1 <= self.num_ceps <= self.num_mel_bins,
            f"num_ceps {self.num_ceps} must lie between 1 and num_mel_bins, which is {self.num_mel_bins}.",
        )

    @property
    def dim(self) -> int:
        """Size of one feature vector."""
        return self.num_ceps


KINDS = {"spectrogram": SpectrogramOptions, "fbank": FbankOptions, "mfcc": MfccOptions}


def kaldi_options(kind: str, given: Mapping[str, Any], where: str) -> SpectrogramOptions:
    """Options of one kind of Kaldi feature, checked.

    Args:
        kind: fbank, mfcc or spectrogram.
        given: the options that differ from their defaults.
        where: how to name the place they come from in an error.

    Raises:
        UserError: an unknown kind or option, a value of the wrong type or out of its range.
    """
    choice(kind, KINDS, f"{where}: feat_type")
    return typed(KINDS[kind], given, where)
