"""--sweep_lr: a head for every learning rate on one pass of the upstream, each an experiment of its own."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import command, metrics, same, tiny

from s3prl.training import checkpoint as checkpoints
from s3prl.training import summary
from s3prl.training.report import draw_curves
from s3prl.upstream.example.expert import UpstreamExpert
from s3prl.utility import show_results

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]
RATES = ["1e-2", "0.001", "3e-4"]
SWEEP = ["--sweep_lr", ",".join(RATES)]
SPECAUG = "+config.specaug.apply_time_warp=True,,+config.specaug.time_warp_window=2"
EXACT = (
    "Downstream", "Featurizer", "Optimizer", "Scheduler", "Step", "Epoch", "Position", "Random", "Records",
    "Counters",
)  # fmt: skip


def options(rate=None, **runner):
    fields = [tiny(**runner), SPECAUG] + ([f"config.optimizer.lr={rate}"] if rate else [])
    return ",,".join(fields)


def assert_same_runs(one, other):
    for path in Path(other).glob("*.ckpt"):
        states = [checkpoints.load(Path(folder) / path.name) for folder in (one, other)]
        for key in EXACT:
            assert same(states[0][key], states[1][key]), (one, path.name, key)
    assert metrics(Path(one)) == metrics(Path(other))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the separate runs of all rates."""
    from run_downstream import main

    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for rate in RATES:
            assert main([*TRAIN, "-n", f"alone/{rate}", "-o", options(rate), "--device", "cpu"]) == 0
    return folder / "result" / "downstream" / "alone"


def test_every_head_ends_as_its_separate_run_on_one_pass_of_the_upstream(downstream, trained, monkeypatch):
    calls, forward = [], UpstreamExpert.forward
    monkeypatch.setattr(
        UpstreamExpert, "forward", lambda self, wavs: calls.append(len(wavs)) or forward(self, wavs)
    )
    assert downstream(*TRAIN, "-n", "single", "-o", options(RATES[0])) == 0
    once = len(calls)
    calls.clear()
    assert downstream(*TRAIN, "-n", "sweep", *SWEEP, "-o", options()) == 0
    for rate in RATES:
        assert_same_runs(f"result/downstream/sweep/lr{rate}", trained / rate)
    probes = 2 * len(RATES)  # of the featurizers, which measure dimension and stride
    assert once < len(calls) <= once + probes


@pytest.fixture
def swept(downstream):
    """Runs the command line beside a finished sweep in result/downstream/sweep."""
    assert downstream(*TRAIN, "-n", "sweep", *SWEEP, "-o", options()) == 0
    return downstream


def test_a_head_is_an_ordinary_experiment(swept, trained, capsys):
    head = "result/downstream/sweep/lr0.001"
    state = checkpoints.load(f"{head}/states-8.ckpt")
    assert state["Args"]["expname"] == "sweep/lr0.001" and state["Args"]["expdir"] == head
    assert "sweep_lr" not in state["Args"] and state["Config"]["optimizer"]["lr"] == 1e-3
    assert "lr: 0.001" in next(Path(head).glob("config_*.yaml")).read_text()

    assert swept("-m", "evaluate", "-t", "dev", "-e", f"{head}/dev-best.ckpt") == 0
    assert Path(head, "result-dev.json").is_file()
    more = "config.runner.total_steps=11"
    assert swept("-m", "train", "-e", head, "-o", more) == 0
    assert swept(*TRAIN, "-p", "alone", "-o", options("0.001")) == 0
    assert swept("-m", "train", "-e", "alone", "-o", more) == 0
    assert_same_runs(head, "alone")


def test_the_table_names_the_best_rate_and_how_to_evaluate_it(capsys, swept):
    out = capsys.readouterr().out
    rows = [line.split("\t") for line in Path("result/downstream/sweep/sweep.tsv").read_text().splitlines()]
    assert rows[0] == ["rate", "folder", "metric", "split", "score", "step", "best"]
    assert [row[0] for row in rows[1:]] == RATES
    scores = [float(row[4]) for row in rows[1:]]
    assert [row[6] for row in rows[1:]].index("best") == scores.index(max(scores))
    best = RATES[scores.index(max(scores))]
    marked = next(line for line in out.splitlines() if line.endswith("<- best"))
    assert marked.split()[:2] == [best, f"{max(scores):.4g}"]
    command = f"-m evaluate -t dev -e result/downstream/sweep/lr{best}/dev-best.ckpt"
    assert out.splitlines()[-1].endswith(command)

    assert show_results.main(["result/downstream/sweep", "--output", "pictures"]) == 0
    assert marked.split() in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_heads_are_drawn_in_one_picture(downstream, monkeypatch):
    monkeypatch.setattr(summary, "draw_curves", draw_curves)
    drawn = options(total_steps=2).replace("draw_curves=False", "draw_curves=True")
    assert downstream(*TRAIN, "-n", "sweep", "--sweep_lr", "1e-2,1e-3", "-o", drawn) == 0
    assert Path("result/downstream/sweep/curves.png").stat().st_size > 10_000
    assert not list(Path("result/downstream/sweep").glob("lr*/curves.*"))


def test_a_new_rate_joins_the_sweep_and_one_left_out_is_left_alone(swept, trained, capsys):
    folder = Path("result/downstream/sweep")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("lr*/*.ckpt")}
    joined = ["--sweep_lr", "1e-2,0.5"]
    assert swept(*TRAIN, "-a", "-n", "sweep", *joined, "-o", options()) == 0
    out = capsys.readouterr().out
    assert f"[Sweep] {folder}/lr0.001 is of another rate: it is left alone." in out
    assert "[Runner] lr1e-2: Already trained to step 8: nothing left to do." in out
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert swept(*TRAIN, "-p", "alone", "-o", options("0.5")) == 0
    assert_same_runs(folder / "lr0.5", "alone")
    assert swept(*TRAIN, "-a", "-n", "sweep", "--sweep_lr", "0.01", "-o", options()) == 2
    assert f"0.01 is the rate of {folder}/lr1e-2. Write it as 1e-2." in capsys.readouterr().err


def test_initial_weights_are_those_of_all_heads(swept):
    start = ["-i", "result/downstream/sweep/lr1e-2/states-8.ckpt"]
    assert swept(*TRAIN, "-n", "next", *start, *SWEEP, "-o", options(total_steps=2)) == 0
    for rate in RATES[:2]:
        assert swept(*TRAIN, "-p", rate, *start, "-o", options(rate, total_steps=2)) == 0
        assert_same_runs(f"result/downstream/next/lr{rate}", rate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep_lr", "1e-2,1e-3,0.01"], "1e-2 and 0.01 are the same learning rate"),
        (["--sweep_lr", "1e-2,fast"], "'fast' is no learning rate. Give positive numbers"),
        (["--sweep_lr", "1e-2,-1"], "'-1' is no learning rate"),
        (["--sweep_lr", "1e-2,1e999"], "'1e999' is no learning rate"),
        (["--sweep_lr", ","], "--sweep_lr names no learning rate"),
        ([*SWEEP, "-m", "evaluate"], "--sweep_lr is for training. Leave it out with -m evaluate."),
        ([*SWEEP, "-f"], "-f trains the upstream, which the heads of --sweep_lr have in common"),
        ([*SWEEP, "-o", "args.upstream_trainable=True"], "-f trains the upstream"),
        ([*SWEEP, "-o", "config.optimizer.lr=1e-3"], "-o config.optimizer.lr sets one learning rate"),
        ([*SWEEP, "-o", "args.expdir=x"], "would put all heads of the sweep into one folder. Use -p."),
        ([*SWEEP, "-e", "somewhere"], "-e continues one run, --sweep_lr trains several"),
        ([*SWEEP, "--push_to_hf_hub"], "--push_to_hf_hub shares one run"),
    ],
)
def test_options_that_a_sweep_cannot_have_are_refused(downstream, workdir, capsys, arguments, message):
    assert downstream(*TRAIN, "-n", "x", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(workdir.rglob("*.ckpt"))


def test_an_upstream_that_gathers_statistics_trains_no_head(downstream, capsys):
    assert downstream("-m", "train", "-u", "m2d_calcnorm", "-d", "example", "-n", "x", *SWEEP) == 2
    assert "'m2d_calcnorm' gathers statistics in training" in capsys.readouterr().err


def test_a_sweep_without_a_name_asks_for_one(downstream, capsys):
    assert downstream(*TRAIN, *SWEEP) == 2
    assert "Name the experiment with -n" in capsys.readouterr().err


def test_the_folder_of_a_sweep_is_not_taken_for_a_run_nor_a_run_for_a_sweep(swept, capsys):
    folder = "result/downstream/sweep"
    assert swept("-m", "train", "-e", folder) == 2
    error = capsys.readouterr().err
    assert (
        f"{folder} holds the heads of a sweep. Name one of them: {folder}/lr1e-2, {folder}/lr0.001" in error
    )
    assert swept(*TRAIN, "-a", "-n", "sweep", "-o", options()) == 2
    assert "Add --sweep_lr to go on with them" in capsys.readouterr().err
    assert swept(*TRAIN, "-p", f"{folder}/lr1e-2", "--sweep_lr", "1e-3", "-o", options()) == 2
    assert f"{folder}/lr1e-2 holds a run without --sweep_lr" in capsys.readouterr().err


def test_heads_that_would_differ_in_more_than_the_rate_are_refused(swept, capsys):
    joined = ["-a", "-n", "sweep", "--sweep_lr", "1e-2,0.5"]
    assert swept(*TRAIN, *joined, "-o", tiny()) == 2
    error = capsys.readouterr().err
    assert "may differ in their learning rate only, but config.specaug." in error
    assert swept(*TRAIN, *joined, "-o", f"{options()},,args.seed=5") == 0


def train_sweep(name, **runner):
    return command("-a", *TRAIN, "-n", name, *SWEEP, "-o", options(**runner))


def test_a_sweep_killed_with_sigkill_ends_like_one_that_never_was(workdir):
    often = {"total_steps": 40, "save_step": 2, "eval_step": 10, "log_step": 7}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    whole = subprocess.Popen(train_sweep("whole", **often), **quiet)
    kills = 0
    for kill in range(2):
        start = time.time()
        run = subprocess.Popen(train_sweep("killed", **often), start_new_session=True, **quiet)
        head = Path("result/downstream/killed", f"lr{RATES[kill]}")
        while run.poll() is None and not any(p.stat().st_mtime > start for p in head.glob("states-*.ckpt")):
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
    assert kills, "the run ended before it could be killed"
    subprocess.run(train_sweep("killed", **often), check=True, **quiet)
    assert whole.wait() == 0
    for rate in RATES:
        assert_same_runs(*(f"result/downstream/{name}/lr{rate}" for name in ("killed", "whole")))


def test_two_processes_train_the_heads_of_one(downstream, workdir):
    port = 20000 + os.getpid() % 20000
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        str(port),
    ]
    fields = {"total_steps": 5, "log_step": 1}
    two = command(
        *TRAIN, "-p", "two", "--sweep_lr", "1e-2,1e-3", "-o", tiny(gradient_accumulate_steps=1, **fields)
    )
    result = subprocess.run([*launcher, *two[1:]], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("<- best") == 1
    one = tiny(gradient_accumulate_steps=2, **fields)
    assert downstream(*TRAIN, "-p", "one", "--sweep_lr", "1e-2,1e-3", "-o", one) == 0
    for head in ("lr1e-2", "lr1e-3"):
        lines = [metrics(Path(name, head)) for name in ("two", "one")]
        assert len(lines[0]) == len(lines[1]) > 5
        for ours, theirs in zip(*lines, strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
            assert ours["split"] == theirs["split"] and ours.get("acc") == theirs.get("acc")
        weights = [checkpoints.load(f"{name}/{head}/states-5.ckpt")["Downstream"] for name in ("two", "one")]
        assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])
