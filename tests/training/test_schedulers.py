"""Learning-rate schedules: the curves of the 2021 toolkit, exact resume, and errors that name the field."""

import io
import json
from pathlib import Path

import pytest
import torch

from s3prl.training.schedulers import DECAYS, get_scheduler
from s3prl.utility.errors import UserError

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "schedules" / "schedulers.json").read_text())


def optimizer(lr=2e-4):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(scheduler, updates):
    seen = []
    for _ in range(updates):
        seen.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_the_golden_file_covers_every_schedule():
    assert set(GOLDEN["curves"]) == set(DECAYS)


@pytest.mark.parametrize("name", DECAYS)
def test_every_schedule_follows_the_curve_of_the_2021_toolkit(name):
    curve = GOLDEN["curves"][name]
    scheduler = get_scheduler(
        optimizer(GOLDEN["base_lr"]), GOLDEN["total_steps"], {"name": name, **curve["options"]}
    )
    seen = rates(scheduler, GOLDEN["steps"][-1] + 1)
    assert [seen[step] for step in GOLDEN["steps"]] == pytest.approx(curve["lr"], rel=1e-9, abs=1e-20)


@pytest.mark.parametrize("name", DECAYS)
def test_a_resumed_schedule_goes_on_as_if_never_stopped(name):
    config = {"name": name, "num_warmup_steps": 10}
    unbroken = rates(get_scheduler(optimizer(), 60, config), 60)
    first_optimizer = optimizer()
    first = get_scheduler(first_optimizer, 60, config)
    rates(first, 25)
    file = io.BytesIO()
    torch.save({"Scheduler": first.state_dict(), "Optimizer": first_optimizer.state_dict()}, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    second_optimizer = optimizer()
    second = get_scheduler(second_optimizer, 60, config)
    second_optimizer.load_state_dict(states["Optimizer"])
    second.load_state_dict(states["Scheduler"])
    assert rates(second, 35) == unbroken[25:]


@pytest.mark.parametrize("name", DECAYS)
def test_every_schedule_works_without_warm_up_and_past_its_end(name):
    seen = rates(get_scheduler(optimizer(), 5, {"name": name, "num_warmup_steps": 0}), 12)
    assert all(0 <= lr <= 2e-4 for lr in seen) and seen[1] > 0


def test_extra_fields_change_the_curve():
    config = {
        "name": "polynomial_decay_schedule_with_warmup",
        "num_warmup_steps": 0,
        "lr_end": 1e-4,
        "power": 2.0,
    }
    seen = rates(get_scheduler(optimizer(), 10, config), 12)
    assert seen[5] == pytest.approx(1e-4 + 1e-4 * 0.25)
    assert seen[10] == seen[11] == pytest.approx(1e-4)


def test_text_numbers_of_yaml_count_as_numbers():
    config = {"name": "polynomial_decay_schedule_with_warmup", "num_warmup_steps": "0", "lr_end": "1e-5"}
    assert rates(get_scheduler(optimizer(), 10, config), 11)[10] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "linear_schedule_with_warmpu"}, "Did you mean 'linear_schedule_with_warmup'"),
        ({}, "there is no schedule 'None'"),
        ({"name": "linear_schedule_with_warmup", "num_warmup_step": 3}, "Did you mean 'num_warmup_steps'"),
        ({"name": "linear_schedule_with_warmup", "num_warmup_steps": 3, "power": 2}, "has no field 'power'"),
        ({"name": "linear_schedule_with_warmup"}, "needs the field 'num_warmup_steps'"),
        (
            {"name": "linear_schedule_with_warmup", "num_warmup_steps": "few"},
            "num_warmup_steps must be a whole number, not 'few'",
        ),
        (
            {"name": "polynomial_decay_schedule_with_warmup", "num_warmup_steps": 0, "lr_end": 1.0},
            "lr_end 1.0, which is not lower",
        ),
    ],
)
def test_a_wrong_config_is_reported_with_the_field(config, message):
    with pytest.raises(UserError, match=message):
        get_scheduler(optimizer(), 10, config)
