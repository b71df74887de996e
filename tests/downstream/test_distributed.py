"""Several processes (gloo on the CPU): the same training as one process, and a clean end when one dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, command, metrics, same, tiny

from s3prl.training import checkpoint as checkpoints

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]


def launcher(module: str, *arguments) -> list[str]:
    port = 20000 + os.getpid() % 20000
    return [
        sys.executable, "-m", module, "--nproc_per_node", "2", "--master_port", str(port),
        *command(*arguments)[1:],
    ]  # fmt: skip


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("module", ["torch.distributed.run", "torch.distributed.launch"])
def test_two_processes_train_like_one_with_the_same_global_batch(downstream, workdir, module):
    options = {"log_step": 1, "total_steps": 7}
    ours = tiny(**options, gradient_accumulate_steps=1)
    result = subprocess.run(launcher(module, *TRAIN, "-p", "two", "-o", ours), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    bigger_batch = f"{ours},,config.downstream_expert.datarc.train_batch_size=4"
    assert downstream(*TRAIN, "-p", "one", "-o", bigger_batch) == 0
    assert downstream(*TRAIN, "-p", "twice", "-o", tiny(**options, gradient_accumulate_steps=2)) == 0
    two, one, twice = (metrics(Path(name)) for name in ("two", "one", "twice"))
    assert len(two) == len(one) == len(twice) > 7  # 22 utterances: the last window of the epoch is not full
    for line in zip(two, one, twice, strict=True):
        assert line[0]["loss"] == pytest.approx(line[1]["loss"], abs=1e-5)
        assert line[0]["loss"] == pytest.approx(line[2]["loss"], abs=1e-5)


def test_a_checkpoint_of_two_processes_evaluates_on_one(downstream, workdir):
    options = tiny(total_steps=2, gradient_accumulate_steps=1)
    subprocess.run(launcher("torch.distributed.run", *TRAIN, "-p", "two", "-o", options), check=True)
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "two/states-2.ckpt") == 0
    weights = checkpoints.load("two/states-2.ckpt")["Downstream"]
    assert not any(name.startswith("module.") for name in weights)


def test_when_one_process_is_killed_all_end_and_the_run_resumes_exactly(workdir):
    options = tiny(total_steps=400, gradient_accumulate_steps=1, save_step=25, eval_step=100, log_step=50)
    start = launcher("torch.distributed.run", *TRAIN, "-a", "-p", "run", "-o", options)
    run = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not list(Path("run").glob("states-*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    ranks = [
        child
        for child in children(run.pid)
        if b"run_downstream" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert len(ranks) == 2
    os.kill(ranks[-1], signal.SIGKILL)
    assert run.wait(timeout=60) != 0
    assert all(not Path(f"/proc/{rank}").exists() for rank in ranks)
    assert not Path("run/states-400.ckpt").exists()

    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        launcher("torch.distributed.run", *TRAIN, "-p", "whole", "-o", options), check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    resumed, whole = (checkpoints.load(f"{name}/states-400.ckpt") for name in ("run", "whole"))
    for key in ("Downstream", "Featurizer", "Optimizer", "Random"):
        assert same(resumed[key], whole[key]), key
    assert metrics(Path("run")) == metrics(Path("whole"))


def test_resuming_with_another_number_of_processes_is_explained(downstream, workdir, capsys):
    downstream(*TRAIN, "-p", "one", "-o", tiny(total_steps=2, gradient_accumulate_steps=1))
    result = subprocess.run(
        launcher("torch.distributed.run", "-m", "train", "-e", "one", "-o", "config.runner.total_steps=4"),
        capture_output=True, text=True, cwd=workdir, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode != 0
    assert "changes the global batch" in result.stderr


def test_no_thread_of_the_process_group_is_left_when_a_run_has_ended(workdir):
    """One that lets go of a tensor while the interpreter ends would abort the process."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv.pop(1)); import run_downstream\n"
        "from s3prl.utility import processes; stop = processes.stop\n"
        "def threads(): return [p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm')]\n"
        "def watched(): print('before', threads()); stop(); print('after', threads())\n"
        "processes.stop = watched; sys.exit(run_downstream.main(sys.argv[1:]))\n"
    )
    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    result = subprocess.run(
        [sys.executable, "-c", code, ROOT, *TRAIN, "-p", "run", "--device", "cpu", "-o", tiny(total_steps=1)],
        env={**os.environ, **alone}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    before, after = (
        next(line for line in result.stdout.splitlines() if line.startswith(word))
        for word in ("before", "after")
    )
    assert "gloo" in before and "gloo" not in after
