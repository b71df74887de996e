"""The miniature of Speech Commands: the official layout, disjoint speakers, and the task that reads it."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.downstream.assembly import import_expert
from s3prl.downstream.common.corpora import speech_commands as reader
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini.noises import NOISES, noise
from s3prl.preprocess.mini.speech_commands import DIGITS
from s3prl.utility.config import load_yaml
from s3prl.utility.paths import ROOT
from s3prl.utility.speech_commands import CLASSES, KEYWORDS, split_of

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SPEAKERS = {"train": 3, "dev": 1, "test": 2}
SIZES = [text for split, count in SPEAKERS.items() for text in (f"--{split}_speakers", str(count))]


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(["speech_commands", "--output", str(output), *SIZES, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "SpeechCommands"


def percent(name: str) -> float:
    """As the README of the real corpus computes it."""
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2**27 * (100.0 / (2**27 - 1))


def test_the_training_folder_has_the_layout_of_version_0_01(corpus):
    root = corpus / "speech_commands_v0.01"
    words = {path.name for path in root.iterdir() if path.is_dir()} - {"_background_noise_"}
    assert len(words) == 30 and words > set(KEYWORDS)
    files = {word: sorted(path.name for path in (root / word).iterdir()) for word in words}
    names = files["yes"]
    assert len(names) == 6 and all(found == names for found in files.values())
    speakers = [name.removesuffix("_nohash_0.wav") for name in names]
    assert all(len(speaker) == 8 and int(speaker, 16) >= 0 for speaker in speakers)
    below = Counter("dev" if p < 10 else "test" if p < 20 else "train" for p in map(percent, speakers))
    assert below == SPEAKERS
    infos = [soundfile.info(path) for word in words for path in (root / word).iterdir()]
    assert {(info.format, info.subtype, info.samplerate, info.channels) for info in infos} == {
        ("WAV", "PCM_16", 16000, 1)
    }
    seconds = [info.duration for info in infos]
    assert max(seconds) == 1.0 and min(seconds) >= 0.8 and seconds.count(1.0) > 0.7 * len(seconds)


def test_the_lists_name_the_recordings_that_the_hash_says(corpus):
    root = corpus / "speech_commands_v0.01"
    for name, low, high in (("validation_list.txt", 0, 10), ("testing_list.txt", 10, 20)):
        listed = (root / name).read_text().splitlines()
        assert sorted(listed) == sorted(
            f"{path.parent.name}/{path.name}"
            for path in root.glob("*/*_nohash_*.wav")
            if low <= percent(path.name.split("_nohash_")[0]) < high
        )


def test_the_test_set_has_twelve_classes_and_speakers_of_its_own(corpus):
    root = corpus / "speech_commands_test_set_v0.01"
    assert {path.name for path in root.iterdir() if path.is_dir()} == set(CLASSES)
    assert Counter(path.parent.name for path in root.glob("*/*.wav")) == dict.fromkeys(CLASSES, 2)
    spoken = [path.name.split("_nohash_")[0] for path in root.glob("*/*_nohash_*.wav")]
    assert len(set(spoken)) == 2 and all(10 <= percent(speaker) < 20 for speaker in spoken)
    assert all(soundfile.info(path).frames == 16000 for path in (root / "_silence_").iterdir())


def test_the_task_finds_every_recording_and_nothing_odd(corpus):
    said = []
    sizes = {}
    for split, folder in (("train", "v0.01"), ("dev", "v0.01"), ("test", "test_set_v0.01")):
        sizes[split] = len(reader.items(corpus / f"speech_commands_{folder}", split, 90, said.append))
    assert sizes == {"train": 96, "dev": 36, "test": 24} and said == []


def test_words_differ_and_noises_are_heard_all_along(corpus):
    root = corpus / "speech_commands_v0.01"
    name = next((root / "yes").iterdir()).name
    waves = [soundfile.read(root / word / name)[0] for word in KEYWORDS]
    assert len({wave.tobytes() for wave in waves}) == 10
    assert all(np.abs(wave).max() > 0.05 for wave in waves)
    noises = {path.stem: soundfile.read(path)[0] for path in (root / "_background_noise_").glob("*.wav")}
    assert noises.keys() == {
        *("doing_the_dishes", "dude_miaowing", "exercise_bike"),
        *("pink_noise", "running_tap", "white_noise"),
    }
    for wave in noises.values():
        assert len(wave) == 160000 and all(second.std() > 1e-4 for second in wave.reshape(10, 16000))


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "SpeechCommands")
    )
    assert one == two
    assert all(np.array_equal(noise(name, 0.5, 3), noise(name, 0.5, 3)) for name in NOISES)


def test_impossible_sizes_are_refused_and_named(tmp_path, capsys):
    assert make(tmp_path, "--dev_speakers", "0") == 2
    assert "--dev_speakers 0" in capsys.readouterr().err
    assert not (tmp_path / "SpeechCommands").exists()


def test_what_to_run_next_names_the_folders(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 90 utterances" in said and "test: 24 utterances" in said
    assert "-d speech_commands -c downstream/speech_commands/mini.yaml" in said
    assert f"speech_commands_test_root='{corpus}/speech_commands_test_set_v0.01'" in said


def test_lists_name_the_digits_of_each_split_with_their_speakers(corpus):
    for split, count in SPEAKERS.items():
        with (corpus / f"digits_{split}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert Counter(row["label"] for row in rows) == dict.fromkeys(DIGITS, count)
        assert len({row["speaker"] for row in rows}) == count
        for row in rows:
            path = corpus / row["path"]
            assert path.is_file() and path.parent.name == row["label"]
            assert path.name.startswith(f"{row['speaker']}_") and split_of(path.name) == split


def test_the_miniature_of_utterance_classification_names_lists_that_are_there(corpus, tmp_path, monkeypatch):
    (tmp_path / "mini").symlink_to(corpus.parent)
    monkeypatch.setenv("S3PRL_CORPORA", str(tmp_path))
    config = load_yaml(ROOT / "downstream/utterance_classification/mini.yaml")
    import_expert("utterance_classification").check(config["downstream_expert"], ["train", "dev", "test"])
