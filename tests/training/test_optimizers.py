"""Optimizers: the numbers of the 2021 toolkit, exact resume, and errors that name the field."""

import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from s3prl.training.optimizers import BUILDERS, get_optimizer
from s3prl.training.schedulers import get_scheduler
from s3prl.utility.errors import UserError

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "schedules" / "optimizers.json").read_text())
SCHEDULED = ("BertAdam_with_schedule", "AdamW_with_schedule", "Lamb_with_schedule")


class Net(nn.Module):
    """The two layers of the golden file, at its starting point."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 5)
        self.LayerNorm = nn.LayerNorm(5)
        with torch.no_grad():
            for name, param in self.named_parameters():
                param.copy_(torch.tensor(GOLDEN["start"][name]).view_as(param))

    def forward(self, inputs):
        return self.LayerNorm(self.dense(inputs))


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def train(net, optimizer, first=0, last=20, after=None):
    """Updates `first` to `last` of the golden run; `after(number of updates)` is called behind each."""
    device = net.dense.weight.device
    inputs, target = (
        torch.tensor(GOLDEN["inputs"], device=device).view(20, 4, 3),
        torch.linspace(-1, 2, 5).to(device),
    )
    for index in range(first, last):
        optimizer.zero_grad()
        ((net(inputs[index]) - target) ** 2).sum().backward()
        optimizer.step()
        if after:
            after(index + 1)


def state_of(net):
    return torch.cat([param.detach().flatten() for param in net.parameters()])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BUILDERS)
def test_every_optimizer_gives_the_parameters_of_the_2021_toolkit(name, device):
    golden = GOLDEN["optimizers"][name]
    net = Net().to(device)
    worst = []

    def compare(updates):
        for key, values in golden["after"].get(str(updates), {}).items():
            expected = torch.tensor(values)
            worst.append((net.get_parameter(key).detach().cpu().flatten() - expected).abs().max().item())

    train(net, get_optimizer([net], GOLDEN["total_steps"], golden["config"]), after=compare)
    assert len(worst) == 4 * len(golden["after"])
    assert max(worst) < 1e-6  # the fixture's own tolerance is 1e-5


@pytest.mark.parametrize("name", BUILDERS)
def test_a_resumed_optimizer_goes_on_bit_for_bit(name):
    config = GOLDEN["optimizers"][name]["config"]
    unbroken = Net()
    train(unbroken, get_optimizer([unbroken], 20, config))
    first = Net()
    optimizer = get_optimizer([first], 20, config)
    train(first, optimizer, last=9)
    file = io.BytesIO()
    torch.save({"Optimizer": optimizer.state_dict(), "Downstream": first.state_dict()}, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    second = Net()
    optimizer = get_optimizer([second], 20, config)
    second.load_state_dict(states["Downstream"])
    optimizer.load_state_dict(states["Optimizer"])
    train(second, optimizer, first=9)
    assert torch.equal(state_of(second), state_of(unbroken))


@pytest.mark.parametrize("name", SCHEDULED)
def test_the_scheduled_rate_is_told_and_the_base_rate_stays(name):
    net = Net()
    optimizer = get_optimizer([net], 20, {"name": name, "lr": 1e-3, "warmup_proportion": 0.5})
    assert set(optimizer.get_lr()) == {0.0}
    seen = []
    train(net, optimizer, after=lambda _: seen.append(optimizer.get_lr()[0]))
    counted = range(20) if name.startswith("Bert") else range(1, 21)
    assert seen == pytest.approx([1e-3 * min(n, 20 - n) / 10 for n in counted], abs=1e-12)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}


@pytest.mark.parametrize("name", SCHEDULED)
def test_biases_and_layernorm_weights_are_spared_from_weight_decay(name):
    """With no gradient signal at all, only the decay moves a parameter."""
    net = Net()
    start = {key: value.detach().clone() for key, value in net.named_parameters()}
    optimizer = get_optimizer([net], 10, {"name": name, "lr": 0.1, "weight_decay": 0.1})
    for _ in range(3):
        for param in net.parameters():
            param.grad = torch.zeros_like(param)
        optimizer.step()
    moved = {key for key, value in net.named_parameters() if not torch.equal(value, start[key])}
    assert moved == {"dense.weight"}


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_scheduled_optimizer_stands_still_at_its_end(name):
    net = Net()
    optimizer = get_optimizer([net], 10, {"name": name, "lr": 0.1})
    train(net, optimizer, last=11)
    before = state_of(net)
    train(net, optimizer, first=11)
    assert torch.equal(state_of(net), before)


def test_fields_beyond_the_2021_ones_are_forwarded():
    optimizer = get_optimizer(
        [Net()],
        20,
        {
            "name": "AdamW_with_schedule",
            "lr": "1e-3",
            "betas": [0.9, "0.98"],
            "eps": 1e-6,
            "weight_decay": 1e-6,
        },
    )
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (
        1e-3,
        (0.9, 0.98),
        1e-6,
        1e-6,
    )
    assert get_optimizer([Net()], 20, {"name": "AdamW"}).param_groups[0]["eps"] == 1e-7


def test_only_parameters_that_require_gradients_are_updated_each_once():
    trained, frozen = Net(), Net()
    frozen.requires_grad_(False)
    trained.dense.bias.requires_grad_(False)
    optimizer = get_optimizer([frozen, trained, trained], 20, {"name": "AdamW_with_schedule"})
    params = [param for group in optimizer.param_groups for param in group["params"]]
    assert {id(p) for p in params} == {id(p) for p in trained.parameters() if p.requires_grad}
    assert len(params) == 3
    with pytest.raises(UserError, match="nothing to train"):
        get_optimizer([frozen], 20, {"name": "Adam"})


@pytest.mark.parametrize("name", BUILDERS)
def test_a_scheduler_drives_every_optimizer(name):
    net = Net()
    start = state_of(net)
    optimizer = get_optimizer([net], 20, GOLDEN["optimizers"][name]["config"])
    config = {"name": "linear_schedule_with_warmup", "num_warmup_steps": 10}
    scheduler = get_scheduler(optimizer, 20, config)
    train(net, optimizer, last=1)
    assert torch.equal(state_of(net), start)  # its rate is 0 in step 0
    scheduler.step()
    train(net, optimizer, first=1, last=3)
    assert not torch.equal(state_of(net), start)


def test_a_public_checkpoint_with_the_step_in_every_parameter_resumes_at_that_step():
    net = Net()
    optimizer = get_optimizer([net], 20, {"name": "AdamW_with_schedule", "warmup_proportion": 0.5})
    train(net, optimizer, last=5)
    states = optimizer.state_dict()
    for group in states["param_groups"]:
        del group["updates"], group["fused"], group["maximize"]
    for state in states["state"].values():
        state["step"] = int(state["step"])
    resumed = get_optimizer([net], 20, {"name": "AdamW_with_schedule", "warmup_proportion": 0.5})
    resumed.load_state_dict(states)
    assert resumed.get_lr() == optimizer.get_lr()
    train(net, resumed, first=5)


@pytest.mark.parametrize("name", ["TorchOptim", "Adam"])
def test_a_run_that_began_with_another_implementation_goes_on_with_the_fused_one(name):
    config = {"name": name, "lr": 0.01}
    plain = {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 0.01, "fused": False}
    if name == "TorchOptim":
        config["torch_optim_name"] = "Adam"
    unbroken, parts = Net(), Net()
    optimizer = get_optimizer([unbroken], 20, config)
    assert optimizer.param_groups[0]["fused"] is True
    train(unbroken, optimizer)
    before = get_optimizer([parts], 20, plain)
    assert before.param_groups[0]["fused"] is False
    train(parts, before, last=9)
    resumed = get_optimizer([parts], 20, config)
    resumed.load_state_dict(before.state_dict())
    assert resumed.param_groups[0]["fused"] is True
    train(parts, resumed, first=9)
    torch.testing.assert_close(state_of(parts), state_of(unbroken), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("field", ["fused", "foreach", "capturable", "differentiable"])
def test_a_config_may_choose_the_implementation_itself(field):
    config = {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 0.01, field: True}
    optimizer = get_optimizer([Net()], 20, config)
    assert optimizer.param_groups[0][field] is True


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "AdmaW"}, "there is no optimizer 'AdmaW'. Did you mean 'AdamW'"),
        ({}, "there is no optimizer 'None'"),
        ({"name": "AdamW", "learning_rate": 1}, r"optimizer has no field 'learning_rate'"),
        ({"name": "Lamb_with_schedule", "warmup_proportoin": 0.1}, "Did you mean 'warmup_proportion'"),
        ({"name": "AdamW", "lr": "fast"}, "optimizer.lr must be a number, not 'fast'"),
        ({"name": "AdamW", "lr": -1.0}, "optimizer.lr must be at least 0, not -1.0"),
        ({"name": "Adam", "betas": [0.9]}, "optimizer.betas takes 2 values, not 1"),
        ({"name": "TorchOptim", "torch_optim_name": "SDG"}, "Did you mean 'SGD'"),
        ({"name": "TorchOptim"}, "there is no '' in torch.optim"),
        (
            {"name": "TorchOptim", "torch_optim_name": "LBFGS"},
            "no 'LBFGS' in torch.optim that trains by batches",
        ),
        ({"name": "TorchOptim", "torch_optim_name": "SGD", "momentun": 0.9}, "Did you mean 'momentum'"),
        (
            {"name": "TorchOptim", "torch_optim_name": "SGD", "lr": -1.0},
            "refused by TorchOptim: Invalid learning",
        ),
        ({"name": "TorchOptim", "torch_optim_name": "SGD", "lr": "fast"}, "refused by TorchOptim"),
        (
            {"name": "BertAdam_with_schedule", "warmup_proportion": 7},
            "warmup_proportion must be from 0 to 1, not 7",
        ),
    ],
)
def test_a_wrong_config_is_reported_with_the_field(config, message):
    with pytest.raises(UserError, match=message):
        get_optimizer([Net()], 20, config)


def test_a_schedule_over_no_steps_is_refused():
    with pytest.raises(UserError, match="total_steps is 0"):
        get_optimizer([Net()], 0, {"name": "AdamW_with_schedule"})
