"""Tables of audio lengths: the command of the documentation, and the door through which tasks read them."""

import csv
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.preprocess import generate_len_for_bucket
from s3prl.preprocess.generate_len_for_bucket import main
from s3prl.utility import lengths
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import load_lengths, read_table

SCRIPT = Path(generate_len_for_bucket.__file__)


def write(path: Path, samples: int, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(samples, dtype=np.float32), rate)


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "LibriSpeech"
    write(root / "train-clean-100/19/198/19-198-0000.flac", 1000)
    write(root / "train-clean-100/19/198/19-198-0001.flac", 3000)
    write(root / "train-clean-100/26/495/26-495-0000.flac", 2000)
    write(root / "dev-clean/84/121123/84-121123-0000.flac", 500)
    (root / "empty-folder").mkdir()
    (root / "README.TXT").write_text("about the corpus")
    return root


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("option", ["-i", "--input_data", "--data_root"])
def test_the_documented_command_writes_a_table_for_every_split_without_asking(corpus, tmp_path, option):
    out = tmp_path / "data/librispeech"
    command = [sys.executable, SCRIPT, option, corpus, "-o", out, "-a", ".flac", "--n_jobs", "2"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (out / "len_for_bucket").glob("*.csv")) == [
        "dev-clean.csv",
        "train-clean-100.csv",
    ]
    assert rows(out / "len_for_bucket/train-clean-100.csv") == [
        ["", "file_path", "length", "label"],
        ["0", "train-clean-100/19/198/19-198-0001.flac", "3000", ""],
        ["1", "train-clean-100/26/495/26-495-0000.flac", "2000", ""],
        ["2", "train-clean-100/19/198/19-198-0000.flac", "1000", ""],
    ]


def test_chosen_splits_and_another_table_name(corpus, tmp_path):
    arguments = ["-i", str(corpus), "-o", str(tmp_path), "-n", "tables", "--splits", "dev-clean"]
    assert main(arguments) == 0
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["dev-clean.csv"]


def test_timit_with_capital_extensions(tmp_path):
    write(tmp_path / "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV", 700)
    write(tmp_path / "TIMIT/TRAIN/DR1/FCJF0/SA2.wav", 900)
    write(tmp_path / "TIMIT/TEST/DR1/FAKS0/SA1.WAV", 800)
    assert main(["--data_root", str(tmp_path / "TIMIT"), "-o", str(tmp_path), "-a", "wav"]) == 0
    train = read_table(tmp_path / "len_for_bucket/TRAIN.csv")
    assert train == {"TRAIN/DR1/FCJF0/SA2.wav": 900, "TRAIN/DR1/FCJF0/SA1.WAV": 700}
    assert read_table(tmp_path / "len_for_bucket/TEST.csv") == {"TEST/DR1/FAKS0/SA1.WAV": 800}


def test_any_folder_with_several_extensions(corpus, tmp_path):
    write(corpus / "dev-clean/new/ü b.wav", 700)
    assert main(["-i", str(corpus), "-o", str(tmp_path), "-a", ".FLAC,wav", "--splits", "dev-clean"]) == 0
    table = read_table(tmp_path / "len_for_bucket/dev-clean.csv")
    assert {Path(name).suffix for name in table} == {".flac", ".wav"}
    assert table["dev-clean/new/ü b.wav"] == 700


def test_a_name_that_is_not_utf_8_is_told_and_the_others_are_measured(corpus, tmp_path, capsys):
    (corpus / "dev-clean" / os.fsdecode(b"caf\xe9.flac")).write_bytes(
        next((corpus / "dev-clean").rglob("*.flac")).read_bytes()
    )
    assert main(["-i", str(corpus), "-o", str(tmp_path), "--splits", "dev-clean"]) == 1
    assert "caf\\udce9.flac has a name that is not UTF-8" in capsys.readouterr().err
    assert read_table(tmp_path / "len_for_bucket/dev-clean.csv")


def test_unreadable_recordings_are_named_counted_and_end_with_exit_code_1(corpus, tmp_path, capsys):
    (corpus / "train-clean-100/19/198/19-198-0002.flac").write_bytes(b"")
    (corpus / "train-clean-100/19/198/19-198-0003.flac").write_bytes(b"not audio at all" * 10)
    assert main(["-i", str(corpus), "-o", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "2 unreadable" in errors
    assert "19-198-0002.flac" in errors
    assert "19-198-0003.flac" in errors
    assert len(read_table(tmp_path / "len_for_bucket/train-clean-100.csv")) == 3


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-i", "nowhere"], "nowhere"),
        (["-i", "LibriSpeech", "--splits", "test-clean"], "dev-clean, empty-folder, train-clean-100"),
        (["-i", "LibriSpeech", "--splits", "/LibriSpeech/dev-clean"], "is a whole path"),
        (["-i", "LibriSpeech", "-a", ".mp3"], ".mp3"),
        (["-i", "LibriSpeech/dev-clean/84/121123"], "--splits 121123"),
    ],
)
def test_mistakes_end_with_one_message_and_exit_code_2(corpus, monkeypatch, capsys, arguments, hint):
    monkeypatch.chdir(corpus.parent)
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("Error: ")
    assert hint in errors
    assert "Traceback" not in errors


def test_lengths_are_computed_at_first_use_and_kept(corpus, tmp_path, monkeypatch):
    tables = tmp_path / "tables"
    first = load_lengths(corpus, "train-clean-100", tables)
    assert list(first.values()) == [3000, 2000, 1000]
    assert read_table(tables / "train-clean-100.csv") == first

    def fail(*args):
        raise AssertionError("the table was there")

    monkeypatch.setattr(lengths, "measure", fail)
    assert load_lengths(corpus, "train-clean-100", tables) == first


def test_lengths_are_those_of_the_audio_as_tasks_load_it(tmp_path):
    write(tmp_path / "corpus/all/slow.wav", 800, rate=8000)
    assert load_lengths(tmp_path / "corpus", "all", tmp_path, ".wav") == {"all/slow.wav": 1600}


def test_new_and_missing_recordings_bring_a_table_up_to_date(corpus, tmp_path, capsys):
    load_lengths(corpus, "train-clean-100", tmp_path)
    write(corpus / "train-clean-100/26/495/26-495-0001.flac", 4000)
    (corpus / "train-clean-100/19/198/19-198-0000.flac").unlink()
    lengths = load_lengths(corpus, "train-clean-100", tmp_path)
    assert [Path(name).stem for name in lengths] == ["26-495-0001", "19-198-0001", "26-495-0000"]
    assert read_table(tmp_path / "train-clean-100.csv") == lengths
    assert "1 rows" in capsys.readouterr().err


def test_the_table_of_another_corpus_with_the_same_names_is_not_believed(corpus, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    for path in other.glob("train-clean-100/*/*/*.flac"):
        write(path, 7777)
    load_lengths(corpus, "train-clean-100", tmp_path)
    assert set(load_lengths(other, "train-clean-100", tmp_path).values()) == {7777}


def test_a_table_written_by_pandas_is_read(corpus, tmp_path):
    (tmp_path / "dev-clean.csv").write_text(
        ",file_path,length,label\n0,dev-clean/84/121123/84-121123-0000.flac,500,\n"
    )
    before = (tmp_path / "dev-clean.csv").stat().st_mtime_ns
    assert load_lengths(corpus, "dev-clean", tmp_path) == {"dev-clean/84/121123/84-121123-0000.flac": 500}
    assert (tmp_path / "dev-clean.csv").stat().st_mtime_ns == before


def test_a_file_that_is_no_table_is_named(corpus, tmp_path):
    (tmp_path / "dev-clean.csv").write_text("name;seconds\na;3\n")
    with pytest.raises(UserError, match=r"dev-clean\.csv"):
        load_lengths(corpus, "dev-clean", tmp_path)


def test_processes_that_start_together_measure_once(corpus, tmp_path, monkeypatch):
    calls = []
    honest = lengths.measure

    def counted(root, files, *args):
        calls.append(len(files))
        return honest(root, files, *args)

    monkeypatch.setattr(lengths, "measure", counted)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_lengths(corpus, "train-clean-100", tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(lengths == found[0] for lengths in found)
    assert sum(calls) == 3


def test_a_table_folder_that_cannot_be_written_leaves_the_lengths_in_the_cache(corpus, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr("s3prl.utility.lengths.hub_dir", lambda: cache)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    first = load_lengths(corpus, "train-clean-100", blocked)
    assert list(first.values()) == [3000, 2000, 1000]
    assert len(list(cache.rglob("train-clean-100.csv"))) == 1
    monkeypatch.setattr(lengths, "measure", None)
    assert load_lengths(corpus, "train-clean-100", blocked) == first


def test_unreadable_recordings_are_left_out_with_a_warning_and_taken_in_once_repaired(
    corpus, tmp_path, capsys
):
    broken = corpus / "dev-clean/84/121123/84-121123-0001.flac"
    broken.write_bytes(b"")
    assert len(load_lengths(corpus, "dev-clean", tmp_path)) == 1
    assert broken.name in capsys.readouterr().err
    write(broken, 600)
    assert len(load_lengths(corpus, "dev-clean", tmp_path)) == 2


def test_an_interrupted_write_leaves_the_old_table(corpus, tmp_path, monkeypatch):
    table = tmp_path / "dev-clean.csv"
    lengths.write_table(table, {"dev-clean/a.flac": 1})

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lengths.write_table(table, {"dev-clean/b.flac": 2})
    assert read_table(table) == {"dev-clean/a.flac": 1}
    assert [path.name for path in tmp_path.glob("*dev-clean.csv*")] == ["dev-clean.csv"]
