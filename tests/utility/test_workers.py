"""Loading workers never outlive their process, and never keep it from ending."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT

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
    time.sleep(0.3)
    assert runs(worker)
    process.kill()
    process.wait(timeout=60)
    assert gone_within(worker, 60)
