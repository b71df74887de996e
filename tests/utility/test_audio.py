"""Loading audio: formats, rates and channels in; clear errors naming the file for everything else."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.utility.audio import AudioError, load, num_samples
from s3prl.utility.errors import UserError

ROOT = Path(__file__).parents[2]


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_wav_sample_format_gives_the_same_waveform(tmp_path, subtype):
    expected = tone(0.5, 16000)
    soundfile.write(tmp_path / "a.wav", expected, 16000, subtype=subtype)
    loaded = load(tmp_path / "a.wav")
    assert loaded.dtype == np.float32 and loaded.shape == expected.shape
    assert np.abs(loaded - expected).max() < (1e-2 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_every_container_loads_and_its_header_tells_the_length(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(0.5, 16000), 16000)
    loaded = load(path)
    assert len(loaded) == num_samples(path) == 8000
    assert np.corrcoef(loaded, tone(0.5, 16000))[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_16_khz_with_the_pitch_kept(tmp_path, rate):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(0.503, rate), rate)
    loaded = load(path)
    assert len(loaded) == num_samples(path)
    expected = tone(len(loaded) / 16000, 16000)
    assert np.abs(loaded - expected)[400:-400].max() < 1e-4


def test_channels_are_averaged(tmp_path):
    channels = np.stack([tone(0.1, 16000), tone(0.1, 16000, 1000), np.zeros(1600, np.float32)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load(tmp_path / "a.wav"), channels.mean(1), atol=1e-7)


def test_a_str_path_and_another_target_rate_are_accepted(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.5, 16000), 16000)
    assert load(str(tmp_path / "a.wav"), rate=8000).shape == (4000,)


@pytest.mark.parametrize("rate", [16000, 8000, 44100, 22050])
@pytest.mark.parametrize("part", [(0.0, 0.25), (0.3137, 0.9), (0.7, None), (None, 0.5), (1.1, 99.0)])
def test_a_part_equals_the_same_part_of_the_whole(tmp_path, rate, part):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(round(1.3 * rate)), rate)
    start, stop = part
    whole = load(path)
    expected = whole[round((start or 0) * 16000) : None if stop is None else round(stop * 16000)]
    excerpt = load(path, start=start, stop=stop)
    assert excerpt.shape == expected.shape
    np.testing.assert_allclose(excerpt, expected, atol=1e-5)


def test_a_part_reads_only_that_part(tmp_path):
    """The file is damaged behind the part asked for, and nobody notices."""
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(160000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert len(load(path, start=0.5, stop=1.0)) == 8000
    with pytest.raises(AudioError, match=r"a\.flac is truncated or damaged"):
        load(path)


@pytest.mark.parametrize("part", [(2.0, 3.0), (0.5, 0.5), (0.6, 0.5), (-0.1, 0.5)])
def test_a_part_outside_the_file_names_file_and_part(tmp_path, part):
    soundfile.write(tmp_path / "a.wav", noise(16000), 16000)
    with pytest.raises(AudioError, match=r"a\.wav lasts 1\.000 s"):
        load(tmp_path / "a.wav", start=part[0], stop=part[1])


def test_missing_file_folder_and_empty_file_are_reported_with_their_path(tmp_path):
    (tmp_path / "empty.wav").touch()
    for door in (load, num_samples):
        with pytest.raises(AudioError, match=r"absent\.wav cannot be read: No such file"):
            door(tmp_path / "absent.wav")
        with pytest.raises(AudioError, match="is a folder"):
            door(tmp_path)
        with pytest.raises(AudioError, match=r"empty\.wav is empty \(0 bytes\)"):
            door(tmp_path / "empty.wav")


def test_a_header_without_samples_is_reported(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(AudioError, match=r"none\.wav has 0 samples"):
        load(tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"none\.wav has 0 samples"):
        num_samples(tmp_path / "none.wav")


@pytest.mark.parametrize("content", [b"hello " * 500, bytes(5000), b"RIFF", b"fLaC" + bytes(100), b"OggS"])
def test_what_is_not_audio_is_reported_with_its_path(tmp_path, content):
    (tmp_path / "text.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"text\.wav"):
        load(tmp_path / "text.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_reported_with_its_path(tmp_path, suffix, kept):
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, noise(48000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(AudioError, match=rf"cut\.{suffix} is truncated or damaged"):
        load(path)


def test_a_truncated_wav_is_found_from_its_header_alone(tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, noise(48000), 16000)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AudioError, match="promises 96044 bytes and it has 96043"):
        num_samples(path)


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_a_sphere_file_loads_when_whole_and_is_reported_when_cut(tmp_path, kept):
    """TIMIT's .wav files are NIST SPHERE."""
    samples = (noise(16000) * 32767).astype("<i2")
    fields = "channel_count -i 1\nsample_count -i 16000\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
    fields += "sample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
    header = f"NIST_1A\n   1024\n{fields}".encode().ljust(1024)
    path = tmp_path / "SA1.WAV"
    path.write_bytes(header + samples.tobytes()[: int(32000 * kept)])
    if kept == 1.0:
        np.testing.assert_allclose(load(path), samples / 32768, atol=1e-6)
    else:
        with pytest.raises(AudioError, match=r"SA1\.WAV is truncated"):
            load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_reported_with_the_place(tmp_path, value):
    samples = noise(16000)
    samples[8000:8003] = value
    soundfile.write(tmp_path / "bad.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav holds NaN or Inf: 3 samples, the first at 0\.500 s"):
        load(tmp_path / "bad.wav")


def test_a_wav_written_through_a_pipe_has_no_size_in_its_header_and_loads(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(0.5, 16000), 16000)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    for unknown in (0xFFFFFFFF, 0x7FFFF000):
        content[place : place + 4] = struct.pack("<I", unknown)
        content[4:8] = struct.pack("<I", 0xFFFFFFFF)
        path.write_bytes(content)
        assert len(load(path)) == num_samples(path) == 8000


def test_a_flac_written_through_a_pipe_has_no_length_in_its_header_and_is_reported(tmp_path):
    path = tmp_path / "piped.flac"
    soundfile.write(path, noise(20000), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: the 36-bit sample count, 0 means unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"piped\.flac was written through a pipe"):
        load(path)


def test_loading_audio_does_not_import_torch():
    code = "import sys, s3prl.utility.audio; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
