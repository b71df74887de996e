"""preprocess_any.py, preprocess_libri.py, preprocess_timit.py: folders of ready features."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s3prl.preprocess import feature_sets, preprocess_any, preprocess_libri, preprocess_timit
from s3prl.preprocess.feature_kinds import feature_config
from s3prl.upstream.baseline.hubconf import fbank
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.audio import load

SECONDS = {"a": 0.5, "deep/er/b": 0.7, "deep/c": 0.3}
SUFFIXES = {"a": ".wav", "deep/er/b": ".flac", "deep/c": ".mp3"}


def record(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(round(1000 * seconds)).normal(0, 0.1, round(16000 * seconds))
    soundfile.write(path, noise.astype(np.float32), 16000)
    return path


@pytest.fixture
def corpus(workdir):
    """A folder of nested recordings in three formats."""
    for name, seconds in SECONDS.items():
        record(workdir / f"corpus/{name}{SUFFIXES[name]}", seconds)
    return workdir / "corpus"


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")}


def test_a_corrupt_recording_is_told_at_the_end_and_the_next_run_does_what_is_missing(
    corpus, workdir, capsys, monkeypatch
):
    broken = corpus / "deep/broken.flac"
    record(broken, 0.4)
    broken.write_bytes(broken.read_bytes()[:2000])
    (corpus / "deep/empty.wav").write_bytes(b"")
    (corpus / "deep/notes.txt").write_text("not a recording")
    command = ["--train", "corpus", "--output_path", "out", "--device", "cpu"]

    assert preprocess_any.main(command) == 1
    said = capsys.readouterr()
    folder = workdir / "out/NewData_fbank80"
    whole = {f"train/{name}.npy" for name in SECONDS}
    assert files(folder) == whole
    assert "3 utterances" in said.out and "(3 computed, 0 were there)" in said.out
    assert str(broken.relative_to(workdir)) in said.err and "deep/empty.wav" in said.err
    assert "error: 2 recordings could not be used" in said.err
    bad = (folder / "bad_audio.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in bad[1:]] == ["train/deep/empty", "train/deep/broken"]
    rows = table(folder / "train.csv")
    assert rows[0] == ["", "file_path", "length", "label"]
    assert [row[1] for row in rows[1:]] == ["train/deep/er/b.npy", "train/a.npy", "train/deep/c.npy"]
    for _, path, frames, _ in rows[1:]:
        array = np.load(folder / path)
        assert array.dtype == np.float32 and array.shape == (int(frames), 80)

    (folder / "train/a.npy").write_bytes((folder / "train/a.npy").read_bytes()[:-4])  # not whole
    before = {name: (folder / name).stat().st_mtime_ns for name in whole}
    record(broken, 0.4)
    read = []
    monkeypatch.setattr(feature_sets, "load", lambda path: read.append(path.name) or load(path))
    assert preprocess_any.main(command) == 1
    assert sorted(read) == ["a.wav", "broken.flac"]
    said = capsys.readouterr()
    assert "4 utterances" in said.out and "(2 computed, 2 were there)" in said.out
    assert "1 recordings could not be used" in said.err
    changed = {name for name in whole if (folder / name).stat().st_mtime_ns != before[name]}
    assert changed == {"train/a.npy"}

    (corpus / "deep/empty.wav").unlink()
    read.clear()
    assert preprocess_any.main(command) == 0
    assert not read and not (folder / "bad_audio.tsv").exists()


def test_the_features_are_those_of_the_upstream_of_the_same_name(corpus, workdir):
    options = ["--train", "corpus", "--delta=True", "--delta_delta=True", "--output_path", "out"]
    assert preprocess_any.main(options) == 0
    upstream = fbank()
    for name, suffix in SUFFIXES.items():
        wave = torch.from_numpy(load(corpus / f"{name}{suffix}"))
        expected = upstream([wave])["last_hidden_state"][0]
        found = np.load(workdir / f"out/NewData_fbank240/train/{name}.npy")
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "name", "frames"),
    [
        ("--feature_type=mfcc --delta=True --delta_delta=True", "mfcc39", 48),
        ("--feature_type=fbank --delta=False", "fbank80", 48),
        ("--feature_type=fbank --delta=True", "fbank160", 48),
        ("--feature_type=linear --delta=False", "linear1025", 41),
        ("--feature_type=mel --delta=True", "mel160", 41),
        ("--feature_type=mel", "mel160", 41),
    ],
)
def test_the_documented_commands_have_the_documented_sizes(workdir, options, name, frames):
    libri, timit = "103-1240-0000", "DR1-FCJF0-SA1"
    record(workdir / "data/LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac", 0.5)
    record(workdir / "data/timit/TRAIN/DR1/FCJF0/SA1.WAV", 0.5)
    assert preprocess_libri.main(options.split()) == 0
    assert preprocess_timit.main(options.split()) == 0
    size = int(name.strip("mfcbankelir"))
    for place in (f"libri_{name}/train-clean-100/{libri}.npy", f"timit_{name}/TRAIN/{timit}.npy"):
        assert np.load(workdir / "data" / place).shape == (frames, size)
    assert table(workdir / f"data/libri_{name}/train-clean-100.csv")[1][1:3] == [
        f"train-clean-100/{libri}.npy", str(frames)
    ]  # fmt: skip


def test_mel_and_linear_see_50_ms_every_12_5_ms():
    for kind in ("mel", "linear"):
        front = features_from_config(feature_config(kind))
        assert (front.stft.window, front.shift, front.stft.fft) == (800, 200, 2048)
    assert features_from_config(feature_config("fbank")).base.options.window == 400


def test_without_cmvn_the_features_keep_their_level(corpus, workdir):
    for value in ("True", "False"):
        assert preprocess_any.main(["--train=corpus", f"--apply_cmvn={value}", f"--name=cmvn_{value}"]) == 0
    levels = {v: np.load(workdir / f"data/cmvn_{v}/train/a.npy").mean() for v in ("True", "False")}
    assert abs(levels["True"]) < 1e-4 < abs(levels["False"])


def test_a_config_of_the_front_end_says_which_features(corpus, workdir):
    options = ["--set", "extra=corpus", "--config", "upstream/baseline/spectrogram.yaml", "-a=wav,.FLAC"]
    assert preprocess_any.main(options) == 0
    assert files(workdir / "data/NewData_spectrogram257") == {"extra/a.npy", "extra/deep/er/b.npy"}


def test_every_folder_of_a_corpus_is_a_set(corpus, workdir):
    record(workdir / "whole/train/x.wav", 0.2)
    record(workdir / "whole/dev/deep/y.wav", 0.2)
    (workdir / "whole/lists").mkdir()
    assert preprocess_any.main(["--data_path", "whole", "--audio_extention=.wav"]) == 0
    assert files(workdir / "data/NewData_fbank80") == {"train/x.npy", "dev/deep/y.npy"}


def test_on_a_terminal_the_folders_are_asked_for(corpus, workdir, monkeypatch):
    record(workdir / "more/x.flac", 0.2)
    answers = iter(["corpus", "more", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert preprocess_any.main(["--audio_extention=.flac"]) == 0
    assert files(workdir / "data/NewData_fbank80") == {"train/deep/er/b.npy", "dev/x.npy"}


def test_other_options_do_not_mix_with_features_that_are_there(corpus, capsys):
    assert preprocess_any.main(["--train", "corpus", "--name", "mine"]) == 0
    assert preprocess_any.main(["--train", "corpus", "--name", "mine", "--apply_cmvn=False"]) == 2
    error = capsys.readouterr().err
    assert "data/mine holds features of other settings (cmvn:" in error and "Choose another --name" in error


def test_timit_takes_one_of_a_recording_and_its_converted_copy(workdir):
    record(workdir / "TIMIT/test/dr1/faks0/sa1.wav", 0.5)
    record(workdir / "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV", 0.2)
    (workdir / "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV").rename(workdir / "SA1.WAV")
    record(workdir / "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV.wav", 0.2)
    (workdir / "SA1.WAV").rename(workdir / "TIMIT/TRAIN/DR1/FCJF0/SA1.WAV")
    assert preprocess_timit.main(["--data_path", ".", "--feature_type=fbank", "--delta=False"]) == 0
    assert files(workdir / "data/timit_fbank80") == {"TRAIN/DR1-FCJF0-SA1.npy", "TEST/DR1-FAKS0-SA1.npy"}


@pytest.mark.parametrize(
    ("main", "options", "message"),
    [
        (preprocess_any.main, [], "--train, --dev and --test, or a corpus"),
        (preprocess_any.main, ["--train", "nowhere"], "--train: there is no folder nowhere"),
        (preprocess_any.main, ["--train", "corpus", "-a", ".sph"], "corpus has no recording (.sph)"),
        (preprocess_any.main, ["--data_path", "corpus"], "is one set. Say which: --train corpus"),
        (preprocess_any.main, ["--set", "train:corpus"], "write NAME=FOLDER"),
        (preprocess_any.main, ["--train", "corpus", "--delta_delta"], "add --delta=True"),
        (preprocess_any.main, ["--train", "corpus", "--delta=maybe"], "must be true or false, not 'maybe'"),
        (preprocess_any.main, ["--train=corpus", "--config=mel.yaml", "--delta=False"], "Leave out --delta,"),
        (preprocess_libri.main, ["--config=mel.yaml", "--feature_type=mel"], "Leave out --feature_type,"),
        (preprocess_any.main, ["--train", "corpus", "--name", ".."], "holds something else already"),
        (preprocess_libri.main, ["--feature_type=fbnk"], "Did you mean 'fbank'?"),
        (preprocess_libri.main, [], "there is no folder data/LibriSpeech"),
        (preprocess_timit.main, ["--data_path", "corpus/deep/timit"], "no recording (.wav). Choose the ext"),
        (preprocess_timit.main, ["--data_path", "corpus"], "has no folder TRAIN or TEST"),
    ],
)
def test_a_mistake_is_one_message(corpus, capsys, monkeypatch, main, options, message):
    monkeypatch.setattr("sys.stdin", None)
    (corpus / "deep/timit/TRAIN").mkdir(parents=True)
    if "libri" in main.__module__ and options != []:
        record(Path("data/LibriSpeech/dev-clean/1/2/1-2-0000.flac"), 0.2)
    assert main(options) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_two_recordings_for_one_file_are_refused_before_anything_is_computed(corpus, workdir, capsys):
    record(corpus / "a.flac", 0.2)
    assert preprocess_any.main(["--train", "corpus"]) == 2
    error = capsys.readouterr().err
    assert "a.flac" in error and "a.wav" in error and "--audio_extension" in error
    assert not (workdir / "data").exists()


def test_what_a_folder_was_made_with_is_beside_it(corpus, workdir):
    assert preprocess_any.main(["--train", "corpus", "--feature_type", "mel"]) == 0
    settings = json.loads((workdir / "data/NewData_mel80/settings.json").read_text())
    assert (settings["win_ms"], settings["hop_ms"], settings["input"]["feat_type"]) == (50, 12.5, "mel")


def test_what_a_killed_run_left_half_written_is_removed(corpus, workdir):
    assert preprocess_any.main(["--train", "corpus"]) == 0
    leftover = workdir / "data/NewData_fbank80/train/.a.npy.4242.partial"
    leftover.write_bytes(b"half")
    assert preprocess_any.main(["--train", "corpus"]) == 0
    assert not leftover.exists()


def test_other_recordings_of_the_same_names_and_lengths_are_not_taken_for_those_that_are_there(
    workdir, capsys
):
    for corpus in ("clean", "noisy"):
        record(workdir / f"{corpus}/a.wav", 0.3)
    assert preprocess_any.main(["--train", "clean"]) == 0
    assert preprocess_any.main(["--train", "noisy"]) == 2
    error = capsys.readouterr().err
    assert "data/NewData_fbank80/train was made from" in error and "clean, not from noisy" in error
    assert preprocess_any.main(["--dev", "noisy"]) == 0  # another set
    (workdir / "clean").rename(workdir / "moved")
    capsys.readouterr()
    assert preprocess_any.main(["--train", "moved"]) == 0
    assert "(0 computed, 1 were there)" in capsys.readouterr().out


def test_what_is_known_of_bad_recordings_stays_when_another_set_is_prepared(corpus, workdir):
    (corpus / "empty.wav").write_bytes(b"")
    record(workdir / "more/x.wav", 0.2)
    assert preprocess_any.main(["--train", "corpus"]) == 1
    assert preprocess_any.main(["--dev", "more"]) == 0
    listed = workdir / "data/NewData_fbank80/bad_audio.tsv"
    assert [line.split("\t")[0] for line in listed.read_text().splitlines()[1:]] == ["train/empty"]
    (corpus / "empty.wav").unlink()
    assert preprocess_any.main(["--train", "corpus"]) == 0
    assert not listed.exists()


@pytest.mark.parametrize("options", [["--set", "..=corpus"], ["--data_path=more", "--sets", "../corpus"]])
def test_the_name_of_a_set_does_not_lead_out_of_the_folder(corpus, workdir, capsys, options):
    (workdir / "more").mkdir()
    assert preprocess_any.main(options) == 2
    assert "leads out of data/NewData_fbank80" in capsys.readouterr().err
    assert not list(workdir.rglob("*.npy"))


@pytest.mark.parametrize("twice", [["--set", "train=more"], ["--data_path", "."]])
def test_a_set_that_is_given_twice_is_refused(corpus, workdir, capsys, twice):
    record(workdir / "train/x.wav", 0.2)
    assert preprocess_any.main(["--train", "corpus", *twice]) == 2
    assert f"The set train is given twice: --train and {twice[0]}" in capsys.readouterr().err


def test_names_that_are_hardly_names_stop_no_other_recording(workdir, capsys):
    long = "\u540d" * 80  # 240 bytes
    (workdir / "corpus").mkdir()
    for name in (long, "b c", os.fsdecode(b"caf\xe9")):
        shutil.copy(record(workdir / "x.wav", 0.2), workdir / f"corpus/{name}.wav")
    assert preprocess_any.main(["--train", "corpus"]) == 1
    assert files(workdir / "data/NewData_fbank80") == {f"train/{long}.npy", "train/b c.npy"}
    assert "has a name that is not UTF-8" in capsys.readouterr().err
    assert "caf" in (workdir / "data/NewData_fbank80/bad_audio.tsv").read_text()


def test_one_thread_or_many_make_the_same_bytes_of_any_recording(corpus, workdir):
    both = np.random.default_rng(0).normal(0, 0.1, (4001, 2))
    soundfile.write(corpus / "stereo.wav", both, 8000)
    soundfile.write(corpus / "silent.wav", np.zeros(8000), 16000)
    record(corpus / "short.wav", 0.07)
    for jobs in ("1", "8"):
        options = ["--train=corpus", "--feature_type=mel", "--n_jobs", jobs, "--name", jobs]
        assert preprocess_any.main(options) == 0
    paths = sorted((workdir / "data/1").rglob("*.npy"))
    assert len(paths) == 6
    for path in paths:
        assert path.read_bytes() == (workdir / "data/8" / path.relative_to(workdir / "data/1")).read_bytes()
        assert np.isfinite(np.load(path)).all()
    assert len(np.load(workdir / "data/1/train/stereo.npy")) == 1 + 8002 // 200


def test_damaged_settings_of_a_folder_are_one_message(corpus, workdir, capsys):
    assert preprocess_any.main(["--train", "corpus"]) == 0
    for text in ("{", "3"):
        (workdir / "data/NewData_fbank80/settings.json").write_text(text)
        assert preprocess_any.main(["--train", "corpus"]) == 2
        assert "settings.json is damaged" in capsys.readouterr().err


def test_a_damaged_list_of_sources_is_one_message(corpus, workdir, capsys):
    assert preprocess_any.main(["--train", "corpus"]) == 0
    for text in ("{", "3"):
        (workdir / "data/NewData_fbank80/sources.json").write_text(text)
        assert preprocess_any.main(["--train", "corpus"]) == 2
        assert "sources.json is damaged" in capsys.readouterr().err


def test_a_shift_that_was_added_to_the_settings_does_not_make_them_others(corpus, workdir):
    assert preprocess_any.main(["--train", "corpus"]) == 0
    path = workdir / "data/NewData_fbank80/settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shift": 160}))
    assert preprocess_any.main(["--train", "corpus"]) == 0
    assert json.loads(path.read_text())["shift"] == 160
