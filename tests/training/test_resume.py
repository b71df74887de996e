"""Resuming with another config: its hyperparameters and schedule win, the moments stay, or it is refused."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from conftest import same

from s3prl.training.checkpoint import plain
from s3prl.training.head import Head
from s3prl.training.settings import RunnerSettings
from s3prl.utility.errors import UserError

ADAM = {"name": "AdamW", "lr": 0.1}
BERT = {"name": "BertAdam_with_schedule", "lr": 0.1, "warmup_proportion": 0.4}
SGD = {"name": "TorchOptim", "torch_optim_name": "SGD", "lr": 0.1}
LINEAR = {"name": "linear_schedule_with_warmup", "num_warmup_steps": 2}
COSINE = {"name": "cosine_schedule_with_warmup", "num_warmup_steps": 4}
BEFORE = 3  # updates before the config changes


def new_head(optimizer, scheduler=None, total=10, extra=False, **runner):
    """A head that trains a line by the blocks of a config."""
    torch.manual_seed(0)
    trained = {"Line": torch.nn.Linear(2, 1)} | ({"More": torch.nn.Linear(1, 1)} if extra else {})
    config = {"optimizer": optimizer, "scheduler": scheduler, "runner": {"total_steps": total, **runner}}
    return Head(
        SimpleNamespace(
            settings=RunnerSettings(total_steps=total, **runner),
            optimizer=optimizer,
            scheduler=scheduler,
            device=torch.device("cpu"),
            trained=trained,
            settings_to_save=lambda: {"Config": plain(config)},
        )
    )


def update(head, updates):
    for number in range(updates):
        for parameter in head.parameters:
            parameter.grad = torch.full_like(parameter, 1.0 + number)
        head.apply(torch.tensor(1.0), dropped=0.0)


def checkpoint_of(head):
    return deepcopy({**plain(head.state()), **head.job.settings_to_save()})


def settings_of(head):
    groups = head.optimizer.state_dict()["param_groups"]
    return [{name: value for name, value in group.items() if name != "initial_lr"} for group in groups]


def resumed(state, *config, **settings):
    head = new_head(*config, **settings)
    head.job.trained["Line"].load_state_dict(state["Line"])
    head.restore(state, None, "run/states-3.ckpt")
    return head


@pytest.mark.parametrize("scheduler", [None, LINEAR])
@pytest.mark.parametrize("optimizer", [ADAM, BERT, {**BERT, "name": "AdamW_with_schedule"}, SGD])
def test_an_unchanged_config_restores_everything_to_the_bit(optimizer, scheduler):
    head = new_head(optimizer, scheduler)
    update(head, BEFORE)
    again = resumed(checkpoint_of(head), dict(optimizer), scheduler)
    assert same(checkpoint_of(again), checkpoint_of(head))
    update(head, 2)
    update(again, 2)
    assert same(checkpoint_of(again), checkpoint_of(head))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((ADAM, None), ({**ADAM, "lr": 0.02}, None)),
        ((ADAM, LINEAR), ({**ADAM, "lr": 0.02}, LINEAR)),
        ((ADAM, LINEAR), (ADAM, COSINE)),
        ((ADAM, LINEAR), (ADAM, {**LINEAR, "num_warmup_steps": 6})),
        ((ADAM, LINEAR), (ADAM, None)),
        ((ADAM, None), (ADAM, COSINE)),
        ((ADAM, LINEAR, 10), (ADAM, LINEAR, 40)),
        ((ADAM, None), ({**ADAM, "betas": [0.5, 0.6], "weight_decay": 0.3, "eps": 1e-3}, None)),
        ((BERT, None), ({**BERT, "lr": 0.02, "weight_decay": 0.3}, None)),
        ((BERT, None), ({**BERT, "warmup_proportion": 0.8}, None)),
        ((BERT, None, 10), (BERT, None, 40)),
        (({**BERT, "name": "Lamb_with_schedule"}, LINEAR), ({**BERT, "name": "Lamb_with_schedule"}, COSINE)),
        ((SGD, LINEAR), ({**SGD, "lr": 0.02, "weight_decay": 0.1}, LINEAR)),
    ],
)
def test_a_changed_config_continues_as_if_it_had_always_been_so_but_for_the_moments(before, now):
    head, always = new_head(*before), new_head(*now)
    update(head, BEFORE)
    update(always, BEFORE)
    changed = resumed(checkpoint_of(head), *now)
    assert changed.learning_rate() == always.learning_rate()
    assert same(plain(changed.optimizer.state_dict()["state"]), plain(head.optimizer.state_dict()["state"]))
    for _ in range(3):
        update(changed, 1)
        update(always, 1)
        assert changed.learning_rate() == always.learning_rate()
        assert settings_of(changed) == settings_of(always)


def test_a_change_that_was_saved_is_restored_to_the_bit():
    head = new_head(ADAM, LINEAR)
    update(head, BEFORE)
    changed = resumed(checkpoint_of(head), {**ADAM, "lr": 0.02}, COSINE)
    again = resumed(checkpoint_of(changed), {**ADAM, "lr": 0.02}, COSINE)
    update(changed, 2)
    update(again, 2)
    assert same(checkpoint_of(again), checkpoint_of(changed))


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (
            ADAM,
            {**ADAM, "name": "Adam"},
            "config.optimizer.name: the run was trained with 'AdamW', and 'Adam'",
        ),
        (SGD, {**SGD, "torch_optim_name": "Adagrad"}, "config.optimizer.torch_optim_name: .*'SGD', and 'Ada"),
        (ADAM, {**ADAM, "amsgrad": True}, "with amsgrad=True an update needs 'max_exp_avg_sq'"),
        (
            {**SGD, "torch_optim_name": "Rprop"},
            {**SGD, "torch_optim_name": "Rprop", "lr": 1},
            "optimizer.lr: Rp",
        ),
    ],
)
def test_moments_that_do_not_fit_are_refused_with_the_way_out(before, now, message):
    head = new_head(before)
    update(head, BEFORE)
    with pytest.raises(UserError, match=rf"{message}.*-i run/states-3.ckpt with another -n"):
        resumed(checkpoint_of(head), now)


def test_other_parameters_than_the_runs_are_refused():
    head = new_head(ADAM)
    update(head, BEFORE)
    with pytest.raises(UserError, match=r"'Optimizer' is about 2 parameters .* but 4 in 1 are trained now"):
        resumed(checkpoint_of(head), ADAM, extra=True)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("Optimizer", {"state": {}}),
        ("Optimizer", {"state": "x", "param_groups": [3]}),
        ("Scheduler", {"last_epoch": 3}),
        ("Counters", {"nan_gradients": "many"}),
        ("GradientNorms", ["large"]),
    ],
)
def test_a_state_of_something_else_is_named(entry, value):
    head = new_head(ADAM, LINEAR)
    update(head, BEFORE)
    with pytest.raises(UserError, match=f"run/states-3.ckpt: its '{entry}' cannot be used"):
        resumed({**checkpoint_of(head), entry: value}, ADAM, LINEAR)
