"""Lengths of recordings without their silence: all are read once, by several processes, and kept."""

import numpy as np
import pytest
import soundfile

from s3prl.utility import heard_lengths as module
from s3prl.utility.heard_lengths import heard_lengths
from s3prl.utility.recordings import Recording, read

RATE = 16000


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Five recordings of 1 to 5 tenths of a second, each with 0.3 s of silence in front of it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    rng = np.random.default_rng(0)
    (tmp_path / "corpus").mkdir()
    for number in range(1, 6):
        noise = rng.uniform(-0.3, 0.3, number * RATE // 10)
        soundfile.write(tmp_path / f"corpus/{number}.wav", np.concatenate([np.zeros(4800), noise]), RATE)
    return tmp_path / "corpus"


@pytest.fixture
def reads(monkeypatch):
    """The files that this process reads."""
    found = []
    monkeypatch.setattr(module, "read", lambda one: found.append(one.path) or read(one))
    return found


def recordings(corpus):
    return [Recording(path, gain=-3.0, trim=True) for path in sorted(corpus.glob("*.wav"))]


def test_the_lengths_are_those_that_are_heard_and_kept_for_the_next_time(corpus, reads, monkeypatch):
    monkeypatch.setattr(module, "CHECKED_ROWS", 1)
    found = heard_lengths(corpus, recordings(corpus), "train")
    assert found.lengths == {one: len(read(one)) for one in recordings(corpus)}
    assert all(abs(length - (index + 1) * 1600) < 700 for index, length in enumerate(found.lengths.values()))
    reads.clear()
    assert heard_lengths(corpus, recordings(corpus), "train") == found and len(reads) == 1
    reads.clear()
    soundfile.write(corpus / "6.wav", np.random.default_rng(1).uniform(-0.3, 0.3, 8000), RATE)
    assert len(heard_lengths(corpus, recordings(corpus), "train").lengths) == 6
    assert len(reads) == 2 and reads[-1].endswith("6.wav")


def test_files_that_have_changed_and_another_treatment_are_read_anew(corpus, reads):
    before = heard_lengths(corpus, recordings(corpus), "train").lengths
    for path in corpus.glob("*.wav"):
        soundfile.write(path, np.random.default_rng(1).uniform(-0.3, 0.3, 8000), RATE)
    after = heard_lengths(corpus, recordings(corpus), "train").lengths
    assert min(after.values()) > 7900 and max(before.values()) > min(before.values()) + 6000
    whole = [Recording(path) for path in sorted(corpus.glob("*.wav"))]
    reads.clear()
    assert len(heard_lengths(corpus, whole, "train").lengths) == len(reads) == 5


def test_silence_has_length_0_and_what_cannot_be_read_is_told_apart(corpus):
    soundfile.write(corpus / "1.wav", np.zeros(RATE), RATE)
    (corpus / "2.wav").write_bytes(b"RIFF")
    silent, broken, *_ = recordings(corpus)
    found = heard_lengths(corpus, recordings(corpus), "train")
    assert found.lengths[silent] == 0 and list(found.unreadable) == [broken]
    assert "2.wav" in found.unreadable[broken]


def test_what_was_found_before_an_interruption_is_kept(corpus, reads, monkeypatch):
    samples = module._samples

    def interrupted(recording):
        if recording.path.endswith("4.wav"):
            raise KeyboardInterrupt
        return samples(recording)

    monkeypatch.setattr(module, "_samples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        heard_lengths(corpus, recordings(corpus), "train")
    monkeypatch.setattr(module, "_samples", samples)
    monkeypatch.setattr(module, "CHECKED_ROWS", 1)
    reads.clear()
    assert len(heard_lengths(corpus, recordings(corpus), "train").lengths) == 5
    assert [path[-5:] for path in reads[1:]] == ["4.wav", "5.wav"]


def test_many_recordings_are_read_by_several_processes(corpus, monkeypatch):
    monkeypatch.setattr(module, "FEW_FILES", 2)
    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    found = heard_lengths(corpus, recordings(corpus), "train").lengths
    assert found == {one: len(read(one)) for one in recordings(corpus)}
