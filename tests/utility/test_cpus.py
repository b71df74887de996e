"""CPUs and threads: what a container allows, and what the work deserves."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from s3prl.utility import cpus, device
from s3prl.utility.cpus import container_quota, cpu_count
from s3prl.utility.device import use_threads_for


@pytest.fixture
def machine(tmp_path):
    """Write files of a machine's /proc/self and cgroup folders; gives the two folders."""

    def write(membership, files):
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc", tmp_path / "groups"

    return write


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/job/step\n", {"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 100000\n"}, 2.0),
        ("0::/job/step\n", {"job/cpu.max": "800000 100000\n", "job/step/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/docker/0123\n", {"cpu.max": "300000 100000\n"}, 3.0),  # the mount begins at the container
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("2:memory:/\n", {"memory/limit": "1\n"}, None),
        ("0::/\n", {"cpu.max": "no numbers\n"}, None),
    ],
)
def test_the_quota_of_the_container_is_found(machine, membership, files, quota):
    assert container_quota(*machine(membership, files)) == quota


def test_a_system_without_cgroups_has_no_quota(tmp_path):
    assert container_quota(tmp_path / "none", tmp_path / "none") is None


def test_the_count_is_at_most_the_quota_rounded_up_and_at_least_one(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    for quota, count in ((None, 64), (2.5, 3), (0.2, 1), (100.0, 64)):
        monkeypatch.setattr(cpus, "container_quota", lambda quota=quota: quota)
        assert cpu_count() == count


@pytest.fixture
def threads(monkeypatch):
    """A machine of 8 CPUs on which PyTorch has chosen 8 threads; gives how many it was set to."""
    chosen = [8]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(device, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: chosen[-1])
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    return chosen


def test_on_a_cpu_the_threads_follow_the_size_of_the_model(threads):
    use_threads_for("cpu", 90_000_000)
    assert threads[-1] == 8
    use_threads_for("cpu", 960_000)
    assert threads[-1] == 2
    threads.append(8)
    use_threads_for("cuda", 200_000)
    assert threads[-1] == 8
    use_threads_for("cpu", 200_000)
    assert threads[-1] == 1


def test_work_in_large_pieces_gets_all_threads_whatever_the_model(threads):
    use_threads_for("cpu")
    assert threads[-1] == 8


def test_threads_are_no_more_than_the_container_has_cpus(threads, monkeypatch):
    monkeypatch.setattr(device, "cpu_count", lambda: 3)
    use_threads_for("cpu")
    assert threads[-1] == 3


def test_processes_on_one_machine_divide_its_cpus(threads, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    use_threads_for("cpu", 90_000_000)
    assert threads[-1] == 2


def test_the_environment_variable_for_threads_is_obeyed(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    use_threads_for("cpu", 200_000)
    assert threads == [8]


def test_the_command_sets_how_threads_wait_before_pytorch_is_loaded(monkeypatch):
    code = (
        "import os, sys; import run_downstream; from s3prl.downstream import launch\n"
        "launch.run = lambda args: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)\n"
        "run_downstream.main(['-u', 'fbank', '-d', 'example', '-n', 'x'])"
    )
    for policy, expected in ((None, "1000 False"), ("PASSIVE", "None False")):
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        monkeypatch.setenv("OMP_WAIT_POLICY", policy) if policy else None
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert result.stdout.strip() == expected, result.stderr
