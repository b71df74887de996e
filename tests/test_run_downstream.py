"""The command line: what help says, and how mistakes end: one message, exit code 2, no model built."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, command, tiny

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]


def test_help_lists_upstreams_and_tasks_without_loading_pytorch():
    code = (
        "import sys; sys.argv = ['run_downstream.py', '-h']; import run_downstream\n"
        "try: run_downstream.main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "customized_upstream" in result.stdout
    assert "example" in result.stdout.split("tasks (-d):")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--upstraem", "fbank"], "no option --upstraem. Did you mean '--upstream'?"),
        (["-m", "trian"], "trian is not one of train, evaluate, inference. Did you mean 'train'?"),
        (["-e"], "-e/--past_exp: expected one argument"),
        (
            [*TRAIN, "-n", "x", "-o", "config.runner.total_steps=2,args.seed=1"],
            "put two commas between fields",
        ),
        ([*TRAIN, "-n", "x" * 300], "File name too long"),
        ([*TRAIN, "-p", "/dev/null/x"], "/dev/null/x: Not a directory"),
        (["-u", "exampel", "-d", "example", "-n", "x"], "no upstream 'exampel'. Did you mean 'example'?"),
        (
            ["-u", "example", "-d", "exmaple", "-n", "x"],
            "no downstream task 'exmaple'. Did you mean 'example'?",
        ),
        (["-d", "example", "-n", "x"], "Name the upstream model with -u"),
        (["-u", "example", "-n", "x"], "Name the downstream task with -d"),
        (["-u", "example", "-d", "example"], "Name the experiment with -n"),
        (["-u", "example", "-d", "example", "-a"], "add -n NAME or -p FOLDER"),
        ([*TRAIN, "-n", "x", "-c", "nowhere.yaml"], "no config file nowhere.yaml"),
        ([*TRAIN, "-n", "x", "-o", "config.runer.total_steps=3"], "Did you mean 'runner'?"),
        ([*TRAIN, "-n", "x", "-o", "config.runner.total_steps"], "has no '='"),
        (
            [*TRAIN, "-n", "x", "-o", "config.runner.total_steps='many'"],
            "config.runner.total_steps must be a whole",
        ),
        (["-m", "evaluate", "-e", "nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
        (["-m", "evaluate", "-e", "."], "no states-*.ckpt"),
        ([*TRAIN, "-n", "x", "-i", "nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
        ([*TRAIN, "-n", "x", "-g", "nowhere.yaml"], "-g nowhere.yaml: there is no such file"),
        ([*TRAIN, "-n", "x", "-l", "7", "-o", tiny()], "numbered 0 to 2"),
        ([*TRAIN, "-n", "x", "-s", "nothing", "-o", tiny()], "no output 'nothing'"),
    ],
)
def test_a_mistake_ends_with_one_message_and_code_2(downstream, capsys, arguments, message):
    assert downstream(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error and "usage" not in error


def test_a_misspelt_config_field_is_named(downstream, workdir, capsys):
    config = yaml.safe_load((ROOT / "downstream/example/config.yaml").read_text())
    config["runner"]["totl_steps"] = config["runner"].pop("total_steps")
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    assert downstream(*TRAIN, "-n", "x", "-c", "mine.yaml") == 2
    assert "'totl_steps'. Did you mean 'total_steps'?" in capsys.readouterr().err


def test_a_misspelt_optimizer_field_is_named(downstream, capsys):
    assert downstream(*TRAIN, "-n", "x", "-o", f"{tiny()},,+config.optimizer.lrr=1") == 2
    assert "lrr" in capsys.readouterr().err


def test_a_full_pickle_is_refused_with_the_flag_that_permits_it(downstream, workdir, capsys):
    torch.save({"Args": {}, "Config": {}, "object": subprocess.CompletedProcess([], 0)}, "old.ckpt")
    assert downstream("-m", "evaluate", "-e", "old.ckpt") == 2
    assert "--trust_checkpoint" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_and_free_again_after_a_kill(downstream, workdir, capsys):
    holder = subprocess.Popen(
        command(*TRAIN, "-n", "x", "-o", tiny(total_steps=10**6)), stdout=subprocess.DEVNULL
    )
    expdir = workdir / "result" / "downstream" / "x"
    try:
        deadline = time.monotonic() + 60
        while not list(expdir.glob("states-*.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert downstream(*TRAIN, "-n", "x", "-o", tiny()) == 2
        error = capsys.readouterr().err
        assert f"in use by process {holder.pid} on" in error
    finally:
        holder.kill()
        holder.wait()
    step = max(int(path.stem.split("-")[1]) for path in expdir.glob("states-*.ckpt"))
    assert downstream(*TRAIN, "-n", "x", "-a", "-o", tiny(total_steps=step + 1)) == 0


def test_an_evaluation_writes_beside_the_checkpoint_or_into_the_folder_that_is_named(downstream, workdir):
    downstream(*TRAIN, "-n", "x", "-o", tiny(total_steps=2))
    ckpt = "result/downstream/x/states-2.ckpt"
    assert downstream("-m", "evaluate", "-t", "test", "-n", "x", "-d", "example", "-e", ckpt) == 0
    assert Path("result/downstream/x/result.json").exists()
    assert downstream("-m", "evaluate", "-t", "test", "-n", "other", "-d", "example", "-e", ckpt) == 0
    assert Path("result/downstream/other/result-test.json").exists()
    assert downstream("-m", "evaluate", "-e", ckpt, "-o", "args.expdir='elsewhere'") == 0
    assert Path("elsewhere/result.json").exists()


def test_a_namespace_in_a_checkpoint_of_the_public_s3prl_is_read(downstream, workdir):
    import argparse

    downstream(*TRAIN, "-n", "x", "-o", tiny(total_steps=2))
    state = torch.load("result/downstream/x/states-2.ckpt", weights_only=True)
    names = ("Downstream", "Featurizer", "Step", "Epoch", "Config", "Optimizer", "Scheduler")
    kept = {name: state[name] for name in names}
    args = {
        name: state["Args"][name]
        for name in ("upstream", "downstream", "expdir", "seed", "upstream_trainable")
    }
    torch.save({**kept, "Args": argparse.Namespace(**args)}, "public.ckpt")
    assert downstream("-m", "evaluate", "-e", "public.ckpt") == 0
