"""`-d PATH` and `-u PATH`: tasks and models of the user's, in folders outside the tree."""

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import soundfile
import torch
from conftest import ROOT, tiny

from s3prl import hub
from s3prl.downstream.tasks import package_of
from s3prl.upstream import extract
from s3prl.utility import plugins

MODEL = """
import torch
from ..interfaces import UpstreamBase
from .parts import SCALE


class UpstreamExpert(UpstreamBase):
    def __init__(self, ckpt=None, model_config=None, **kwargs):
        super().__init__(**kwargs)

    def get_downsample_rates(self, key):
        return 200

    def forward(self, wavs):
        padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        frames = padded[:, : padded.size(1) // 200 * 200].unflatten(1, (-1, 200)) * SCALE
        return {"hidden_states": [frames], "last_hidden_state": frames}
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """What a test mounts is gone from the environment of later ones."""
    monkeypatch.setenv(plugins.MOUNTED, "{}")


@pytest.fixture
def task(workdir):
    """The template, as a folder my_task that also imports from the tree."""
    folder = shutil.copytree(ROOT / "downstream" / "example", workdir / "mine" / "my_task")
    expert = folder / "expert.py"
    expert.write_text("from ..model import *\nfrom ..common import items\n" + expert.read_text())
    return folder


@pytest.fixture
def model(workdir):
    """A folder my_model with an expert.py and no hubconf.py."""
    folder = workdir / "mine" / "my_model"
    folder.mkdir(parents=True)
    (folder / "expert.py").write_text(MODEL)
    (folder / "parts.py").write_text("SCALE = 0.5\n")
    return folder


def test_a_task_and_a_model_outside_the_tree_train_and_are_evaluated_from_anywhere(
    downstream, task, model, workdir, monkeypatch
):
    run = ["-d", "mine/my_task", "-u", "./mine/my_model/", "-p", "run"]
    assert downstream("-m", "train", *run, "-o", tiny(total_steps=4)) == 0
    state = torch.load("run/states-4.ckpt", weights_only=True)["Args"]
    assert (state["downstream"], state["upstream"]) == (str(task), str(model))
    (workdir / "elsewhere").mkdir()
    monkeypatch.chdir(workdir / "elsewhere")
    assert downstream("-m", "evaluate", "-t", "dev", "-e", workdir / "run" / "dev-best.ckpt") == 0
    assert (workdir / "run" / "result-dev.json").is_file()


def test_a_moved_folder_is_named_with_the_way_to_say_where_it_is(downstream, task, model, workdir, capsys):
    options = ["-d", task, "-u", model, "-p", "run", "-o", tiny(total_steps=2)]
    assert downstream("-m", "train", *options) == 0
    moved = workdir / "moved"
    shutil.move(task, moved)
    evaluate = ["-m", "evaluate", "-t", "dev", "-e", "run/states-2.ckpt"]
    assert downstream(*evaluate) == 2
    message = capsys.readouterr().err
    assert f"-d {task}: there is no folder {task}. If it was moved" in message
    assert "-o \"args.downstream='NEW_FOLDER'\"" in message
    assert downstream(*evaluate, "-o", "args.downstream=./moved") == 0
    shutil.move(model, workdir / "moved_model")
    assert downstream(*evaluate, "-o", "args.downstream=./moved") == 2
    assert f"there is no folder {model}. If it was moved" in capsys.readouterr().err
    both = f"args.downstream={moved},,args.upstream={workdir / 'moved_model'}"
    assert downstream(*evaluate, "-o", both) == 0


def test_a_checkpoint_cannot_name_code_by_a_relative_path(downstream, task, workdir, capsys):
    assert downstream("-d", task, "-u", "example", "-p", "run", "-o", tiny(total_steps=2)) == 0
    state = torch.load("run/states-2.ckpt", weights_only=True)
    for name in ("downstream", "upstream"):
        torch.save({**state, "Args": {**state["Args"], name: "./mine/my_task"}}, "theirs.ckpt")
        assert downstream("-m", "evaluate", "-t", "dev", "-e", "theirs.ckpt") == 2
        assert "asks for code of the relative path ./mine/my_task" in capsys.readouterr().err
    soundfile.write("a.wav", [0.0] * 8000, 16000)
    assert extract.main(["--weights", "theirs.ckpt", "--input", "a.wav", "--output", "out"]) == 2
    assert "theirs.ckpt asks for code of the relative path" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [
    ("asr", "the name 'asr' is taken by"), ("runner", "runner.py. Rename your folder"),
    ("v1.2", "Rename it without the dot"),
])  # fmt: skip
def test_a_folder_whose_name_cannot_be_imported_is_refused(downstream, task, capsys, name, message):
    folder = task.rename(task.parent / name)
    assert downstream("-d", folder, "-u", "example", "-p", "run", "-o", tiny()) == 2
    assert message in capsys.readouterr().err


def test_mistakes_about_folders_are_told(downstream, task, model, workdir, capsys, monkeypatch):
    def said(*options):
        assert downstream(*options, "-p", "run", "-o", tiny()) == 2
        return capsys.readouterr().err

    monkeypatch.chdir(task.parent)
    assert "The folder my_task of the working folder is -d ./my_task." in said(
        "-u", "example", "-d", "my_task"
    )
    assert "has no expert.py, so it is not a task" in said("-u", "example", "-d", model.parent)
    assert "no expert.py and no hubconf.py" in said("-d", "example", "-u", model.parent)
    assert "is -u hf -k facebook/hubert-base" in said("-d", "example", "-u", "facebook/hubert-base")
    (task / "expert.py").write_text("import package_that_nobody_has\n")
    assert f"'my_task' ({task}/expert.py) cannot be imported" in said("-u", "example", "-d", task)
    (task / "expert.py").write_text("class Expert:\n    pass\n")
    assert "expert.py has no class DownstreamExpert" in said("-u", "example", "-d", task)
    (model / "expert.py").write_text("from . import nothing_of_that_name\n")
    assert "cannot be imported" in said("-d", "example", "-u", model)


def test_a_task_of_the_tree_by_its_path_is_that_task(downstream, workdir):
    folder = ROOT / "downstream" / "example"
    assert downstream("-d", folder, "-u", "example", "-p", "run", "-o", tiny(total_steps=2)) == 0
    assert torch.load("run/states-2.ckpt", weights_only=True)["Args"]["downstream"] == "example"


def test_the_entry_of_a_hubconf_is_its_only_one_or_the_one_asked_for(model):
    assert hub.get(str(model))().get_downsample_rates("hidden_states") == 200
    entry = "from .expert import UpstreamExpert as _E\n\ndef {}(**kwargs):\n    return _E()\n\n"
    (model / "hubconf.py").write_text(entry.format("first"))
    assert hub.get(str(model)).__name__ == "first"
    plugins.sys.modules.pop(hub.get(str(model)).__module__)
    (model / "hubconf.py").write_text(
        entry.format("first") + entry.format("second").rstrip() + "  # changed\n"
    )
    assert hub.get(f"{model}:second").__name__ == "second"


def test_a_worker_that_imports_anew_finds_the_folder(task):
    (task / "numbers.py").write_text("def double(value):\n    return 2 * value\n")
    package = package_of(str(task))
    double = plugins.importlib.import_module(f"{package}.numbers").double
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(double, 21).result() == 42
    assert Path(plugins.sys.modules[package].__path__[0]) == task
