"""Unreadable recordings, from the command line: a run stops with the path, or goes on without them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import metrics
from test_distributed import launcher
from test_kill_and_resume import OVERRIDES
from tones import make_corpus

from s3prl.utility.bad_audio import ReadRecordings
from s3prl.utility.errors import UserError

OPTIONS = ["-m", "train", "-u", "example", "-d", "asr", "-c", "downstream/asr/mini.yaml"]


def override(**runner):
    fields = {**OVERRIDES, **{f"config.runner.{name}": value for name, value in runner.items()}}
    return ",,".join(f"{name}={value!r}" for name, value in fields.items())


@pytest.fixture
def damaged(workdir):
    """A corpus with one recording of each folder cut in the middle: those two paths."""
    root = make_corpus(workdir / "corpus", {"train-clean-100": 8, "dev-clean": 4})
    paths = []
    for split in ("train-clean-100", "dev-clean"):
        path = min(root.glob(f"{split}/*/*/*.flac"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        paths.append(path)
    return paths


def test_a_truncated_recording_stops_the_run_with_its_path_and_no_traceback(damaged, downstream, capsys):
    for workers in (0, 1):
        options = f"{override(total_steps=4)},,config.downstream_expert.datarc.num_workers={workers}"
        assert downstream(*OPTIONS, "-p", f"run{workers}", "-o", options) == 2
        error = capsys.readouterr().err
        [line] = [line for line in error.splitlines() if "Error: " in line]
        assert damaged[0].name in line and "--bad_audio skip goes on" in line
        assert "Traceback" not in error


@pytest.mark.parametrize("workers", [0, 1])
def test_skipped_recordings_are_listed_once_and_the_run_goes_on(damaged, downstream, capsys, workers):
    options = override(total_steps=6, eval_step=3, log_step=2, max_keep=9)
    options += f",,config.downstream_expert.datarc.num_workers={workers}"
    assert downstream(*OPTIONS, "-p", "run", "--bad_audio", "skip", "-o", options) == 0
    assert "1 unreadable recording(s) skipped, listed in run/bad_audio.tsv" in capsys.readouterr().err
    header, *lines = Path("run/bad_audio.tsv").read_text().splitlines()
    assert header.split("\t") == ["utterance", "path", "reason"]
    assert sorted(line.split("\t")[0] for line in lines) == sorted(path.stem for path in damaged)
    assert all(line.split("\t")[2] for line in lines)
    assert damaged[1].stem not in Path("run/dev-clean-noLM-hyp.ark").read_text()
    assert all(line["loss"] > 0 for line in metrics(Path("run")))


def test_a_lost_recording_is_listed_too(damaged, downstream):
    damaged[0].unlink()
    options = override(total_steps=2, eval_step=2)
    assert downstream(*OPTIONS, "-p", "run", "--bad_audio", "skip", "-o", options) == 0
    assert damaged[0].stem in Path("run/bad_audio.tsv").read_text()


def test_nothing_readable_is_an_error_not_a_perfect_score(damaged, downstream, capsys):
    for path in Path("corpus").glob("dev-clean/*/*/*.flac"):
        path.write_bytes(b"not audio")
    options = override(total_steps=2, eval_step=2)
    assert downstream(*OPTIONS, "-p", "run", "--bad_audio", "skip", "-o", options) == 2
    assert "none of them can be read" in capsys.readouterr().err


def test_a_recording_that_only_the_second_process_reads_is_named_too(workdir):
    root = make_corpus(workdir / "corpus", {"train-clean-100": 8, "dev-clean": ["ABC DEF AB", "AB"]})
    second = min(root.glob("dev-clean/*/*/*.flac"), key=lambda path: path.stat().st_size)
    second.write_bytes(second.read_bytes()[:-300])
    options = f"{override(total_steps=1)},,config.downstream_expert.datarc.eval_batch_size=1"
    launch = launcher("torch.distributed.run", *OPTIONS, "-p", "run", "-o", options)
    run = subprocess.run(launch, capture_output=True, text=True)
    assert run.returncode != 0 and f"{second.name} is truncated" in run.stderr
    assert "[rank" not in run.stderr  # the start of every line of a process's traceback


def test_a_wrong_choice_names_the_right_ones():
    with pytest.raises(UserError, match=r"skipp is not one of error, skip\. Did you mean 'skip'"):
        ReadRecordings("skipp")


@pytest.mark.parametrize("cache", [(), ("--cache", "features")])
def test_a_recording_without_a_single_frame_is_bad_audio_too(damaged, downstream, capsys, cache):
    short = damaged[1]  # every recording of the development set is read
    for path, samples in zip(damaged, (16000, 40), strict=True):
        soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, samples), 16000)
    options = override(total_steps=1, eval_step=1)
    cache = (*cache, "-u", "fbank")
    assert downstream(*OPTIONS, *cache, "-p", "run", "-o", options) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{short.name} has 40 samples (2.5 ms), but the upstream needs at least 400 for one frame" in told
    assert downstream(*OPTIONS, *cache, "-p", "run", "--bad_audio", "skip", "-o", options) == 0
    assert "at least 400" in Path("run/bad_audio.tsv").read_text()
