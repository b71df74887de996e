"""Files and folders that must not be read or written: one message with the path; evaluation works anyway."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import tiny
from test_full_disk import TRAIN

from s3prl.training import expdir
from s3prl.training.expdir import LOCK, claimed, is_claimed
from s3prl.training.plan import Shard
from s3prl.training.sampling import training_batches
from s3prl.upstream import extract
from s3prl.utility import show_results
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

EVALUATE = ["-m", "evaluate", "-t", "dev", "-e", "run/states-2.ckpt"]


@pytest.fixture
def trained(downstream):
    assert downstream(*TRAIN, "-o", tiny(total_steps=2)) == 0
    return Path("run").absolute()


@pytest.fixture
def read_only(trained, downstream, permissions_matter):
    assert downstream(*EVALUATE) == 0
    trained.chmod(0o555)
    yield trained
    trained.chmod(0o755)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_in_a_read_only_folder_is_evaluated_on_the_screen(read_only, downstream, capsys):
    before = contents(read_only)
    capsys.readouterr()
    assert downstream(*EVALUATE) == 0
    said = capsys.readouterr().out
    assert "cannot be written: results are printed only" in said
    assert "dev (step 2" in said and "Written to" not in said
    assert contents(read_only) == before


def test_a_task_that_writes_files_does_so_elsewhere(read_only, downstream, monkeypatch, capsys):
    from s3prl.downstream.example.expert import DownstreamExpert

    folders = []

    def inference(self, features, names):
        folders.append(self.expdir)
        (Path(self.expdir) / "inference.txt").write_text(names[0])
        print("recognised", names[0])

    def build(self, *args, expdir, **kwargs):
        original(self, *args, expdir=expdir, **kwargs)
        self.expdir = expdir

    original = DownstreamExpert.__init__
    monkeypatch.setattr(DownstreamExpert, "__init__", build)
    monkeypatch.setattr(DownstreamExpert, "inference", inference, raising=False)
    soundfile.write("speech.wav", np.zeros(16000, np.float32), 16000)
    assert downstream("-m", "inference", "-t", "speech.wav", "-e", "run/states-2.ckpt") == 0
    assert "recognised speech" in capsys.readouterr().out
    assert Path(folders[0]) != read_only and not Path(folders[0]).exists()


def test_results_of_a_read_only_folder_are_shown(read_only, capsys):
    assert show_results.main([str(read_only)]) == 0
    assert "dev" in capsys.readouterr().out


def test_training_in_a_read_only_folder_names_it(read_only, downstream, capsys):
    (read_only / LOCK).chmod(0o444)
    assert downstream("-m", "train", "-e", "run", "-o", "config.runner.total_steps=4") == 2
    error = capsys.readouterr().err
    assert "run" in error and "Permission denied" in error and "Traceback" not in error


def test_an_unreadable_config_and_an_unreadable_corpus_are_named(
    workdir, downstream, capsys, permissions_matter
):
    Path("mine.yaml").write_text("runner: {total_steps: 1}")
    Path("mine.yaml").chmod(0)
    assert downstream(*TRAIN, "-c", "mine.yaml") == 2
    assert "mine.yaml: Permission denied" in capsys.readouterr().err
    Path("corpus/speaker").mkdir(parents=True)
    Path("corpus/speaker").chmod(0)
    try:
        assert extract.main(["-u", "fbank", "--input", "corpus", "--output", "out", "--device", "cpu"]) == 2
        assert "corpus/speaker: Permission denied" in capsys.readouterr().err
    finally:
        Path("corpus/speaker").chmod(0o755)


def test_the_folder_of_another_user_in_which_a_run_was_started_does_no_harm(workdir, permissions_matter):
    Path("theirs/inner").mkdir(parents=True)
    Path("theirs").chmod(0)
    try:
        found = find_path("downstream/asr/char.dict", workdir / "theirs" / "inner")
    finally:
        Path("theirs").chmod(0o755)
    assert found.is_file()


def test_a_run_in_training_can_be_evaluated_and_its_files_are_left_alone(trained, downstream, capsys):
    kept = ("metrics.jsonl", LOCK, "states-2.ckpt")
    (trained / ".states-4.ckpt.1.partial").write_text("being written")
    with claimed(trained):
        before = {name: (trained / name).read_bytes() for name in kept}
        assert downstream(*EVALUATE) == 0
        assert before == {name: (trained / name).read_bytes() for name in kept}
        assert is_claimed(trained)
    said = capsys.readouterr().out
    assert "A run trains in" in said and "what the task itself writes goes to" in said
    assert json.loads((trained / "result.json").read_text())["split"] == "dev"
    assert (trained / ".states-4.ckpt.1.partial").exists()
    assert not list(trained.glob("evaluation_*")) and not list(trained.glob("previous_*"))


def test_the_claim_of_another_process_is_seen_and_ends_with_it(tmp_path):
    assert not is_claimed(tmp_path)
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a+'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / LOCK)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    assert is_claimed(tmp_path)
    holder.kill()
    holder.wait()
    assert not is_claimed(tmp_path)


class Forbidden(torch.utils.data.Dataset):
    """Reads labels from a file that it must not read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise PermissionError(errno.EACCES, "Permission denied", "labels.txt")


def test_a_file_that_a_loading_worker_must_not_read_is_named():
    loader = torch.utils.data.DataLoader(Forbidden(), num_workers=1)
    with pytest.raises(UserError, match=r"^labels.txt: Permission denied"):
        next(training_batches(loader, 0, 0, 0, Shard()))


def test_two_launches_in_one_second_keep_two_records(tmp_path, monkeypatch):
    names = iter(["a", "a", "b"])  # the second launch finds `a` free, and the first one takes it meanwhile
    monkeypatch.setattr(expdir, "free_name", lambda *_: tmp_path / next(names))
    for text in ("first", "second"):
        expdir.write_new(tmp_path, "args", ".yaml", text)
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["first", "second"]
