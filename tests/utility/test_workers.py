"""Loading workers never outlive their process, and never keep it from ending."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import ROOT

from s3prl.training.sampling import worker_limit
from s3prl.utility.errors import UserError, faults_explained
from s3prl.utility.workers import has_temporary_folder

SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from torch.utils.data import DataLoader
from s3prl.utility.workers import WorkerInit

class Waves:
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        return np.zeros(400000, np.float32)  # does not fit into a pipe: the worker waits for a reader

loader = DataLoader(Waves(), num_workers=1, collate_fn=list, worker_init_fn=WorkerInit(None))
batches = iter(loader)
next(batches)
print(batches._workers[0].pid, flush=True)
if sys.argv[2] == "fail":
    raise RuntimeError("with the iterator alive")
time.sleep(600)
"""


def start(tmp_path, behaviour):
    """The process, and the number of its worker."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, ROOT, behaviour]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return process, int(process.stdout.readline())


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def gone_within(pid, seconds):
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not runs(pid)


def test_a_process_that_fails_ends_although_workers_ignore_sigterm(tmp_path):
    process, worker = start(tmp_path, "fail")
    assert process.wait(timeout=60) == 1
    assert gone_within(worker, 60)


def test_workers_end_when_their_process_is_killed(tmp_path):
    process, worker = start(tmp_path, "wait")
    process.kill()
    process.wait(timeout=60)
    assert gone_within(worker, 60)


def test_workers_outlive_a_polite_request_to_end(tmp_path):
    process, worker = start(tmp_path, "wait")
    os.kill(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGINT)  # Ctrl-C reaches every process of a terminal
    time.sleep(0.3)
    assert runs(worker)
    process.kill()
    process.wait(timeout=60)
    assert gone_within(worker, 60)


@pytest.fixture
def searching(monkeypatch):
    """Python looks for a folder for temporary files anew."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    has_temporary_folder.cache_clear()
    yield monkeypatch
    has_temporary_folder.cache_clear()


def test_a_tmpdir_that_does_not_exist_is_replaced_before_workers_wait_for_it(searching):
    searching.setenv("TMPDIR", "/nowhere")
    assert has_temporary_folder()
    assert Path(os.environ["TMPDIR"]).is_dir()


def test_without_a_temporary_folder_data_is_loaded_without_workers(searching, capsys):
    def nothing():
        raise FileNotFoundError(2, "No usable temporary directory found in []")

    searching.setattr(tempfile, "_get_default_tempdir", nothing)
    assert worker_limit() == 0
    assert "no temporary folder can be written (TMPDIR)" in capsys.readouterr().err
    with pytest.raises(UserError, match="Set TMPDIR to a folder that can"), faults_explained():
        tempfile.mkdtemp()
