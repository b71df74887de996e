"""Published files of wav2vec 2.0 and its descendants: every layout, no weight lost, clear refusals."""

import argparse

import golden
import pytest
import torch

from s3prl import hub
from s3prl.training.checkpoint import load
from s3prl.upstream.common.fairseq_format.hub import from_repository
from s3prl.upstream.loading import STAND_INS
from s3prl.utility.errors import UserError

FIXTURES = {
    "wav2vec2_base": "wav2vec2",
    "wav2vec2_large": "wav2vec2",
    "hubert_base": "hubert",
    "hubert_large": "hubert",
    "wavlm_base": "wavlm",
    "wavlm_large": "wavlm",
    "unispeech_sat": "unispeech_sat",
    "data2vec": "data2vec",
}


def build(fixture, file=None, **options):
    data = golden.load(fixture)
    return hub.get(f"{FIXTURES[fixture]}_local")(ckpt=str(file or data.folder / data.files[0]), **options)


@pytest.fixture
def changed(tmp_path):
    """A function that writes a fixture's checkpoint after `change(state)` and returns its path."""

    def write(fixture, change, file="ckpt.pt"):
        state = load(golden.load(fixture).folder / file, stand_ins=STAND_INS)
        change(state)
        torch.save(state, tmp_path / "changed.pt")
        return tmp_path / "changed.pt"

    return write


def weights_of(state):
    return state.get("model_weight", state.get("model"))


def settings_of(state):
    return state.get("model_cfg", state.get("cfg"))


def hidden_states(expert, wavs):
    with torch.no_grad():
        return expert.eval()(wavs)["hidden_states"]


@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_weight_of_the_network_comes_from_the_file_and_learns(fixture):
    expert, data = build(fixture), golden.load(fixture)
    theirs = [
        value for value in weights_of(load(data.folder / data.files[0])).values() if torch.is_tensor(value)
    ]
    for name, weight in expert.named_parameters():
        assert any(weight.shape == value.shape and torch.equal(weight, value) for value in theirs), name
    states = expert.train()(data.wavs)["hidden_states"]
    torch.stack([state.square().mean() for state in states]).sum().backward()
    assert [name for name, weight in expert.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_leftover_weight_is_refused_by_name(fixture, changed):
    file = changed(fixture, lambda state: weights_of(state).update({"encoder.layers.0.gate": torch.ones(1)}))
    with pytest.raises(UserError, match=r"changed\.pt .*encoder\.layers\.0\.gate"):
        build(fixture, file)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_missing_weight_is_refused_by_name(fixture, changed):
    file = changed(fixture, lambda state: weights_of(state).pop("encoder.layers.1.fc2.bias"))
    with pytest.raises(
        UserError, match=r"changed\.pt .*lacks encoder\.layers\.1\.feed_forward\.output_dense"
    ):
        build(fixture, file)


def test_a_layer_more_than_the_configuration_says_is_refused(changed):
    file = changed("hubert_base", lambda state: settings_of(state).update(encoder_layers=2))
    with pytest.raises(UserError, match=r"unknown encoder\.layers\.2\..* and 11 more"):
        build("hubert_base", file)


def test_a_weight_of_another_shape_is_refused_with_both_shapes(changed):
    file = changed("wavlm_base", lambda state: settings_of(state).update(encoder_ffn_embed_dim=63))
    with pytest.raises(UserError, match=r"\[64, 32\] instead of \[63, 32\]"):
        build("wavlm_base", file)


@pytest.mark.parametrize(
    ("fixture", "setting", "value"),
    [
        ("wav2vec2_base", "layer_type", "conformer"),
        ("wav2vec2_base", "pos_conv_depth", 5),
        ("wav2vec2_base", "extractor_mode", "batch_norm"),
        ("wavlm_base", "gru_rel_pos", False),
        ("data2vec", "extractor_mode", "default"),
    ],
)
def test_a_network_that_is_not_supported_is_refused_by_its_setting(fixture, setting, value, changed):
    file = changed(fixture, lambda state: settings_of(state).update({setting: value}))
    with pytest.raises(UserError, match=rf"changed\.pt has {setting} = {value!r}"):
        build(fixture, file)


def test_a_model_of_another_sample_rate_is_refused(changed):
    file = changed("hubert_base", lambda state: state["task_cfg"].update(sample_rate=8000))
    with pytest.raises(UserError, match="sample_rate = 8000; only 16000"):
        build("hubert_base", file)


@pytest.mark.parametrize(("setting", "value"), [("encoder_attention_heads", 5), ("encoder_layers", "three")])
def test_sizes_that_describe_no_network_are_refused(setting, value, changed):
    file = changed("hubert_base", lambda state: settings_of(state).update({setting: value}))
    with pytest.raises(UserError, match=r"changed\.pt: its configuration describes no network"):
        build("hubert_base", file)


def test_convolutions_are_not_evaluated(changed):
    file = changed(
        "hubert_base",
        lambda state: settings_of(state).update(conv_feature_layers="__import__('os').getcwd()"),
    )
    with pytest.raises(UserError, match="is not a list of convolutions"):
        build("hubert_base", file)


def test_a_file_in_half_precision_is_read_as_float32(changed):
    def halve(state):
        state["model"] = {name: value.half() for name, value in state["model"].items()}

    expert = build("unispeech_sat", changed("unispeech_sat", halve))
    assert {weight.dtype for weight in expert.parameters()} == {torch.float32}
    data = golden.load("unispeech_sat")
    for ours, theirs in zip(hidden_states(expert, data.wavs), data.expected["hidden_states"], strict=True):
        torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0.05)


@pytest.mark.parametrize("wrap", [dict, lambda config: argparse.Namespace(**config["model"])])
def test_a_model_fine_tuned_by_fairseq_gives_its_pre_trained_part(wrap, changed):
    def fine_tune(state):
        kept = {name: value for name, value in state["model"].items() if not name.startswith("final_proj")}
        state["model"] = {f"w2v_encoder.w2v_model.{name}": value for name, value in kept.items()}
        state["model"]["w2v_encoder.proj.weight"] = torch.zeros(5, 32)
        state["cfg"] = {"model": {"w2v_args": wrap(state["cfg"])}, "task": state["cfg"]["task"]}

    data = golden.load("wav2vec2_large")
    golden.check(build("wav2vec2_large", changed("wav2vec2_large", fine_tune, "ckpt_fairseq.pt")), data)


def test_a_weight_norm_in_the_names_of_newer_pytorch_is_read(changed):
    def rename(state):
        names = {
            "weight_g": "parametrizations.weight.original0",
            "weight_v": "parametrizations.weight.original1",
        }
        for old, new in names.items():
            weight = state["model_weight"].pop(f"encoder.pos_conv.0.{old}")
            state["model_weight"][f"encoder.pos_conv.0.{new}"] = weight

    golden.check(build("hubert_large", changed("hubert_large", rename)), golden.load("hubert_large"))


def test_without_a_projection_the_convolutions_feed_the_encoder(changed):
    def drop(state):
        channels = state["model_cfg"]["encoder_embed_dim"]
        weights = state["model_weight"]
        convolutions = f"[({channels},10,5)] + [({channels},3,2)] * 4 + [({channels},2,2)] * 2"
        state["model_cfg"]["conv_feature_layers"] = convolutions
        generator = torch.Generator().manual_seed(0)
        for name in [name for name in weights if name.startswith(("feature_extractor", "layer_norm"))]:
            shape = [channels if size == 24 else size for size in weights[name].shape]
            weights[name] = torch.randn(shape, generator=generator) * 0.2
        del weights["post_extract_proj.weight"], weights["post_extract_proj.bias"]

    expert = build("wav2vec2_large", changed("wav2vec2_large", drop))
    golden.check_contract(expert, golden.load("wav2vec2_large").wavs)


def test_convolutions_learn_as_slowly_as_the_file_says(changed):
    data = golden.load("wav2vec2_large")
    plain = changed("wav2vec2_large", lambda state: settings_of(state).update(feature_grad_mult=1.0))
    gradients = []
    for file in (None, plain):
        expert = build("wav2vec2_large", file)
        expert(data.wavs)["last_hidden_state"].square().mean().backward()
        convolution = expert.model.feature_extractor.conv_layers[0].conv.weight.grad
        gradients.append((convolution, expert.model.encoder.layers[0].attention.q_proj.weight.grad))
    (slow, same), (fast, reference) = gradients
    torch.testing.assert_close(slow, 0.1 * fast)
    torch.testing.assert_close(same, reference)


def test_a_file_of_another_kind_says_what_it_holds(tmp_path):
    torch.save({"Upstream": {}, "Settings": 1}, tmp_path / "other.pt")
    with pytest.raises(
        UserError, match=r"other\.pt is not a checkpoint of WavLM: .*it holds Upstream, Settings"
    ):
        build("wavlm_base", tmp_path / "other.pt")


@pytest.mark.parametrize("family", sorted({*FIXTURES.values()}))
def test_a_short_utterance_is_named(family):
    fixture = next(name for name, its_family in FIXTURES.items() if its_family == family)
    wavs = golden.load(fixture).wavs
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 399 samples .*at least 400"):
        build(fixture)([wavs[0], wavs[0][:399]])


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_model_saved_by_transformers_gives_the_same_through_the_hub_entries(fixture, tmp_path):
    data = golden.load(fixture)
    build(fixture).model.save_pretrained(tmp_path)
    golden.check(from_repository(repository=str(tmp_path)), data)
