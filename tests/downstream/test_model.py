"""The heads that tasks share, also by the names under which public third-party tasks import them."""

import pytest
import torch

from s3prl.downstream import model as heads
from s3prl.utility.errors import UserError


def test_star_import_gives_third_party_tasks_what_they_use():
    namespace = {}
    exec("from s3prl.downstream.model import *", namespace)
    expected = {"FrameLevel", "UtteranceLevel", "MeanPooling", "AttentivePooling", "get_downstream_model"}
    assert expected | {"torch", "nn"} <= set(namespace)


def test_frame_level_uses_its_hidden_layers():
    head = heads.FrameLevel(4, 3, hiddens=[8, 5])
    scores, lengths = head(torch.randn(2, 6, 4), torch.tensor([6, 3]))
    assert scores.shape == (2, 6, 3)
    assert lengths.tolist() == [6, 3]
    assert head.linear.in_features == 5


@pytest.mark.parametrize("pooling", ["MeanPooling", "AttentivePooling"])
@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
def test_pooling_ignores_padding_whatever_it_holds(pooling, padding):
    torch.manual_seed(0)
    head = heads.UtteranceLevel(4, 3, pooling=pooling)
    short, long = torch.randn(3, 4), torch.randn(7, 4)
    batch = torch.full((2, 7, 4), padding)
    batch[0, :3], batch[1] = short, long
    together, lengths = head(batch, torch.tensor([3, 7]))
    assert lengths.tolist() == [1, 1]
    for wav, row in zip((short, long), together, strict=True):
        alone, _ = head(wav[None], torch.tensor([len(wav)]))
        torch.testing.assert_close(row, alone[0])


def test_mean_pooling_is_the_mean_over_true_lengths():
    pooled, _ = heads.MeanPooling()(torch.tensor([[[1.0], [3.0], [50.0]]]), [2])
    assert pooled.tolist() == [[2.0]]


def test_attentive_pooling_keeps_the_parameter_names_of_public_checkpoints():
    names = set(heads.AttentivePooling(4).state_dict())
    assert names == {f"sap_layer.{layer}.{kind}" for layer in ("W_a", "W") for kind in ("weight", "bias")}


def test_utterance_level_takes_a_net_before_pooling():
    options = {"select": "FrameLevel", "FrameLevel": {"hiddens": [6]}}
    head = heads.UtteranceLevel(4, 3, pre_net=options, post_net=options)
    scores, _ = head(torch.randn(2, 5, 4), torch.tensor([5, 2]))
    assert scores.shape == (2, 3)


def test_a_misspelt_head_or_option_is_named_with_the_nearest():
    with pytest.raises(UserError, match="FrameLevel"):
        heads.get_downstream_model(4, 3, {"select": "FrameLevl"})
    with pytest.raises(UserError, match="hiddens"):
        heads.get_downstream_model(4, 3, {"select": "FrameLevel", "FrameLevel": {"hidden": [4]}})
    with pytest.raises(UserError, match="MeanPooling"):
        heads.UtteranceLevel(4, 3, pooling="MeanPoling")
