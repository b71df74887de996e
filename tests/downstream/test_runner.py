"""The training loop as a user meets it: files, figures, resuming, failures that it survives."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from conftest import command, metrics, same, tiny

from s3prl.downstream.example.expert import DownstreamExpert
from s3prl.training import checkpoint as checkpoints

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]
EXACT = (
    "Downstream",
    "Featurizer",
    "Optimizer",
    "Scheduler",
    "Step",
    "Epoch",
    "Position",
    "Random",
    "Counters",
)


def states(expdir):
    return sorted(path.name for path in Path(expdir).glob("states-*.ckpt"))


def test_a_run_leaves_checkpoints_curves_settings_and_the_command(downstream, workdir):
    assert downstream(*TRAIN, "-n", "first", "-o", tiny(max_keep=2)) == 0
    expdir = workdir / "result" / "downstream" / "first"
    assert states(expdir) == ["states-6.ckpt", "states-8.ckpt"]
    assert list(expdir.glob("events.out.tfevents.*"))
    assert "total_steps: 8" in next(expdir.glob("config_*.yaml")).read_text()
    lines = metrics(expdir)
    assert [(line["step"], line["split"]) for line in lines] == [
        (3, "train"), (4, "dev"), (6, "train"), (8, "train"), (8, "dev"),
    ]  # fmt: skip
    assert all(line["loss"] > 0 for line in lines)


def test_checkpoints_hold_plain_values_and_load_safely(downstream, workdir):
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2))
    state = torch.load(workdir / "run" / "states-2.ckpt", weights_only=True)
    assert state["Step"] == 2
    assert state["Args"]["upstream"] == "example"
    assert state["Config"]["runner"]["total_steps"] == 2


def test_resume_after_a_crash_gives_the_same_weights_and_metrics(downstream, workdir, monkeypatch):
    options = tiny(total_steps=11, gradient_accumulate_steps=2)
    assert downstream(*TRAIN, "-a", "-p", "whole", "-o", options) == 0

    forward, calls = DownstreamExpert.forward, []

    def crash(self, split, *args, **kwargs):
        calls.append(split)
        if calls.count("train") == 15:  # in the eighth update: after the save of step 6, before any other
            raise RuntimeError("lightning")
        return forward(self, split, *args, **kwargs)

    monkeypatch.setattr(DownstreamExpert, "forward", crash)
    with pytest.raises(RuntimeError, match="lightning"):
        downstream(*TRAIN, "-a", "-p", "broken", "-o", options)
    monkeypatch.setattr(DownstreamExpert, "forward", forward)
    assert states("broken")[-1] == "states-6.ckpt"
    torch.manual_seed(99)  # whatever happened in between must not matter
    assert downstream(*TRAIN, "-a", "-p", "broken", "-o", options) == 0

    whole, resumed = (checkpoints.load(f"{name}/states-11.ckpt") for name in ("whole", "broken"))
    for key in EXACT:
        assert same(whole[key], resumed[key]), key
    assert metrics(Path("whole")) == metrics(Path("broken"))
    best = [checkpoints.load(f"{name}/dev-best.ckpt") for name in ("whole", "broken")]
    assert same(best[0]["Downstream"], best[1]["Downstream"])


def test_auto_resume_of_a_finished_run_does_nothing(downstream, capsys):
    options = ("-a", "-p", "run", "-o", tiny(total_steps=2))
    assert downstream(*TRAIN, *options) == 0
    before = checkpoints.load("run/states-2.ckpt")
    assert downstream(*TRAIN, *options) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert same(before, checkpoints.load("run/states-2.ckpt"))


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(downstream, capsys):
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=4))
    damaged = Path("run/states-4.ckpt")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= (
        0xFF  # one flipped byte: the length is right, PyTorch alone would not notice
    )
    damaged.write_bytes(content)
    assert downstream("-m", "train", "-e", "run", "-o", "config.runner.total_steps=6") == 0
    out = capsys.readouterr().out
    assert "states-4.ckpt is damaged" in out
    assert "From run/states-2.ckpt" in out
    assert states("run")[-1] == "states-6.ckpt"
    assert list(Path("run").glob("previous_*/states-4.ckpt"))


def test_a_new_start_in_an_old_folder_overwrites_nothing(downstream):
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2))
    old = Path("run/states-2.ckpt").read_bytes()
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2), "--seed", 5)
    assert next(Path("run").glob("previous_*/states-2.ckpt")).read_bytes() == old
    assert checkpoints.load("run/states-2.ckpt")["Args"]["seed"] == 5


def test_evaluate_twice_gives_the_figures_of_training_time_from_any_folder(downstream, workdir, monkeypatch):
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=4))
    at_training = metrics(workdir / "run")[-1]
    elsewhere = workdir / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for _ in range(2):
        assert downstream("-m", "evaluate", "-t", "dev", "-e", workdir / "run" / "states-4.ckpt") == 0
        result = json.loads((workdir / "run" / "result.json").read_text())
        assert result["split"] == "dev"
        assert result["step"] == 4
        assert result["metrics"] == {key: at_training[key] for key in ("loss", "acc")}
    assert not list(elsewhere.iterdir())


def test_evaluation_leaves_training_untouched(downstream):
    downstream(*TRAIN, "-p", "often", "-o", tiny(eval_step=1))
    downstream(*TRAIN, "-p", "rarely", "-o", tiny(eval_step=8))
    often, rarely = (checkpoints.load(f"{name}/states-8.ckpt") for name in ("often", "rarely"))
    assert same(often["Optimizer"], rarely["Optimizer"])
    assert same(often["Random"], rarely["Random"])


def test_initial_weights_alone_start_a_new_run(downstream):
    downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2))
    assert downstream(*TRAIN, "-p", "tuned", "-i", "run", "-o", tiny(total_steps=1, save_step=1)) == 0
    tuned, run = checkpoints.load("tuned/states-1.ckpt"), checkpoints.load("run/states-2.ckpt")
    assert tuned["Step"] == 1
    weight = "model.projector.weight" if "model.projector.weight" in run["Downstream"] else None
    weight = weight or next(name for name in run["Downstream"] if name.endswith("weight"))
    assert (tuned["Downstream"][weight] - run["Downstream"][weight]).abs().max() < 1e-3


def test_a_run_on_the_frozen_upstream_of_a_fine_tuned_one_keeps_its_weights(downstream):
    assert downstream(*TRAIN, "-f", "-p", "tuned", "-o", tiny(total_steps=2, save_step=2)) == 0
    for name, steps in (("whole", 2), ("resumed", 1)):
        assert downstream(*TRAIN, "-p", name, "-i", "tuned", "-o", tiny(total_steps=steps, save_step=1)) == 0
    assert downstream("-m", "train", "-e", "resumed", "-o", "config.runner.total_steps=2") == 0
    tuned, whole, resumed = (
        checkpoints.load(f"{name}/states-2.ckpt") for name in ("tuned", "whole", "resumed")
    )
    assert same(whole["Upstream"], tuned["Upstream"]) and same(resumed["Upstream"], tuned["Upstream"])
    assert same(whole["Downstream"], resumed["Downstream"])


def test_gradients_that_are_not_finite_are_skipped_and_counted(downstream, monkeypatch, capsys):
    forward, calls = DownstreamExpert.forward, []

    def poison(self, split, *args, **kwargs):
        loss = forward(self, split, *args, **kwargs)
        calls.append(split)
        return loss * float("nan") if calls.count("train") == 2 else loss

    monkeypatch.setattr(DownstreamExpert, "forward", poison)
    assert downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=4, gradient_accumulate_steps=1)) == 0
    state = checkpoints.load("run/states-4.ckpt")
    assert state["Counters"]["nan_gradients"] == 1
    assert all(torch.isfinite(weight).all() for weight in state["Downstream"].values())
    assert "at step 2: update skipped" in capsys.readouterr().out


def out_of_memory(when):
    forward, calls = DownstreamExpert.forward, []

    def fail(self, split, *args, **kwargs):
        calls.append(split)
        loss = forward(self, split, *args, **kwargs)
        if when(calls.count("train")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss

    return fail


def test_a_batch_out_of_memory_is_skipped_and_counted(downstream, monkeypatch, capsys):
    monkeypatch.setattr(DownstreamExpert, "forward", out_of_memory(lambda call: call == 3))
    assert downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=4)) == 0
    assert checkpoints.load("run/states-4.ckpt")["Counters"]["out_of_memory"] == 1
    assert "batch skipped, 1 so far" in capsys.readouterr().out


def test_when_every_batch_is_out_of_memory_the_run_ends_with_advice(downstream, monkeypatch, capsys):
    monkeypatch.setattr(DownstreamExpert, "forward", out_of_memory(lambda call: True))
    assert downstream(*TRAIN, "-p", "run", "-o", tiny()) == 2
    assert "all ran out of memory" in capsys.readouterr().err


def test_fine_tuning_trains_and_saves_the_upstream(downstream):
    assert downstream(*TRAIN, "-f", "-p", "run", "-o", tiny(total_steps=2, save_step=1)) == 0
    first, second = (checkpoints.load(f"run/states-{step}.ckpt")["Upstream"] for step in (1, 2))
    assert not same(first, second)


@pytest.mark.parametrize(
    "selection", [["-l", "-1"], ["-s", "last_hidden_state"], ["--upstream_feature_normalize"]]
)
def test_layer_options_reach_the_featurizer(downstream, selection):
    assert downstream(*TRAIN, "-p", "run", *selection, "-o", tiny(total_steps=2)) == 0
    featurizer = checkpoints.load("run/states-2.ckpt")["Featurizer"]
    assert ("weights" in featurizer) == (selection == ["--upstream_feature_normalize"])


def test_a_polite_request_to_stop_saves_first_and_loses_nothing(workdir, downstream):
    options = tiny(total_steps=300, save_step=300, eval_step=300, log_step=7)
    options += ",,config.downstream_expert.datarc.num_workers=1"
    run = subprocess.Popen(command(*TRAIN, "-a", "-p", "run", "-o", options), start_new_session=True)
    journal = Path("run/metrics.jsonl")
    while not journal.exists():
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGTERM)  # as a cluster does: to the loading workers too
    assert run.wait(timeout=60) == 143
    [saved] = states("run")
    assert downstream(*TRAIN, "-a", "-p", "run", "-o", options) == 0
    assert downstream(*TRAIN, "-a", "-p", "whole", "-o", options) == 0
    assert saved != "states-300.ckpt"
    resumed, whole = (checkpoints.load(f"{name}/states-300.ckpt") for name in ("run", "whole"))
    assert same(resumed["Optimizer"], whole["Optimizer"])
    assert metrics(Path("run")) == metrics(Path("whole"))
