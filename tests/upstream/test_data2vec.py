"""data2vec: published values; the parts of pre-training that files keep are not needed."""

import golden
import pytest
import torch
from torch.nn import functional as F

from s3prl import hub


@pytest.mark.parametrize("file", golden.load("data2vec").files)
def test_hidden_states_equal_the_published_values(file):
    data = golden.load("data2vec")
    golden.check(hub.data2vec_local(ckpt=str(data.folder / file)), data)


@pytest.mark.parametrize("head", ["final_proj.weight", "final_proj.0.weight"])
def test_teacher_and_head_of_pre_training_are_passed_over(head, tmp_path):
    data = golden.load("data2vec")
    state = torch.load(data.folder / "ckpt.pt", weights_only=True)
    state["model_weight"]["_ema"] = {"layers.0.fc1.weight": torch.zeros(2, 2)}
    state["model_weight"][head] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "ckpt.pt")
    golden.check(hub.data2vec_local(ckpt=str(tmp_path / "ckpt.pt")), data)


def by_hand(weights, settings, wav):
    """fairseq's network with `layer_norm_first`, operation by operation: the states of one utterance."""

    def linear(hidden, name):
        return F.linear(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(hidden, name):
        return F.layer_norm(hidden, hidden.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    hidden = F.layer_norm(wav, wav.shape)[None]  # [channels, samples]
    for index, stride in enumerate([5, 2, 2, 2, 2, 2, 2]):
        layer = f"feature_extractor.conv_layers.{index}"
        hidden = F.conv1d(hidden, weights[f"{layer}.0.weight"], stride=stride)
        hidden = F.gelu(norm(hidden.T, f"{layer}.2.1").T)
    hidden = linear(norm(hidden.T, "layer_norm"), "post_extract_proj")  # [frames, dim]
    positions = hidden.T
    for index in range(settings["pos_conv_depth"]):
        weight, bias = (weights[f"encoder.pos_conv.{index}.0.{kind}"] for kind in ("weight", "bias"))
        width = weight.size(-1) // 2
        positions = F.conv1d(positions, weight, bias, padding=width, groups=settings["conv_pos_groups"])
        positions = positions[:, : len(hidden)]
        positions = F.gelu(F.layer_norm(positions.T, positions.shape[:1])).T
    hidden, states = hidden + positions.T, []
    for index in range(settings["encoder_layers"]):
        states.append(hidden)
        layer = f"encoder.layers.{index}"
        normed = norm(hidden, f"{layer}.self_attn_layer_norm")
        heads = [
            linear(normed, f"{layer}.self_attn.{part}_proj")
            .unflatten(-1, (settings["encoder_attention_heads"], -1))
            .transpose(0, 1)
            for part in "qkv"
        ]
        scores = heads[0] @ heads[1].mT / heads[0].size(-1) ** 0.5
        attended = (scores.softmax(-1) @ heads[2]).transpose(0, 1).flatten(1)
        hidden = hidden + linear(attended, f"{layer}.self_attn.out_proj")
        inner = F.gelu(linear(norm(hidden, f"{layer}.final_layer_norm"), f"{layer}.fc1"))
        hidden = hidden + linear(inner, f"{layer}.fc2")
    return [*states, norm(hidden, "encoder.layer_norm")]


@pytest.mark.parametrize("file", golden.load("data2vec").files)
def test_norms_before_the_sublayers_are_computed_as_the_file_asks(file, tmp_path):
    data = golden.load("data2vec")
    state = torch.load(data.folder / file, weights_only=True)
    settings = state.get("model_cfg") or state["cfg"]["model"]
    settings["layer_norm_first"] = True
    torch.save(state, tmp_path / "ckpt.pt")
    expert = hub.data2vec_local(ckpt=str(tmp_path / "ckpt.pt"), alone=True)
    weights = state.get("model_weight") or state["model"]
    with torch.no_grad():
        ours = expert(data.wavs)["hidden_states"]
        for row, wav in enumerate(data.wavs):
            for one, other in zip(ours, by_hand(weights, settings, wav), strict=True):
                torch.testing.assert_close(one[row, : len(other)], other, rtol=0, atol=1e-4)
    assert (ours[-1] - data.expected["hidden_states"][-1]).abs().max() > 0.1, "the norms change nothing"
