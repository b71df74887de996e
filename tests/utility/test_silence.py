"""Silence is cut out as sox does it: golden outputs, its procedure sample by sample, and recordings."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xxhash

from s3prl.upstream.cache.content import Contents
from s3prl.utility.audio import AudioError
from s3prl.utility.recordings import Recording, read
from s3prl.utility.silence import without_silence

RATE = 16000
GOLDEN = Path(__file__).parents[1] / "data" / "silence"
KEPT = json.loads((GOLDEN / "kept.json").read_text())


def sample_by_sample(wave):
    """sox's procedure on 32-bit samples: listen, hold, copy, hold, and listen anew with an empty buffer."""
    samples = [float(sample) for sample in np.round(wave * 2.0**31)]
    out, held, buffer, copying = [], [], [0.0] * 320, False
    for sample in samples:
        buffer = [*buffer[1:], sample * sample]
        loud = int(np.sqrt(sum(buffer) / 320)) / (2**31 - 1) * 100 > 0.1
        if copying and loud:
            out += [*held, sample]
            held = []
        elif copying or loud:
            held.append(sample)
            if len(held) == 1600:
                out += [] if copying else held
                buffer = [0.0] * 320 if copying else buffer
                held, copying = [], not copying
        else:
            held = []
    return np.array(out + (held if copying else [])) / 2.0**31


@pytest.fixture
def path(tmp_path):
    """0.5 s of silence, 1 s of noise, 0.5 s of silence, 1 s of noise."""
    rng = np.random.default_rng(0)
    quiet, noise = np.zeros(RATE // 2), rng.uniform(-0.5, 0.5, RATE)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([quiet, noise, quiet, noise[::-1]]), RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize("name", [name for name, kept in KEPT.items() if kept])
def test_what_is_left_is_what_sox_leaves_to_the_sample(name):
    heard = read(Recording(GOLDEN / f"{name}.flac", gain=-3.0, trim=True))
    whole = read(Recording(GOLDEN / f"{name}.flac", gain=-3.0))
    np.testing.assert_array_equal(heard, np.concatenate([whole[begin:end] for begin, end in KEPT[name]]))


@pytest.mark.parametrize("seed", range(12))
def test_random_bursts_are_treated_as_by_the_procedure_sample_by_sample(seed):
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(
            size=rng.choice([1, 320, 1279, 1280, 1599, 1600, 1601, 1919, 1950, 2100, rng.integers(3000)])
        )
        * (10 ** rng.uniform(-4, -1) if rng.random() < 0.6 else 0.0)
        for _ in range(12)
    ]
    wave = np.concatenate(parts).clip(-1, 1).astype(np.float32)
    np.testing.assert_allclose(without_silence(wave), sample_by_sample(wave), atol=1e-9)


def test_a_wave_without_sounds_and_an_empty_one_give_nothing():
    for wave in (np.zeros(0, np.float32), np.zeros(5, np.float32), np.ones(1599, np.float32)):
        found = without_silence(wave)
        assert len(found) == 0 and found.dtype == np.float32


def test_a_crop_is_taken_from_what_is_left(path):
    sounds = read(Recording(path, trim=True))
    assert 2 * RATE <= len(sounds) < 2.1 * RATE
    for place in (0.0, 0.4, 1.0):
        start = round(place * (len(sounds) - RATE * 3 // 2))
        crop = read(Recording(path, crop=1.5, place=place, trim=True))
        np.testing.assert_array_equal(crop, sounds[start : start + RATE * 3 // 2])
    assert len(read(Recording(path, crop=2.4, trim=True))) == len(sounds)


def test_an_excerpt_is_trimmed_alone(path):
    assert len(read(Recording(path, 0.25, 1.0, trim=True))) == RATE // 2
    with pytest.raises(AudioError, match="only silence"):
        read(Recording(path, 0.0, 0.5, trim=True))


def test_the_gain_decides_what_is_silent(path):
    with pytest.raises(AudioError, match=r"talk\.wav holds only silence: .* after a gain of -60 dB"):
        read(Recording(path, gain=-60.0, trim=True))
    assert len(read(Recording(path, gain=-40.0, trim=True))) > RATE


def test_a_recording_of_silence_is_named_with_what_to_do():
    with pytest.raises(AudioError, match=r"nothing\.flac holds only silence.*remove it from the list"):
        read(Recording(GOLDEN / "nothing.flac", trim=True))


def test_trimmed_features_have_a_key_of_their_own_and_all_others_keep_theirs(tmp_path, path):
    contents = Contents(tmp_path / "cache")
    plain, trimmed = Recording(path, 0.5, gain=-3.0), Recording(path, 0.5, gain=-3.0, trim=True)
    digest = xxhash.xxh3_128_digest(path.read_bytes())
    expected = xxhash.xxh3_128_digest(digest + b"(0.5, None, None, 0.0, -3.0)")
    assert contents.key(plain)[0] == expected != contents.key(trimmed)[0]
