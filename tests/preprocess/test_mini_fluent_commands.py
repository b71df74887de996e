"""The miniature of Fluent Speech Commands: the official layout, all intents, disjoint speakers."""

import csv
import uuid
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini.fluent_commands import phrasings

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SPEAKERS = {"train": 3, "valid": 2, "test": 2}
UTTERANCES = {"train": 34, "valid": 5, "test": 4}
SIZES = [
    *(text for split, count in SPEAKERS.items() for text in (f"--{split}_speakers", str(count))),
    *(text for split, count in UTTERANCES.items() for text in (f"--{split}_utterances", str(count))),
]
SLOTS = ("action", "object", "location")


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(["fluent_commands", "--output", str(output), *SIZES, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "fluent_speech_commands_dataset"


def tables(corpus) -> dict[str, list[dict]]:
    found = {}
    for split in SPEAKERS:
        with (corpus / f"data/{split}_data.csv").open(newline="") as file:
            found[split] = list(csv.DictReader(file))
    return found


def test_the_layout_and_the_columns_are_those_of_the_real_corpus(corpus):
    for split, rows in tables(corpus).items():
        header = (corpus / f"data/{split}_data.csv").read_text().splitlines()[0]
        assert header == ",path,speakerId,transcription,action,object,location"
        assert [row[""] for row in rows] == [str(index) for index in range(UTTERANCES[split])]
        for row in rows:
            wavs, speakers, speaker, name = row["path"].split("/")
            assert (wavs, speakers, speaker) == ("wavs", "speakers", row["speakerId"]) and len(speaker) == 16
            assert uuid.UUID(name.removesuffix(".wav"))
            info = soundfile.info(corpus / row["path"])
            assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", 16000, 1)
            assert 0.5 < info.duration < 5
    listed = {row["path"] for rows in tables(corpus).values() for row in rows}
    assert {path.relative_to(corpus).as_posix() for path in corpus.glob("wavs/**/*.wav")} == listed
    assert len(listed) == sum(UTTERANCES.values())
    assert "eSpeak NG" in (corpus / "readme.md").read_text()


def test_no_speaker_is_in_two_splits_and_every_intent_is_in_the_training_split(corpus):
    rows = tables(corpus)
    speakers = {split: {row["speakerId"] for row in rows[split]} for split in rows}
    assert {split: len(found) for split, found in speakers.items()} == SPEAKERS
    assert len(set.union(*speakers.values())) == sum(SPEAKERS.values())
    intents = {tuple(row[slot] for slot in SLOTS) for row in rows["train"]}
    assert intents == phrasings().keys() and len(intents) == 31
    assert [len(values) for values in map(set, zip(*intents, strict=True))] == [6, 14, 4]


def test_a_transcription_is_a_way_to_say_the_intent_and_to_say_no_other(corpus):
    said = [text for texts in phrasings().values() for text in texts]
    assert len(said) == len(set(said)) and min(map(len, phrasings().values())) >= 3
    for rows in tables(corpus).values():
        for row in rows:
            assert row["transcription"] in phrasings()[tuple(row[slot] for slot in SLOTS)]
    waves = [soundfile.read(corpus / row["path"])[0] for row in tables(corpus)["valid"]]
    assert len({wave.tobytes() for wave in waves}) == 5 and all(np.abs(wave).max() > 0.05 for wave in waves)


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / corpus.name)
    )
    assert one == two


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--train_utterances", "30", "--train_utterances 30 is too few for every intent"),
        ("--valid_speakers", "6", "--valid_speakers 6 with --valid_utterances 5"),
        ("--test_speakers", "0", "--test_speakers 0"),
    ],
)
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, option, value, message):
    assert make(tmp_path, option, value) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "fluent_speech_commands_dataset").exists()


def test_what_to_run_next_names_the_folder(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 34 utterances" in said and "3 speakers" in said
    assert "-d fluent_commands -c downstream/fluent_commands/mini.yaml" in said
    assert f"downstream_expert.datarc.file_path='{corpus}'" in said
