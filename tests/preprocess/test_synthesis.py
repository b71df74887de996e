"""The synthesiser behind the mini corpora: repeatable, varied, and aligned with what it says."""

import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from s3prl.preprocess.mini import espeak
from s3prl.preprocess.mini.phones import STRESSED_ARPABET, to_arpabet
from s3prl.preprocess.mini.speakers import Speaker, make_speaker
from s3prl.utility.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "the quiet judge brought seven yellow coins to the old zoo"


def digest(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


@pytest.fixture
def synthesis():
    pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")
    from s3prl.preprocess.mini import synthesis

    return synthesis


def test_a_recording_is_the_same_whatever_was_said_before(synthesis):
    speaker = make_speaker(3, 5)
    first, *_ = synthesis.synthesize(SENTENCE, speaker)
    synthesis.synthesize("something else", make_speaker(3, 6))
    assert digest(synthesis.synthesize(SENTENCE, speaker)[0]) == digest(first)


def test_a_recording_is_the_same_in_another_process(synthesis):
    program = (
        "import hashlib, sys; from s3prl.preprocess.mini import speakers, synthesis; "
        f"samples = synthesis.synthesize({SENTENCE!r}, speakers.make_speaker(3, 5))[0]; "
        "print(hashlib.sha256(samples.tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(synthesis.synthesize(SENTENCE, make_speaker(3, 5))[0])


def test_recordings_are_16_khz_speech_with_quiet_but_not_digital_silence_around(synthesis):
    for number in range(6):
        samples, words, _ = synthesis.synthesize(SENTENCE, make_speaker(0, number))
        assert samples.dtype == np.float32
        assert np.abs(samples).max() < 1.0
        start, end = round(words[0].start * 16000), round(words[-1].end * 16000)
        assert 0.09 * 16000 < start < 0.3 * 16000
        assert 0.09 * 16000 < len(samples) - end < 0.3 * 16000
        speech, silence = samples[start:end].std(), np.concatenate([samples[:start], samples[end:]]).std()
        assert 1e-4 < silence < 0.1 * speech
        assert 0.01 < speech < 0.2


def test_phones_cover_the_recording_and_words_follow_each_other(synthesis):
    for number in range(12):
        samples, words, phones = synthesis.synthesize(SENTENCE, make_speaker(1, number))
        assert [word.label for word in words] == SENTENCE.split()
        assert all(word.start < word.end for word in words)
        assert all(one.end <= two.start + 1e-9 for one, two in pairwise(words))
        assert phones[0].start == 0
        assert phones[-1].end == len(samples) / 16000
        assert all(one.end == two.start for one, two in pairwise(phones))
        assert all(phone.start < phone.end for phone in phones)
        assert phones[0].label == phones[-1].label == "SIL"
        assert {phone.label for phone in phones} <= {*STRESSED_ARPABET, "SIL"}


def test_a_word_is_heard_where_its_times_say(synthesis):
    """The hiss of an s has more energy above 4 kHz than the vowels and nasals around it."""
    speaker = make_speaker(0, 3)
    samples, _, phones = synthesis.synthesize("my sister may see us now", speaker)

    def hiss(start, end):
        power = np.abs(np.fft.rfft(samples[round(start * 16000) : round(end * 16000)])) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    sibilants = [hiss(phone.start, phone.end) for phone in phones if phone.label == "S"]
    others = [hiss(p.start, p.end) for p in phones if p.label[:2] in ("M", "N", "AY", "EY", "IY", "AW", "AH")]
    assert len(sibilants) == 4
    assert min(sibilants) > 5 * max(others)


@pytest.mark.parametrize(
    "text",
    [
        "out of the house",
        "I do not want to be in the box",
        "it would have been one of the best with a lamp",
        "play mr smith's song, please",
        "seven seven two one",
    ],
)
def test_words_said_in_one_breath_get_times_of_their_own(synthesis, text):
    _, words, _ = synthesis.synthesize(text, make_speaker(0, 1))
    assert [word.label for word in words] == text.split()
    assert all(one.end <= two.start + 1e-9 for one, two in pairwise(words))


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("seven", "S EH1 V AH0 N"),
        ("kitchen", "K IH1 CH AH0 N"),
        ("behind", "B IH0 HH AY1 N D"),
        ("yesterday", "Y EH1 S T ER0 D EY2"),
        ("farmer", "F AA1 R M ER0"),
        ("apples", "AE1 P AH0 L Z"),
        ("the", "DH AH0"),
    ],
)
def test_words_are_pronounced_as_in_the_lexicon_of_american_english(synthesis, word, phones):
    assert synthesis.pronounce(word) == tuple(phones.split())


def test_the_phone_set_is_the_stressed_arpabet():
    assert len(STRESSED_ARPABET) == 69
    assert {"AH0", "AH1", "AH2", "ZH", "OY2"} <= set(STRESSED_ARPABET)


def test_every_sound_of_the_english_voices_is_a_phone(synthesis):
    accents = ["en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd"]
    text = (
        "the hour when pure fire, beer, air, poor fern, law, measure, whose thing, few huge button and idea"
    )
    for accent in accents:
        labels = {event.label for event in espeak.speak(text, accent).events if event.kind == "phoneme"}
        assert "SPN" not in {phone for label in labels for phone in to_arpabet(label)}


def test_dozens_of_speakers_can_be_told_apart(synthesis):
    """Another sentence by the same speaker has the nearest average spectrum, for most of them."""

    def timbre(text: str, speaker: Speaker) -> np.ndarray:
        samples, words, _ = synthesis.synthesize(text, speaker)
        speech = samples[round(words[0].start * 16000) : round(words[-1].end * 16000)]
        frames = np.lib.stride_tricks.sliding_window_view(speech, 512)[::160] * np.hanning(512)
        power = np.log(np.abs(np.fft.rfft(frames)) ** 2 + 1e-7)
        pitch = np.fft.irfft(power).std(axis=0)[40:200]
        return np.concatenate([power.mean(axis=0)[:200] - power.mean(), pitch / pitch.max()])

    speakers = [make_speaker(0, number) for number in range(60)]
    known = np.stack([timbre(SENTENCE, speaker) for speaker in speakers])
    heard = np.stack([timbre("a happy pilot found my brown basket behind their lake", s) for s in speakers])
    distance = ((heard[:, None] - known[None]) ** 2).sum(axis=-1)
    assert (distance.argmin(axis=1) == np.arange(60)).mean() > 0.7


def test_speakers_depend_on_seed_and_number_and_alternate_in_sex():
    assert make_speaker(1, 4) == make_speaker(1, 4)
    assert make_speaker(1, 4) != make_speaker(2, 4)
    assert "".join(make_speaker(1, number).sex for number in range(6)) == "FMFMFM"
    assert make_speaker(1, 4, sex="M").sex == "M"


def test_a_missing_synthesiser_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak._files.cache_clear()
    with pytest.raises(UserError, match=r"pip install -r requirements-mini\.txt"):
        espeak.speak("hello", "en-us")
    espeak._files.cache_clear()


def test_a_text_without_speech_is_refused(synthesis):
    with pytest.raises(ValueError, match="spoken"):
        synthesis.synthesize("...", make_speaker(0, 0))


def test_the_toolkit_itself_never_loads_the_synthesiser():
    rooms = [ROOT / room for room in ("upstream", "downstream", "pretrain", "utility")]
    files = [path for room in rooms for path in room.rglob("*.py")] + list(ROOT.glob("*.py"))
    assert files
    assert not [path for path in files if re.search(r"\bespeak|preprocess\.mini", path.read_text())]
