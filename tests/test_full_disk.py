"""A disk that is full: one message with the file, exit code 2, and what was there before is still there."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import files_of_at_most, tiny

from s3prl.training import checkpoint as checkpoints
from s3prl.training.report import MetricLogger
from s3prl.upstream import extract
from s3prl.utility import errors
from s3prl.utility.files import naming
from s3prl.utility.lengths import load_lengths

TRAIN = ["-m", "train", "-u", "example", "-d", "example", "-p", "run"]


def test_a_checkpoint_that_does_not_fit_is_named_and_the_one_before_it_survives(downstream, capsys):
    assert downstream(*TRAIN, "-o", tiny(total_steps=2)) == 0
    with files_of_at_most(20_000):
        assert downstream("-m", "train", "-e", "run", "-o", "config.runner.total_steps=4") == 2
    error = capsys.readouterr().err
    assert "No space left to write run/states-4.ckpt" in error
    assert "the same command with -a then continues" in error and "Traceback" not in error
    assert checkpoints.load("run/states-2.ckpt")["Step"] == 2
    assert not list(Path("run").glob(".*.partial"))
    assert downstream(*TRAIN, "-a", "-o", "config.runner.total_steps=4") == 0


def test_pytorchs_own_error_of_a_full_disk_becomes_the_systems(tmp_path):
    with files_of_at_most(20_000), pytest.raises(OSError) as caught:
        checkpoints.save({"weight": torch.zeros(50_000)}, tmp_path, ["states-1.ckpt"])
    assert caught.value.filename == str(tmp_path / "states-1.ckpt")


def test_metrics_that_cannot_be_written_are_named_with_the_free_space(downstream, capsys):
    assert downstream(*TRAIN, "-o", tiny(total_steps=2)) == 0
    Path("run/metrics.jsonl").unlink()
    Path("run/metrics.jsonl").symlink_to("/dev/full")
    assert downstream("-m", "train", "-e", "run", "-o", "config.runner.total_steps=4") == 2
    error = capsys.readouterr().err
    assert "No space left to write run/metrics.jsonl: " in error and " MB free of " in error


def test_curves_that_do_not_fit_end_the_run_which_would_wait_for_them_without_end(tmp_path):
    logger, caught = MetricLogger(tmp_path), []

    def log():
        try:
            for step in range(5000):
                logger.add_scalar("a/loss", 1.0, step)
                logger.flush()
        except OSError as error:
            caught.append(error)

    with files_of_at_most(5000):
        thread = threading.Thread(target=log, daemon=True)
        thread.start()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert Path(caught[0].filename).name.startswith("events.out.tfevents")
    logger.close()


def test_features_that_do_not_fit_are_named(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    command = ["-u", "fbank", "--input", str(tmp_path / "a.wav"), "--output", str(tmp_path / "features")]
    with files_of_at_most(20_000):
        assert extract.main([*command, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "No space left to write" in error and "a.safetensors" in error and "Traceback" not in error


def test_a_table_of_lengths_that_does_not_fit_is_named_and_the_run_goes_on(tmp_path, capsys):
    (tmp_path / "train").mkdir()
    soundfile.write(tmp_path / "train" / "a.wav", np.zeros(800, np.float32), 16000)
    with files_of_at_most(10):
        assert load_lengths(tmp_path, "train", tmp_path / "tables", ".wav") == {"train/a.wav": 800}
    assert f"No space left to write {tmp_path / 'tables' / 'train.csv'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "MB free of"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "Read-only"),
        (errno.EACCES, "denied"),
    ],
)
def test_every_fault_of_a_file_system_has_a_message_with_the_file(tmp_path, number, words):
    path = tmp_path / "file"
    with pytest.raises(errors.UserError, match=words) as told, errors.faults_explained(), naming(path):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "file") in str(told.value)


def test_other_errors_are_not_hidden():
    with pytest.raises(FileNotFoundError), errors.faults_explained():
        Path("/nowhere/at/all").read_text()
    with pytest.raises(RuntimeError, match="a bug"), naming(Path("file")):
        raise RuntimeError("a bug")
