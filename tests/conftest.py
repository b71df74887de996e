"""Shared by all tests: the clone on sys.path, one thread per process, runs of the real command line."""

import ctypes
import json
import os
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import torch  # noqa: E402

torch.set_num_threads(1)

TINY_EXAMPLE = (
    "config.downstream_expert.datarc.utterances={'train': 22, 'dev': 4, 'test': 4},,"
    "config.downstream_expert.datarc.seconds=[0.2, 0.4],,config.downstream_expert.datarc.num_workers=0,,"
    "config.downstream_expert.datarc.train_batch_size=2,,"
    "config.runner.eval_dataloaders=['dev']"
)


def command(*arguments) -> list[str]:
    """A command line that runs run_downstream.py of this clone in a process of its own."""
    return [sys.executable, str(ROOT / "run_downstream.py"), *map(str, arguments), "--device", "cpu"]


def tiny(**runner) -> str:
    """-o for a run of the example task that takes a second; keywords set fields of config.runner."""
    fields = {
        "total_steps": 8,
        "log_step": 3,
        "eval_step": 4,
        "save_step": 2,
        "max_keep": 3,
        "draw_curves": False,
    }
    fields |= runner
    return ",,".join([TINY_EXAMPLE, *(f"config.runner.{name}={value!r}" for name, value in fields.items())])


def metrics(expdir: Path) -> list[dict]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (expdir / "metrics.jsonl").read_text().splitlines()]


def same(one, other) -> bool:
    """Whether two nested values with tensors are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes a second and most tests train; a test of the pictures undoes this."""
    monkeypatch.setattr("s3prl.training.summary.draw_curves", lambda *folders: [])


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty working folder; relative experiment folders land here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def downstream(workdir):
    """Run the command line in this process; returns the exit code."""
    from run_downstream import main

    def run(*arguments):
        return main([*map(str, arguments), "--device", "cpu"])

    return run


@pytest.fixture
def computed(monkeypatch):
    """The lengths of all waves that the upstream `example` computes, but for whole seconds, as probes are."""
    from s3prl.upstream.example.expert import UpstreamExpert

    lengths, forward = [], UpstreamExpert.forward

    def count(self, wavs):
        lengths.extend(len(wav) for wav in wavs if len(wav) % 16000)
        return forward(self, wavs)

    monkeypatch.setattr(UpstreamExpert, "forward", count)
    return lengths


@contextmanager
def files_of_at_most(size: int):
    """A file system that is full: no file of this process can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def permissions_matter():
    """Root too may only do what the permissions of a file allow (capabilities(7): CAP_DAC_*, both off)."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
    if libc.capget(header, sets) != 0:
        pytest.skip("capabilities cannot be read here")
    without = (ctypes.c_uint32 * 6)(*sets)
    without[0] &= ~0b110
    libc.capset(header, without)
    try:
        yield
    finally:
        libc.capset(header, sets)
