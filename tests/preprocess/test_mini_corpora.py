"""The miniature of LibriSpeech, and the command that makes mini corpora."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from s3prl.downstream.assembly import import_expert
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini import librispeech
from s3prl.preprocess.mini.phones import STRESSED_ARPABET
from s3prl.utility.config import load_yaml
from s3prl.utility.lengths import find_splits
from s3prl.utility.paths import ROOT

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SCRIPT = Path(make_mini_corpora.__file__)
SPLITS = {"train-clean-100": 80, "dev-clean": 6, "test-clean": 7}
SIZES = [
    *("--train_speakers", "5", "--train_utterances", "80"),
    *("--dev_speakers", "2", "--dev_utterances", "6"),
    *("--test_speakers", "2", "--test_utterances", "7"),
]


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(["librispeech", "--output", str(output), "--n_jobs", "1", *SIZES, *options])


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def transcripts(root: Path, split: str) -> dict[str, str]:
    lines = [
        line for path in (root / split).glob("*/*/*.trans.txt") for line in path.read_text().splitlines()
    ]
    return dict(line.split(" ", 1) for line in lines)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output) == 0
    return output / "LibriSpeech"


def test_the_layout_is_that_of_librispeech(corpus):
    assert find_splits(corpus) == sorted(SPLITS)
    for split, count in SPLITS.items():
        recordings = {path.stem: path for path in (corpus / split).glob("*/*/*.flac")}
        assert len(recordings) == count
        assert recordings.keys() == transcripts(corpus, split).keys()
        for name, path in recordings.items():
            speaker, chapter, index = name.split("-")
            assert (path.parent.name, path.parent.parent.name, len(index)) == (chapter, speaker, 4)
            assert (path.parent / f"{speaker}-{chapter}.trans.txt").is_file()
            info = soundfile.info(path)
            assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16000, 1)
            assert 0.8 < info.duration < 6
    assert "eSpeak NG" in (corpus / "README.TXT").read_text()


def test_no_speaker_and_no_sentence_is_in_two_splits_and_every_word_is_trained_on(corpus):
    speakers = [{path.name for path in (corpus / split).iterdir()} for split in SPLITS]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 9
    texts = [list(transcripts(corpus, split).values()) for split in SPLITS]
    assert sum(map(len, texts)) == len({text for split in texts for text in split}) == sum(SPLITS.values())
    assert {word for text in texts[0] for word in text.split()} == set(librispeech.vocabulary())


def test_the_speaker_table_has_both_sexes_in_each_split(corpus):
    rows = [
        [field.strip() for field in line.split("|")]
        for line in (corpus / "SPEAKERS.TXT").read_text().splitlines()
        if not line.startswith(";")
    ]
    assert {row[0] for row in rows} == {path.name for split in SPLITS for path in (corpus / split).iterdir()}
    for split, women in {"train-clean-100": 3, "dev-clean": 1, "test-clean": 1}.items():
        assert [row[1] for row in rows if row[2] == split].count("F") == women
    assert sum(float(row[3]) for row in rows) == pytest.approx(
        sum(soundfile.info(path).duration for path in corpus.rglob("*.flac")) / 60, abs=0.05
    )


def test_alignments_have_the_words_of_the_transcript_and_a_phone_at_every_moment(corpus):
    from s3prl.preprocess.mini.alignments import read_alignments

    for split in SPLITS:
        texts = transcripts(corpus, split)
        alignments = read_alignments(corpus / f"alignments/{split}.tsv")
        assert alignments.keys() == texts.keys()
        for name, (words, phones) in alignments.items():
            assert " ".join(word.label for word in words) == texts[name]
            speaker, chapter, _ = name.split("-")
            duration = soundfile.info(corpus / split / speaker / chapter / f"{name}.flac").duration
            assert phones[0].start == 0
            assert phones[-1].end == pytest.approx(duration, abs=1e-4)
            assert all(one.end == two.start for one, two in pairwise(phones))


def test_phone_labels_say_every_10_ms_which_phone_is_heard_at_the_centre_of_the_frame(corpus):
    from s3prl.preprocess.mini.alignments import read_alignments

    folder = corpus / "alignments"
    classes = (folder / "phones.txt").read_text().split()
    assert len(classes) == len(set(classes)) == 41 and classes[:3] == ["SIL", "SPN", "AA"]
    assert set(classes[2:]) == {phone.rstrip("012") for phone in STRESSED_ARPABET}
    alignments = read_alignments(folder / "train-clean-100.tsv")
    lines = (folder / "converted_aligned_phones.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == list(alignments)
    for line in lines[::10]:
        name, *labels = line.split()
        phones = alignments[name].phones
        assert len(labels) == 1 + (round(phones[-1].end * 16000) - 400) // 160
        for frame, label in enumerate(labels):
            centre = 0.01 * frame + 0.0125
            near = {p.label.rstrip("012") for p in phones if p.start - 1e-4 <= centre <= p.end + 1e-4}
            assert classes[int(label)] in near


def test_the_split_lists_of_the_phone_probes_have_every_speaker_twice(corpus):
    lists = [(corpus / f"alignments/{split}_split.txt").read_text().split() for split in ("train", "test")]
    assert sorted(lists[0] + lists[1]) == sorted(transcripts(corpus, "train-clean-100"))
    assert [len(names) for names in lists] == [65, 15]
    speakers = [{name.split("-")[0] for name in names} for names in lists]
    assert speakers[0] == speakers[1] and len(speakers[0]) == 5


def test_the_lexicon_has_every_word_in_stressed_arpabet(corpus):
    lexicon = dict(line.split(" ", 1) for line in (corpus / "lexicon.txt").read_text().splitlines())
    assert sorted(lexicon) == librispeech.vocabulary()
    assert {phone for phones in lexicon.values() for phone in phones.split()} <= set(STRESSED_ARPABET)
    assert lexicon["VIOLIN"] == "V AY0 AH0 L IH1 N"


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "3") == 0
    assert contents(tmp_path / "LibriSpeech") == contents(corpus)


def test_another_seed_gives_other_sentences_and_voices(corpus, tmp_path):
    assert make(tmp_path, "--seed", "7") == 0
    for split in SPLITS:
        assert transcripts(tmp_path / "LibriSpeech", split) != transcripts(corpus, split)


def test_making_it_twice_is_free_and_says_so(corpus, capsys, monkeypatch):
    monkeypatch.setattr(librispeech, "make", None)
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "there already" in said
    assert "train-clean-100: 80 utterances" in said
    assert "run_downstream.py" in said


def test_other_settings_are_refused_until_forced(tmp_path, capsys):
    assert make(tmp_path) == 0
    before = contents(tmp_path)
    assert make(tmp_path, "--seed", "7") == 2
    assert "seed 1337 instead of 7" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert make(tmp_path, "--seed", "7", "--force") == 0
    assert json.loads((tmp_path / "LibriSpeech/mini.json").read_text())["settings"]["seed"] == 7
    assert len(list((tmp_path / "LibriSpeech").rglob("*.flac"))) == sum(SPLITS.values())


def test_a_corpus_of_an_older_recipe_is_made_again(tmp_path, capsys):
    assert make(tmp_path) == 0
    manifest = tmp_path / "LibriSpeech/mini.json"
    today = manifest.read_text()
    older = json.loads(today)
    older["settings"]["version"] -= 1
    manifest.write_text(json.dumps(older))
    capsys.readouterr()
    assert make(tmp_path) == 0
    assert "LibriSpeech: made in" in capsys.readouterr().out and manifest.read_text() == today
    newer = json.loads(today)
    newer["settings"]["version"] += 1
    manifest.write_text(json.dumps(newer))
    assert make(tmp_path) == 2


def test_a_folder_that_is_no_mini_corpus_is_left_alone_even_when_forced(tmp_path, capsys):
    precious = tmp_path / "LibriSpeech/train-clean-100/19/198/19-198-0000.flac"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"recorded by a person")
    assert make(tmp_path, "--force") == 2
    assert "no mini corpus" in capsys.readouterr().err
    assert precious.read_bytes() == b"recorded by a person"


def test_a_killed_run_leaves_no_corpus_and_the_next_one_makes_it_whole(corpus, tmp_path):
    command = [sys.executable, SCRIPT, "librispeech", "--output", tmp_path, "--n_jobs", "1", *SIZES]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.flac")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "LibriSpeech").exists()
    assert make(tmp_path) == 0
    assert contents(tmp_path / "LibriSpeech") == contents(corpus)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["LibriSpeech"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--train_utterances", "20"], "at least"),
        (["--dev_speakers", "9"], "--dev_speakers 9"),
        (["--test_speakers", "0"], "--test_speakers 0"),
        (["--train_utterances", "100000"], "30000"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, options, hint):
    assert make(tmp_path, *options) == 2
    assert hint in capsys.readouterr().err
    assert not (tmp_path / "LibriSpeech").exists()


def test_every_word_is_in_the_smallest_training_split_for_any_seed():
    for seed in range(200):
        words = {word.upper() for text in librispeech.sentences(seed, 80) for word in text.split()}
        assert words == set(librispeech.vocabulary())


def test_sentences_have_five_to_eight_words_and_use_almost_every_letter():
    texts = librispeech.sentences(0, 2000)
    assert len(set(texts)) == 2000
    assert {len(text.split()) for text in texts} == {5, 6, 7, 8}
    assert set("abcdefghijklmnopqrstuvwxyz") <= set("".join(texts))


def test_help_names_the_recipes_and_their_options(capsys):
    for arguments, expected in ((["--help"], "librispeech"), (["librispeech", "--help"], "--train_speakers")):
        with pytest.raises(SystemExit) as exit_:
            make_mini_corpora.main(arguments)
        assert exit_.value.code == 0
        assert expected in capsys.readouterr().out


def test_all_makes_every_recipe(tmp_path, monkeypatch, capsys):
    made = []

    class Other:
        """Another corpus."""

        NAME, FOLDER, VERSION = "other", "Other", 1

        @staticmethod
        def add_options(parser):
            parser.add_argument("--words", type=int, default=3)

        @staticmethod
        def next_command(folder):
            return f"use {folder}"

        @staticmethod
        def make(folder, seed, n_jobs, words):
            made.append((seed, n_jobs, words))
            return {"all": {"utterances": 1, "speakers": 1, "hours": 0.5}}

    monkeypatch.setattr(make_mini_corpora, "recipes", lambda: {"other": Other})
    assert make_mini_corpora.main(["all", "--output", str(tmp_path), "--seed", "5", "--n_jobs", "2"]) == 0
    assert made == [(5, 2, 3)]
    said = capsys.readouterr().out
    assert "30.0 minutes" in said
    assert f"Next: use {tmp_path / 'Other'}" in said


def test_the_lists_for_own_data_have_the_texts_and_phones_of_every_split(corpus):
    from s3prl.preprocess.mini.alignments import read_alignments

    for short, split in {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}.items():
        with (corpus / f"text_{short}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {Path(row["path"]).stem: row["text"] for row in rows} == transcripts(corpus, split)
        assert all((corpus / row["path"]).is_file() and f"/{row['speaker']}/" in row["path"] for row in rows)
        with (corpus / f"phones_{short}.csv").open() as file:
            rows = list(csv.DictReader(file))
        alignments = read_alignments(corpus / f"alignments/{split}.tsv")
        phones = [(name, phone) for name, found in alignments.items() for phone in found.phones]
        assert [
            (Path(row["path"]).stem, row["label"], float(row["start"]), float(row["end"])) for row in rows
        ] == [(name, phone.label.rstrip("012"), phone.start, phone.end) for name, phone in phones]


@pytest.mark.parametrize("task", ["frame_classification", "speech_recognition"])
def test_the_miniatures_of_the_tasks_on_own_data_name_lists_that_are_there(
    corpus, task, tmp_path, monkeypatch
):
    (tmp_path / "mini").symlink_to(corpus.parent)
    monkeypatch.setenv("S3PRL_CORPORA", str(tmp_path))
    config = load_yaml(ROOT / f"downstream/{task}/mini.yaml")
    import_expert(task).check(config["downstream_expert"], ["train", "dev", "test"])
