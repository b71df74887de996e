"""Waveforms from files: any format, rate and channel count that libsndfile reads, as 16 kHz mono float32."""

import math
import struct
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from s3prl.utility.errors import UserError

SAMPLE_RATE = 16000  # Hz
# The last three are not read by libsndfile: they are here to be reported, not passed over without a word.
AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".sph", ".aiff", ".aif", ".au", ".caf", ".w64")
AUDIO += (".m4a", ".aac", ".wma")
EDGE = 0.05  # seconds read around an excerpt, so that the resampling filter sees what it would in the whole
# What ffmpeg and sox write into a WAV header when the output is a pipe.
UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
UNKNOWN_FRAMES = 1 << 48  # libsndfile reports SF_COUNT_MAX for a FLAC written through a pipe


class AudioError(UserError):
    """A file that holds no usable audio; the message names it and says why."""


def load(
    path: str | PathLike, rate: int = SAMPLE_RATE, start: float | None = None, stop: float | None = None
) -> np.ndarray:
    """Read `path` as mono at `rate` Hz: float32 [samples], integer formats scaled to [-1, 1).

    Channels are averaged. `start` and `stop` (seconds) read only that part: exactly the samples
    `round(start * rate)` to `round(stop * rate)` of the whole, a `stop` past the end meaning the end.
    Raises AudioError for a file that is missing, empty, truncated, not audio, or holds NaN or Inf,
    and for a part that lies outside the file.
    """
    path = Path(path)
    with _opened(path) as sound:
        if start is None and stop is None:
            return _resampled(_decoded(sound, path), sound.samplerate, rate)
        return _excerpt(sound, path, rate, start or 0.0, stop)


def num_samples(path: str | PathLike, rate: int = SAMPLE_RATE) -> int:
    """How many samples `load(path, rate)` returns, from the header alone.

    Raises AudioError as `load` does, except for damage that only decoding shows.
    """
    path = Path(path)
    with _opened(path) as sound:
        return _rescaled(sound.frames, sound.samplerate, rate)


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not an audio file. Name a file inside it.")
        size = path.stat().st_size
        if size == 0:
            raise AudioError(
                f"{path} is empty (0 bytes). Copy or download it again, or remove it from the list."
            )
        with path.open("rb") as file:
            promised = _promised_size(file)
    except OSError as error:
        raise AudioError(
            f"{path} cannot be read: {error.strerror}. Check the path and the corpus root."
        ) from error
    if promised > size:
        raise _truncated(path, f"its header promises {promised} bytes and it has {size}")
    try:
        sound = soundfile.SoundFile(str(path))
    except UnicodeEncodeError:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise AudioError(
            f"{shown} has a name that is not UTF-8. Rename it, for example with convmv."
        ) from None
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{path} is not audio that libsndfile reads ({_reason(error)}). "
            "Convert it to WAV or FLAC first, for example: ffmpeg -i INPUT OUTPUT.flac"
        ) from error
    if sound.frames == 0:
        sound.close()
        raise AudioError(f"{path} has 0 samples. Copy or download it again, or remove it from the list.")
    if sound.frames >= UNKNOWN_FRAMES:
        sound.close()
        raise AudioError(
            f"{path} was written through a pipe: its header does not say how long it is. "
            "Write it to a file again, for example: ffmpeg -i INPUT OUTPUT.flac"
        )
    return sound


def _promised_size(file: BinaryIO) -> int:
    """Smallest size in bytes the file must have by its own header; 0 where the header does not say.

    libsndfile quietly shortens a WAV, AIFF, SPHERE or Ogg file that was cut, so a half-copied corpus would
    train without a word. (A cut FLAC or MP3 shows itself while decoding.)
    """
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64") and magic[8:] == b"WAVE":
        return _promised_by_wav(file, ">" if magic[:4] == b"RIFX" else "<")
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return 8 + int.from_bytes(magic[4:8], "big")
    if magic[:7] == b"NIST_1A":
        return _promised_by_sphere(file)
    if magic[:4] == b"OggS":
        return _promised_by_ogg(file)
    return 0


def _promised_by_wav(file: BinaryIO, endian: str) -> int:
    data64 = None  # RF64 keeps the true size of a data chunk above 4 GiB here
    while len(header := file.read(8)) == 8:
        name, length = header[:4], struct.unpack(endian + "I", header[4:])[0]
        if name == b"data":
            if length in UNKNOWN_SIZES:
                length = data64 or 0
            return file.tell() + length
        if name == b"ds64" and length >= 16:
            content = file.read(16)
            data64 = struct.unpack("<Q", content[8:])[0] if len(content) == 16 else None
            length -= 16
        file.seek(length + length % 2, 1)
    return 0


def _promised_by_sphere(file: BinaryIO) -> int:
    file.seek(0)
    lines = file.read(1024).decode("latin-1").split("\n")
    fields = {words[0]: words[2] for words in map(str.split, lines) if len(words) == 3}
    try:
        if fields.get("sample_coding", "pcm") != "pcm":
            return 0
        frame = int(fields["channel_count"]) * int(fields["sample_n_bytes"])
        return int(lines[1]) + int(fields["sample_count"]) * frame
    except (KeyError, ValueError, IndexError):
        return 0


def _promised_by_ogg(file: BinaryIO) -> int:
    """One byte more than there is when the last page is cut or lacks the end-of-stream flag."""
    size = file.seek(0, 2)
    first = file.seek(max(0, size - 2 * 65307))  # the longest page is 65,307 bytes
    tail = file.read()
    page = tail.rfind(b"OggS")
    header = tail[page : page + 27]
    if page < 0 or len(header) < 27:
        return size + 1
    segments = tail[page + 27 : page + 27 + header[26]]
    complete = len(segments) == header[26] and header[5] & 0x04
    return first + page + 27 + len(segments) + sum(segments) if complete else size + 1


def _decoded(sound: soundfile.SoundFile, path: Path, first: int = 0, last: int | None = None) -> np.ndarray:
    """Frames `first` to `last` of an open file, channels averaged: float32 [frames]. Raises AudioError."""
    last = sound.frames if last is None else last
    try:
        if first:
            sound.seek(first)
        samples = sound.read(last - first, dtype="float32")
    except (soundfile.SoundFileError, MemoryError, ValueError) as error:
        raise _truncated(path, _reason(error)) from error
    if len(samples) < last - first:
        raise _truncated(path, f"its header promises {last} samples and {first + len(samples)} decode")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    # One pass and no temporary array: the sum is finite whenever every sample is (but for sums above 1e38).
    if not math.isfinite(samples.sum()) and not (finite := np.isfinite(samples)).all():
        bad = int(finite.argmin())
        raise AudioError(
            f"{path} holds NaN or Inf: {len(samples) - int(finite.sum())} samples, the first at "
            f"{(first + bad) / sound.samplerate:.3f} s. Repair it or remove it from the list."
        )
    return samples


def _excerpt(
    sound: soundfile.SoundFile, path: Path, rate: int, start: float, stop: float | None
) -> np.ndarray:
    source_rate, frames = sound.samplerate, sound.frames
    length = _rescaled(frames, source_rate, rate)
    begin = round(start * rate)
    end = length if stop is None else min(round(stop * rate), length)
    if not 0 <= begin < end:
        raise AudioError(
            f"{path} lasts {frames / source_rate:.3f} s; the part from {start} to "
            f"{'its end' if stop is None else stop} s is not inside it or is empty. Check the segment list."
        )
    # Source frames that map onto whole output samples are `grid` apart; starting on one keeps the phase.
    grid = source_rate // math.gcd(source_rate, rate)
    edge = 0 if source_rate == rate else math.ceil(EDGE * source_rate)
    first = max(0, begin * source_rate // rate - edge) // grid * grid
    last = min(frames, -(-end * source_rate // rate) + edge)
    samples = _decoded(sound, path, first, last)
    skipped = first * rate // source_rate
    return _resampled(samples, source_rate, rate)[begin - skipped : end - skipped]


def _resampled(samples: np.ndarray, source_rate: int, rate: int) -> np.ndarray:
    if source_rate == rate:
        return samples
    return soxr.resample(samples, source_rate, rate, quality="HQ")


def _rescaled(frames: int, source_rate: int, rate: int) -> int:
    """Length after resampling: rounded half up, as soxr does."""
    return (2 * frames * rate + source_rate) // (2 * source_rate)


def _truncated(path: Path, reason: str) -> AudioError:
    return AudioError(f"{path} is truncated or damaged: {reason}. Copy or download it again.")


def _reason(error: BaseException) -> str:
    text = getattr(error, "error_string", "") or str(error) or type(error).__name__
    return text.removeprefix("Error : ").rstrip(".")
