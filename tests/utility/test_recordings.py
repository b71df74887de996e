"""Recordings: values that say what to hear, and what is heard then."""

import pickle
import random

import numpy as np
import pytest
import soundfile

from s3prl.utility.audio import AudioError, load
from s3prl.utility.recordings import Recording, read

RATE = 16000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE), RATE, subtype="FLOAT")
    return path


def test_nothing_is_read_before_it_is_asked_for():
    recording = Recording("nowhere.wav", 1.0, 2.0).randomly_cropped(0.5)
    assert recording == pickle.loads(pickle.dumps(recording)) and len({recording, recording}) == 1
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        read(recording)


def test_an_excerpt_and_its_gain_are_heard(path):
    whole = load(path)
    np.testing.assert_array_equal(read(Recording(path)), whole)
    np.testing.assert_array_equal(read(Recording(path, 0.5, 1.25)), whole[RATE // 2 : RATE * 5 // 4])
    np.testing.assert_allclose(read(Recording(path, gain=-20.0)), 0.1 * whole, rtol=1e-6)
    assert read(Recording(path, gain=-3.0)).dtype == np.float32


@pytest.mark.parametrize("place", [0.0, 0.123, 0.5, 1.0])
def test_a_crop_has_its_length_wherever_it_lies(path, place):
    whole = load(path)
    heard = read(Recording(path, crop=1.1, place=place))
    start = round(place * (len(whole) - len(heard)))
    assert len(heard) == round(1.1 * RATE)
    np.testing.assert_array_equal(heard, whole[start : start + len(heard)])


def test_a_crop_stays_inside_the_excerpt_and_leaves_short_ones_alone(path):
    inside = read(Recording(path, 1.0, 2.0, crop=0.5, place=1.0))
    np.testing.assert_array_equal(inside, load(path)[RATE * 3 // 2 : 2 * RATE])
    assert len(read(Recording(path, 1.0, 1.25, crop=0.5, place=0.7))) == RATE // 4


def test_a_random_crop_says_that_it_was_drawn_and_is_repeated_by_its_seed(path):
    random.seed(3)
    first = Recording(path).randomly_cropped(1.0)
    random.seed(3)
    assert first == Recording(path).randomly_cropped(1.0) != Recording(path).randomly_cropped(1.0)
    assert first.drawn and not Recording(path).drawn


def test_crops_from_a_number_of_places_are_those_that_are_listed(path):
    recording = Recording(path, gain=-3.0)
    crops = recording.crops(1.0, 5)
    assert [crop.place for crop in crops] == [0.0, 0.25, 0.5, 0.75, 1.0]
    random.seed(0)
    drawn = {recording.randomly_cropped(1.0, 5) for _ in range(60)}
    assert drawn == set(crops) and not any(crop.drawn for crop in drawn)
    assert len({read(crop).tobytes() for crop in crops}) == 5
    assert recording.crops(1.0, 1) == [recording.randomly_cropped(1.0, 1)] and crops[0].gain == -3.0


def test_excerpts_of_one_file_have_names_of_their_own(path):
    names = {Recording(path).name, Recording(path, 1.0).name, Recording(path, 1.0, 2.0).name}
    assert names == {"speech", "speech-1.000-end", "speech-1.000-2.000"}
