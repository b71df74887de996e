"""run_pretrain.py: configs, folders, what -e, -a, -i and -o make of a run, and all GPUs of a machine."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, same
from own_method import MODEL, RUNNER, write_method

from s3prl.pretrain import launch, methods
from s3prl.training import checkpoint as checkpoints
from s3prl.utility import commands, plugins

RUN = Path("result/pretrain/x")
TOY = ["-u", "./toy", "-n", "x"]


@pytest.fixture(autouse=True)
def toy(workdir, monkeypatch):
    """The folder ./toy, which later tests do not find in the environment."""
    monkeypatch.setenv(plugins.MOUNTED, "{}")
    monkeypatch.setenv("TOY_ROOT", "corpus")
    return write_method(workdir / "toy")


@pytest.fixture
def pretrain(workdir):
    """Run the command line in this process; returns the exit code."""
    from run_pretrain import main

    def run(*arguments):
        return main([*map(str, arguments), "--device", "cpu"])

    return run


def states(step, folder=RUN):
    return checkpoints.load(folder / f"states-{step}.ckpt")


def test_a_folder_of_the_user_s_is_trained_by_its_own_configs(pretrain, toy, workdir):
    assert pretrain(*TOY) == 0
    state = states(8)
    assert state["Args"]["upstream"] == str(toy) and state["Args"]["seed"] == 1337
    assert state["Upstream_Config"] == MODEL
    assert set(state["model"]) == {"0.weight", "0.bias"}
    assert len(list(RUN.glob("states-*.ckpt"))) == 4


def test_the_configs_in_the_folder_are_those_that_the_run_uses(pretrain):
    assert pretrain(*TOY, "-o", "config.optimizer.lr=0.5,,config.upstream_config.task.noise=0.25") == 0

    def written(name):
        return yaml.safe_load((RUN / name).read_text())

    assert written("config_model.yaml") == {"size": 3, "task": {"noise": 0.25}}
    runner = written("config_runner.yaml")
    assert runner["optimizer"]["lr"] == 0.5 and set(runner) == set(RUNNER)
    assert runner["pretrain_expert"]["datarc"]["libri_root"] == "${TOY_ROOT}"
    assert (
        states(8)["Config"]["optimizer"]["lr"] == 0.5
        and states(8)["Upstream_Config"]["task"]["noise"] == 0.25
    )
    (arguments,) = RUN.glob("args_*.yaml")
    assert yaml.safe_load(arguments.read_text())["upstream_config"].endswith("/toy/config_model.yaml")
    assert pretrain("-e", RUN, "-o", "config.runner.total_steps=10") == 0
    assert written("config_runner.yaml")["runner"]["total_steps"] == 10
    assert len(list(RUN.glob("config_runner_*.yaml"))) == len(list(RUN.glob("config_model_*.yaml"))) == 2


def test_the_configs_in_the_folder_stay_where_a_launch_fails_to_build_the_model(pretrain, capsys):
    pretrain(*TOY)
    assert pretrain("-e", RUN, "-o", "config.upstream_config.size=4,,config.runner.total_steps=10") == 2
    assert "do not fit" in capsys.readouterr().err
    assert yaml.safe_load((RUN / "config_model.yaml").read_text()) == MODEL
    assert yaml.safe_load((RUN / "config_runner.yaml").read_text()) == RUNNER


def test_a_run_that_stopped_continues_with_a_or_e_and_ends_as_it_would_have(pretrain, capsys):
    assert pretrain(*TOY, "-a") == 0  # nothing is there yet
    whole = states(8)
    for path in RUN.glob("states-[68].ckpt"):
        path.unlink()
    assert pretrain(*TOY, "-a") == 0
    assert "Continues at step 4" in capsys.readouterr().out
    assert all(same(whole[name], states(8)[name]) for name in ("model", "Optimizer", "Random"))
    (RUN / "states-8.ckpt").unlink()
    assert pretrain("-e", RUN / "states-4.ckpt") == 0
    assert all(same(whole[name], states(8)[name]) for name in ("model", "Optimizer", "Random"))


def test_a_run_is_continued_from_any_folder_with_its_own_configs(pretrain, toy, workdir, monkeypatch, capsys):
    pretrain(*TOY, "-o", "config.upstream_config.task.noise=0.25")
    (toy / "config_model.yaml").write_text("size: 7\n")
    (workdir / "elsewhere").mkdir()
    monkeypatch.chdir(workdir / "elsewhere")
    assert pretrain("-e", workdir / RUN, "-o", "config.runner.total_steps=10") == 0
    out = capsys.readouterr().out
    assert "config_model.yaml has changed since this run began (upstream_config.size)" in out
    assert "[Experiment] config.runner.total_steps: 8 -> 10\n" in out
    assert states(10, workdir / RUN)["Upstream_Config"] == {"size": 3, "task": {"noise": 0.25}}


def test_only_the_weights_are_taken_with_i(pretrain):
    pretrain(*TOY)
    assert (
        pretrain(
            "-u", "./toy", "-n", "y", "-i", RUN, "-o", "config.runner.total_steps=1,,config.optimizer.lr=0.0"
        )
        == 0
    )
    state = states(1, Path("result/pretrain/y"))
    assert state["Step"] == 1 and same(state["model"], states(8)["model"])


def test_epochs_take_the_place_of_steps(pretrain, toy):
    runner = {**RUNNER["runner"], "n_epochs": 2}
    del runner["total_steps"]
    Path("mine.yaml").write_text(yaml.safe_dump({**RUNNER, "runner": runner}))
    assert pretrain(*TOY, "-c", "mine.yaml", "-g", toy / "config_model.yaml") == 0
    assert states(10)["Epoch"] == 2  # 20 items in batches of 4


@pytest.mark.parametrize("year", [2021, 2022])
def test_a_checkpoint_of_the_public_s3prl_is_continued(pretrain, toy, year):
    pretrain(*TOY)
    ours = states(4)
    args = Namespace(
        upstream=str(toy), expdir="result/pretrain/lost", device="cuda", seed=3, multi_gpu=True,
        config="pretrain/lost.yaml", upstream_config=MODEL if year == 2022 else "pretrain/lost.yaml",
    )  # fmt: skip
    public = {"Optimizer": ours["Optimizer"], "Step": 3, "Args": args, "model": ours["model"]}
    config = (
        {"Config": RUNNER, "Upstream_Config": MODEL} if year == 2022 else {"Runner": RUNNER, "Config": MODEL}
    )
    Path("public").mkdir()
    torch.save(public | config, "public/states-4.ckpt")
    assert pretrain("-e", "public") == 0
    state = states(8, Path("public"))
    assert state["Step"] == 8 and state["Args"]["seed"] == 3 and not state["Args"]["multi_gpu"]
    assert {int(moments["step"]) for moments in state["Optimizer"]["state"].values()} == {8}
    assert state["Upstream_Config"] == MODEL


def test_a_longer_name_selects_the_folder_that_it_begins_with(monkeypatch):
    monkeypatch.setattr(methods, "methods", lambda: ["apc", "audio_albert", "audio"])
    assert methods.folder_name("apc_360") == "apc"
    assert methods.folder_name("audio_albert_base") == "audio_albert"
    assert methods.folder_name("audio_albert") == "audio_albert"
    assert methods.folder_name("apcs") == "apcs"


def test_every_method_says_in_one_line_what_it_is():
    assert all(summary.endswith(".") for summary in methods.summaries().values())


def test_help_lists_methods_without_loading_pytorch():
    code = (
        "import sys; sys.argv = ['run_pretrain.py', '-h']; import run_pretrain\n"
        "try: run_pretrain.main()\nexcept SystemExit: pass\n"
        "assert run_pretrain.main(['-u', 'exmaple', '-n', 'x']) == 2\nassert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    listed = result.stdout.split("methods (-u;")[1]
    assert all(f"\n  {name} " in listed for name in methods.methods())


@pytest.fixture
def gpus(monkeypatch):
    """Set how many GPUs there seem to be; lists the command that takes the place of this process."""
    started = []

    def execute(path, command):
        started.append(command)
        raise SystemExit(0)

    monkeypatch.setattr(launch.os, "execv", execute)
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def set_count(count):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        return started

    return set_count


def test_multi_gpu_starts_the_same_command_once_for_each_gpu(gpus, capsys, monkeypatch):
    from run_pretrain import main

    started = gpus(3)
    given = [*TOY, "--multi_gpu", "-o", "config.optimizer.lr=0.5,,config.upstream_config.size=3"]
    for clone, program in ((True, [str(ROOT / "run_pretrain.py")]), (False, ["-m", "s3prl.run_pretrain"])):
        monkeypatch.setattr(commands, "in_clone", lambda clone=clone: clone)
        with pytest.raises(SystemExit):
            main(given)
        options = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "3"]
        assert started.pop() == [sys.executable, *options, *program, *given]
    assert not RUN.exists()
    assert "Override" not in capsys.readouterr().err  # the processes tell it


def test_multi_gpu_tells_mistakes_before_anything_is_started(gpus, capsys):
    from run_pretrain import main

    started = gpus(3)
    assert main([*TOY, "--multi_gpu", "-o", "config.optimizer.lrr=1"]) == 2
    assert "config.optimizer has no field 'lrr'" in capsys.readouterr().err
    assert main([*TOY, "--multi_gpu", "--device", "cuda:1"]) == 2
    assert "--multi_gpu takes all GPUs, --device cuda:1 one" in capsys.readouterr().err
    assert not started


def test_multi_gpu_trains_in_this_process_where_there_is_one_gpu_or_a_launcher(
    gpus, pretrain, capsys, monkeypatch
):
    assert pretrain(*TOY, "--multi_gpu", "-o", "config.runner.total_steps=2") == 0
    out = capsys.readouterr().out
    assert "one process does it" in out and "torchrun" in out
    gpus(3)
    monkeypatch.setenv("LOCAL_RANK", "0")
    launch.start_on_all_gpus(Namespace(local_rank=None), [])


def test_the_end_of_a_run_says_what_to_do_with_it(pretrain, monkeypatch, capsys):
    from s3prl.pretrain.runner import Runner

    monkeypatch.setattr(Runner, "advice", lambda self: ["Probe it: python run_downstream.py -u toy_local"])
    assert pretrain(*TOY) == 0
    assert "\n[Runner] Probe it: python run_downstream.py -u toy_local" in capsys.readouterr().out
