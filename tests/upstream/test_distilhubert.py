"""DistilHuBERT: published values, every output, settings and files that do not fit."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.training.checkpoint import load
from s3prl.upstream.distiller.config import DistillerConfig
from s3prl.upstream.distiller.model import DistillerModel
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility.errors import UserError

DATA = golden.load("distilhubert")
CKPT = str(DATA.folder / DATA.files[0])
SMALL = {
    "extractor_conv_feature_layers": "[(8, 10, 5), (8, 4, 4)]",
    "encoder_embed_dim": 8,
    "encoder_ffn_embed_dim": 12,
    "encoder_attention_heads": 2,
    "conv_pos": 5,
    "conv_pos_groups": 2,
    "final_dim": 8,
}


def changed(tmp_path, change):
    state = load(CKPT)
    change(state)
    torch.save(state, tmp_path / "changed.ckpt")
    return str(tmp_path / "changed.ckpt")


@pytest.mark.parametrize("name", ["distiller_local", "distilhubert", "distilhubert_base"])
def test_hidden_states_equal_the_published_values(name):
    golden.check(hub.get(name)(ckpt=CKPT, model_config=None, refresh=False), DATA)


def test_further_outputs_equal_the_published_values():
    expert, expected = hub.distiller_local(ckpt=CKPT).eval(), DATA.expected
    with torch.no_grad():
        result = expert(DATA.wavs)
    assert torch.equal(result["pad_mask"], expected["output"]["pad_mask"])
    for one, other, frames in zip(
        result["paper"], expected["output"]["paper"], expected["alone_frames"], strict=True
    ):
        torch.testing.assert_close(one[:frames], other[:frames], rtol=0, atol=DATA.tolerance)
    features = Featurizer(expert, "paper")(DATA.wavs, result)
    for one, other in zip(features, expected["featurizer_paper"], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=DATA.tolerance)


def test_alone_gives_an_utterance_the_same_values_in_any_batch():
    expert, plain = hub.distiller_local(ckpt=CKPT, alone=True), hub.distiller_local(ckpt=CKPT)
    assert golden.check_invariance(expert, DATA) <= 1e-5
    assert expert.batch_invariant and not plain.batch_invariant
    with torch.no_grad():
        one, other = (model.eval()(DATA.wavs[2:])["last_hidden_state"] for model in (expert, plain))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_it_is_deterministic_trainable_and_survives_saving():
    golden.check_contract(hub.distiller_local(ckpt=CKPT), DATA.wavs)


def test_without_predictions_the_layers_remain():
    expert = hub.distiller_local(ckpt=CKPT).eval()
    result, full = expert(DATA.wavs, no_pred=True), expert(DATA.wavs)
    assert result["last_hidden_state"] is None
    assert [len(one["hidden_states"]) for one in (result, full)] == [3, 6]
    assert torch.equal(result["hidden_states"][2], full["hidden_states"][2])


@pytest.mark.parametrize("scale", [0.1, 0.0])
def test_the_gradient_of_the_convolutions_is_scaled(scale):
    gradients = []
    for mult in (1.0, scale):
        torch.manual_seed(0)
        model = DistillerModel(DistillerConfig(**SMALL, feature_grad_mult=mult)).eval()
        model(torch.randn(1, 400), [400]).layers[-1][..., 0].sum().backward()
        gradients.append(model.feature_extractor.conv_layers[0][0].weight.grad)
    whole, scaled = gradients
    assert whole.abs().max() > 0
    if scale == 0.0:
        assert scaled is None
    else:
        torch.testing.assert_close(scaled, whole * scale)


def test_layer_drop_keeps_the_number_of_states():
    model = DistillerModel(DistillerConfig(**SMALL, encoder_layerdrop=1.0))
    first, second = model.train()(torch.randn(1, 400), [400]).layers
    assert torch.equal(first, second)
    first, second = model.eval()(torch.randn(1, 400), [400]).layers
    assert not torch.equal(first, second)


def test_an_utterance_without_a_frame_is_named():
    expert = hub.distiller_local(ckpt=CKPT)
    assert expert.num_frames(399) == 0 and expert.num_frames(400) == 1
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 399 samples.*at least 400"):
        expert([DATA.wavs[0], torch.zeros(399)])


def test_a_config_file_replaces_the_settings(tmp_path):
    config = tmp_path / "model.yaml"
    given = load(CKPT)["Config"]["distiller"] | {"dropout": 0.25}
    config.write_text("distiller:\n" + "".join(f"  {name}: {value!r}\n" for name, value in given.items()))
    expert = hub.distiller_local(ckpt=CKPT, model_config=str(config))
    assert expert.model.config.dropout == 0.25
    assert golden.check(expert, DATA) <= DATA.tolerance
    config.write_text("teacher: {model: hubert_base}\n")
    with pytest.raises(UserError, match=r"model\.yaml has no block 'distiller'"):
        hub.distiller_local(ckpt=CKPT, model_config=str(config))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("layer_norm_first", True, "layer_norm_first must be false"),
        ("out_layer_type", "self-hidden", "out_layer_type: self-hidden is not one of expand-last"),
        ("encoder_attention_heads", 5, "multiple"),
        ("extractor_conv_feature_layers", "__import__('os').getcwd()", "not a list of convolutions"),
    ],
)
def test_settings_of_another_network_are_refused(tmp_path, field, value, told):
    def change(state):
        state["Config"]["distiller"][field] = value

    with pytest.raises(UserError, match=told):
        hub.distiller_local(ckpt=changed(tmp_path, change))


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match="-k FILE"):
        hub.distiller_local(ckpt=None)
    with pytest.raises(UserError, match=r"changed\.ckpt.*lacks post_extract_proj\.bias"):
        hub.distiller_local(
            ckpt=changed(tmp_path, lambda state: state["Distiller"].pop("post_extract_proj.bias"))
        )
    with pytest.raises(UserError, match="no weights 'Distiller'"):
        hub.distiller_local(ckpt=changed(tmp_path, lambda state: state.pop("Distiller")))
