"""Weights that fit are loaded; those that do not are named."""

import pytest
import torch
from torch import nn

from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights


def test_weights_that_fit_are_loaded():
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    load_weights(target, source.state_dict(), "file.pt")
    assert torch.equal(source.weight, target.weight)


def test_what_does_not_fit_is_named_with_its_place_and_the_advice():
    weights = {"weight": torch.zeros(3, 4), "other": torch.zeros(1)}
    with pytest.raises(UserError) as told:
        load_weights(nn.Linear(2, 3), weights, "file.pt (Upstream)", advice="Give the -k of the training.")
    for part in (
        "file.pt (Upstream) do not fit the Linear",
        "lacks bias",
        "unknown other",
        "weight [3, 4] instead of [3, 2]",
    ):
        assert part in str(told.value)
    assert str(told.value).endswith("Give the -k of the training.")


def test_unknown_weights_may_be_passed_over():
    source = nn.Linear(2, 3).state_dict() | {"head.weight": torch.zeros(1)}
    load_weights(nn.Linear(2, 3), source, "file.pt", ignore_unknown=True)
    with pytest.raises(UserError, match=r"head\.weight"):
        load_weights(nn.Linear(2, 3), source, "file.pt")


def test_a_model_without_memory_takes_over_the_tensors():
    source = nn.Linear(2, 3)
    with torch.device("meta"):
        target = nn.Linear(2, 3)
    load_weights(target, source.state_dict(), "file.pt", assign=True)
    assert torch.equal(target.weight, source.weight)


def test_state_that_is_no_tensor_is_taken_too():
    class Counts(nn.Linear):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    source = Counts(2, 3)
    source.count = 7
    target = Counts(2, 3)
    load_weights(target, source.state_dict(), "file.pt")
    assert target.count == 7
