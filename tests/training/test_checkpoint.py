"""Checkpoint files: whole or not there, read without running code, damage noticed and named."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, same

from s3prl.training import checkpoint as checkpoints
from s3prl.utility.errors import UserError
from s3prl.utility.files import remove_partial_files

STATE = {"Downstream": {"weight": torch.arange(5000.0)}, "Step": 3, "Args": {"seed": 1}}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    paths = checkpoints.save(STATE, tmp_path, ["dev-best.ckpt", "states-3.ckpt"])
    assert [path.name for path in paths] == ["dev-best.ckpt", "states-3.ckpt"]
    assert all(same(checkpoints.load(path), STATE) for path in paths)
    assert paths[0].samefile(paths[1])


def test_saving_again_leaves_the_linked_name_alone(tmp_path):
    checkpoints.save(STATE, tmp_path, ["dev-best.ckpt", "states-3.ckpt"])
    checkpoints.save({**STATE, "Step": 4}, tmp_path, ["dev-best.ckpt", "states-4.ckpt"])
    assert checkpoints.load(tmp_path / "states-3.ckpt")["Step"] == 3
    assert checkpoints.load(tmp_path / "dev-best.ckpt")["Step"] == 4


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damage_is_named(tmp_path, damage):
    [path] = checkpoints.save(STATE, tmp_path, ["states-3.ckpt"])
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "cut": content[:-100],
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
    }
    path.write_bytes(changed[damage])
    with pytest.raises(checkpoints.DamagedCheckpoint, match=r"states-3.ckpt is damaged"):
        checkpoints.load(path)


def test_a_page_saved_in_place_of_a_checkpoint_is_no_damage_and_passed_over_too(tmp_path):
    checkpoints.save(STATE, tmp_path, ["states-3.ckpt"])
    (tmp_path / "states-4.ckpt").write_text("<html>nicht gefunden: ä</html>")
    with pytest.raises(UserError, match=r"states-4.ckpt is a text file, not a checkpoint"):
        checkpoints.load(tmp_path / "states-4.ckpt")
    assert checkpoints.load_latest(tmp_path)[0].name == "states-3.ckpt"


def test_the_latest_that_can_be_read_is_loaded(tmp_path):
    for step in (5, 40, 300):
        checkpoints.save({**STATE, "Step": step}, tmp_path, [f"states-{step}.ckpt"])
    (tmp_path / "states-300.ckpt").write_bytes(b"")
    path, state = checkpoints.load_latest(tmp_path)
    assert (path.name, state["Step"]) == ("states-40.ckpt", 40)


def test_when_all_are_damaged_nothing_is_started_anew_silently(tmp_path):
    (tmp_path / "states-1.ckpt").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"No checkpoint states-\*.ckpt in .* can be read"):
        checkpoints.load_latest(tmp_path)


def test_pruning_keeps_the_latest_by_number_and_every_best(tmp_path):
    for name in ("states-9.ckpt", "states-10.ckpt", "states-100.ckpt", "dev-best.ckpt"):
        (tmp_path / name).write_bytes(b"x")
    checkpoints.prune(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "states-10.ckpt",
        "states-100.ckpt",
        "dev-best.ckpt",
    }


def test_namespaces_are_read_and_other_objects_refused(tmp_path):
    torch.save({"Args": argparse.Namespace(seed=3)}, tmp_path / "public.ckpt")
    assert checkpoints.load(tmp_path / "public.ckpt")["Args"].seed == 3
    torch.save({"Args": Path("x")}, tmp_path / "objects.ckpt")
    with pytest.raises(UserError, match="--trust_checkpoint"):
        checkpoints.load(tmp_path / "objects.ckpt")
    assert checkpoints.load(tmp_path / "objects.ckpt", trust=True)["Args"] == Path("x")


def test_records_become_plain_values():
    records = {
        "loss": [np.float32(1.5), torch.ones(1, requires_grad=True)],
        "ids": ("a", np.int64(3)),
        "x": {2},
    }
    plain = checkpoints.plain(records)
    assert plain["loss"][0] == 1.5
    assert type(plain["loss"][0]) is float
    assert not plain["loss"][1].requires_grad
    assert plain["ids"] == ("a", 3)
    with pytest.raises(TypeError, match="object"):
        checkpoints.plain(object())


def test_a_writer_killed_at_any_moment_leaves_whole_files_only(tmp_path):
    code = (
        "import sys, torch; from pathlib import Path; from s3prl.training import checkpoint as c\n"
        "step = 0\n"
        "while True:\n"
        "    step += 1; c.save({'Step': step, 'x': torch.full((300_000,), step)}, Path(sys.argv[1]), "
        "['dev-best.ckpt', f'states-{step}.ckpt']); c.prune(Path(sys.argv[1]), 2)\n"
    )
    for delay in (0.0, 0.013, 0.029, 0.05):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
        before = {path.name for path in tmp_path.glob("states-*.ckpt")}
        while {path.name for path in tmp_path.glob("states-*.ckpt")} <= before and writer.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for path in tmp_path.glob("*.ckpt"):
            state = checkpoints.load(path)
            assert torch.all(state["x"] == state["Step"])
        remove_partial_files(tmp_path)
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
