"""One learner's update: clipping is PyTorch's, and costs nothing where nothing is to be clipped."""

from types import SimpleNamespace

import pytest
import torch

from s3prl.training.head import Head
from s3prl.training.settings import RunnerSettings


def head(clipping):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    settings = RunnerSettings(total_steps=5, gradient_clipping=clipping)
    optimizer = {"name": "TorchOptim", "torch_optim_name": "SGD", "lr": 1.0}
    job = SimpleNamespace(
        settings=settings,
        optimizer=optimizer,
        scheduler=None,
        device=torch.device("cpu"),
        trained={"M": model},
    )
    return Head(job), model


@pytest.mark.parametrize("clipping", [1e-5, 0.5, 3.0, 1e9])
def test_an_update_is_clipped_as_pytorch_clips_it(clipping):
    ours, model = head(clipping)
    _, peer = head(clipping)
    batch = torch.randn(4, 3)
    for one in (model, peer):
        one(batch).square().sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(peer.parameters(), clipping)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter -= parameter.grad
    assert ours.apply(torch.tensor(1.0), dropped=0.0)
    assert ours.gradient_norms == pytest.approx([float(norm)])
    for one, other in zip(model.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(one, other)
        assert one.grad is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_with_gradients_that_are_not_finite_is_skipped_and_counted(value):
    ours, model = head(1.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, value)
    assert ours.apply(torch.tensor(1.0), dropped=0.0)
    assert ours.counters["nan_gradients"] == 1
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), before, strict=True))
