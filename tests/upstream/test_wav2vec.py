"""wav2vec and vq-wav2vec: published outputs, codes, every setting against a plain reference, other files."""

import argparse
import ast

import golden
import pytest
import torch
from torch.nn import functional as F

from s3prl import hub
from s3prl.upstream.common.conv_layers import frames_after, parse_conv_layers
from s3prl.upstream.common.wav2vec.model import Wav2Vec
from s3prl.upstream.common.wav2vec.settings import Settings
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility.errors import UserError

ENTRIES = {
    "wav2vec": "wav2vec_local",
    "vq_wav2vec_kmeans": "vq_wav2vec_local",
    "vq_wav2vec_gumbel": "vq_wav2vec_custom",
}
QUANTIZED = [fixture for fixture in ENTRIES if fixture.startswith("vq")]
WAVS = golden.load("wav2vec").wavs
SMALL = {
    "conv_feature_layers": "[(6, 10, 5), (6, 8, 4)] + [(6, 4, 2)] * 3",
    "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1)]",
}


def build(fixture, file="ckpt.pt", **options):
    return hub.get(ENTRIES[fixture])(ckpt=str(golden.DATA / fixture / file), **options).eval()


def save(folder, weights=None, **config):
    """A checkpoint of a small network with random weights."""
    config = SMALL | config
    if weights is None:
        torch.manual_seed(0)
        model = Wav2Vec(Settings(**config))
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.4)
        weights = model.state_dict()
    path = folder / "ckpt.pt"
    torch.save({"task_cfg": {}, "model_cfg": config, "model_weight": weights}, path)
    return str(path)


@pytest.mark.parametrize("fixture", ENTRIES)
@pytest.mark.parametrize("file", ["ckpt.pt", "ckpt_namespace.pt"])
@torch.no_grad()
def test_every_further_output_equals_the_published_one(fixture, file):
    data, expert = golden.load(fixture), build(fixture, file)
    result = expert(data.wavs)
    for key, expected in data.expected["output"].items():
        assert result[key].dtype == expected.dtype
        for ours, theirs, valid in zip(result[key], expected, data.expected["alone_frames"], strict=True):
            atol = 0 if key == "codeids" else data.tolerance
            torch.testing.assert_close(ours[:valid], theirs[:valid], rtol=0, atol=atol)


@pytest.mark.parametrize("fixture", ENTRIES)
@torch.no_grad()
def test_a_task_can_choose_any_output(fixture):
    data, expert = golden.load(fixture), build(fixture)
    chosen = [name for name in data.expected if name.startswith("featurizer_")]
    assert chosen
    for name in chosen:
        featurizer = Featurizer(expert, feature_selection=name.removeprefix("featurizer_"))
        features = featurizer(data.wavs, expert(data.wavs))
        for ours, theirs, valid in zip(
            features, data.expected[name], data.expected["alone_frames"], strict=True
        ):
            torch.testing.assert_close(ours[:valid], theirs[:valid], rtol=0, atol=data.tolerance)


@pytest.mark.parametrize("fixture", ENTRIES)
@torch.no_grad()
def test_alone_gives_an_utterance_the_same_values_in_any_batch(fixture):
    published, alone = build(fixture), build(fixture, alone=True)
    assert alone.batch_invariant and not published.batch_invariant
    golden.check_invariance(alone, golden.load(fixture))
    if fixture in QUANTIZED:
        together = alone(WAVS)["codeids"]
        for row, wav in enumerate(WAVS):
            codes = alone([wav])["codeids"][0]
            assert torch.equal(codes, together[row, : len(codes)])


def plain(wavs, weights, config):
    """z and the output of every aggregator layer by their definitions, without quantizer."""
    scale, hidden, normed = (
        config["residual_scale"] ** 0.5,
        wavs[:, None],
        not config["non_affine_group_norm"],
    )

    def finish(hidden, name):
        affine = [weights[f"{name}.{part}"] for part in ("weight", "bias")] if normed else []
        return F.gelu(F.group_norm(hidden, 1, *affine))

    for index, (_, _, stride) in enumerate(parse_conv_layers(config["conv_feature_layers"])):
        name = f"feature_extractor.conv_layers.{index}"
        before, hidden = hidden, F.conv1d(hidden, weights[f"{name}.0.weight"], stride=stride)
        hidden = finish(hidden, f"{name}.2")
        if config["skip_connections_feat"] and index:
            step = before.size(2) // hidden.size(2)
            hidden = (hidden + before[..., ::step][..., : hidden.size(2)]) * scale
    if config["log_compression"]:
        hidden = (hidden.abs() + 1).log()
    states = [hidden]
    for index, (_, kernel, _) in enumerate(parse_conv_layers(config["conv_aggregator_layers"])):
        name, before = f"feature_aggregator.conv_layers.{index}", hidden
        mode = "constant" if config["agg_zero_pad"] else "replicate"
        hidden = F.pad(hidden, (kernel - 1, 0), mode=mode)
        hidden = F.conv1d(hidden, weights[f"{name}.1.weight"], weights.get(f"{name}.1.bias"))
        hidden = finish(hidden, f"{name}.3")
        if config["skip_connections_agg"]:
            projection = weights.get(f"feature_aggregator.residual_proj.{index}.weight")
            residual = before if projection is None else F.conv1d(before, projection)
            hidden = (hidden + residual) * scale
        states.append(hidden)
    return [state.transpose(1, 2) for state in states]


SWITCHES = (
    "skip_connections_feat", "skip_connections_agg", "log_compression", "agg_zero_pad", "no_conv_bias",
    "non_affine_group_norm",
)  # fmt: skip


@pytest.mark.parametrize("changed", [(), *((switch,) for switch in SWITCHES), SWITCHES])
def test_every_setting_gives_what_its_definition_says_and_so_do_its_gradients(changed, tmp_path):
    default = {"skip_connections_agg": True, "log_compression": True}
    config = {name: default.get(name, False) != (name in changed) for name in SWITCHES}
    config = SMALL | config | {"residual_scale": 0.3, "activation": "gelu"}
    ckpt = save(tmp_path, **config)
    expert = hub.get("wav2vec_local")(ckpt=ckpt)
    wavs = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    weights = dict(expert.model.named_parameters())
    expected = plain(wavs, weights, config)
    states = expert(list(wavs))["hidden_states"]
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours, theirs = (
        torch.autograd.grad(sum(state.square().sum() for state in result), list(weights.values()))
        for result in (states, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
@torch.no_grad()
def test_k_means_takes_the_nearest_entry_of_each_group(shared, tmp_path):
    options = {"vq_type": "kmeans", "vq_vars": 7, "vq_groups": 3, "combine_groups": shared}
    expert = hub.get("vq_wav2vec_local")(ckpt=save(tmp_path, **options)).eval()
    result, quantizer = expert([torch.randn(8000)]), expert.model.vector_quantizer
    points = quantizer.projection(result["z"].transpose(1, 2))[0].T.unflatten(1, (3, 2))
    for group in range(3):
        book = quantizer.embedding[:, 0 if shared else group]
        codes = torch.cdist(points[:, group], book).argmin(1)
        assert torch.equal(result["codeids"][0, :, group], codes)
        assert torch.equal(result["codewords"][0, :, 2 * group : 2 * group + 2], book[codes])


@pytest.mark.parametrize("shared", [True, False])
@torch.no_grad()
def test_gumbel_takes_the_entry_with_the_largest_logit_of_each_group(shared, tmp_path):
    options = {"vq_type": "gumbel", "vq_vars": 7, "vq_groups": 2, "vq_dim": 10, "combine_groups": shared}
    expert = hub.get("vq_wav2vec_local")(ckpt=save(tmp_path, **options)).eval()
    result, quantizer = expert([torch.randn(8000)]), expert.model.vector_quantizer
    logits = quantizer.weight_proj(result["z"])[0].unflatten(1, (2, 7))
    assert torch.equal(result["codeids"][0], logits.argmax(2))
    books = quantizer.vars[0].unflatten(0, (1 if shared else 2, 7))
    first = books[0][result["codeids"][0, :, 0]]
    second = books[-1][result["codeids"][0, :, 1]]
    assert torch.equal(result["codewords"][0], torch.cat([first, second], 1))


@pytest.mark.parametrize("fixture", QUANTIZED)
def test_in_training_gradients_pass_through_the_codes_to_encoder_and_codebook(fixture):
    expert = build(fixture).train()
    result = expert(WAVS)
    result["c"].square().sum().backward()
    for name, weight in expert.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
    assert expert.model.feature_extractor.conv_layers[0][0].weight.grad.abs().max() > 0
    quantizer = expert.model.vector_quantizer
    again = quantizer.look_up(
        quantizer.vars if "gumbel" in fixture else quantizer.embedding.transpose(0, 1), result["codeids"]
    )
    torch.testing.assert_close(result["codewords"], again)


def test_an_option_missing_from_an_old_file_was_off_and_from_a_new_one_is_on(tmp_path):
    path = save(tmp_path, conv_aggregator_layers="[(6, 2, 1)]")
    state = torch.load(path)
    new = hub.get("wav2vec_local")(ckpt=path)
    arguments = argparse.Namespace(arch="wav2vec", task="audio_pretraining", **state["model_cfg"])
    torch.save({"args": arguments, "model": state["model_weight"]}, path)
    old = hub.get("wav2vec_local")(ckpt=path)
    for expert, on in ((new, True), (old, False)):
        assert expert.model.feature_extractor.log_compression is on
        assert expert.model.feature_aggregator.skips is on


@pytest.mark.parametrize(
    ("setting", "value"), [("aggregator", "gru"), ("activation", "swish"), ("vq_type", "product")]
)
def test_a_network_that_is_not_built_is_named(setting, value, tmp_path):
    with pytest.raises(UserError, match=rf"ckpt\.pt: {setting}: {value} is not one of"):
        hub.get("wav2vec_local")(ckpt=save(tmp_path, weights={}, **{setting: value}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"conv_aggregator_layers": "[(6, 2, 2)]"}, "strides"),
        ({"conv_feature_layers": "[]"}, "at least one"),
        ({"conv_feature_layers": "open('x')"}, r"open\('x'\)"),
        ({"vq_type": "gumbel", "vq_groups": 4}, "vq_groups = 4"),
        ({"vq_type": "kmeans", "vq_dim": 4}, "vq_dim = 4"),
    ],
)
def test_sizes_that_cannot_be_are_refused(config, message, tmp_path):
    with pytest.raises(UserError, match=message):
        hub.get("vq_wav2vec_local")(ckpt=save(tmp_path, weights={}, **config))


def test_a_temperature_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="vq_temp"):
        hub.get("vq_wav2vec_local")(ckpt=save(tmp_path, weights={}, vq_type="gumbel", vq_temp="warm"))


def test_parts_of_pre_training_are_left_out_and_other_weights_that_do_not_fit_are_named(tmp_path):
    path = save(tmp_path)
    state = torch.load(path)
    weights = state["model_weight"]
    weights["wav2vec_predictions.project_to_steps.bias"] = torch.zeros(6)
    torch.save(state, path)
    hub.get("wav2vec_local")(ckpt=path)
    weights["encoder.extra"] = weights.pop("feature_extractor.conv_layers.0.0.weight")
    torch.save(state, path)
    with pytest.raises(UserError, match=r"ckpt\.pt.*conv_layers\.0\.0\.weight.*encoder\.extra"):
        hub.get("wav2vec_local")(ckpt=path)


def test_audio_too_short_for_a_frame_says_how_much_is_needed():
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 464 samples.*at least 465"):
        build("wav2vec")([WAVS[0], WAVS[0][:464]])
    assert build("wav2vec")([WAVS[0][:465]])["c"].size(1) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] * 2",
        "4 * [(8, 3, 2)]",
        "([(8, 3, 1)] * 2 + [(8, 2, 1)]) * 2",
        "[]",
        " [(24, 10, 5), (24, 8, 4)] ",
    ],
)
def test_an_expression_of_convolutions_is_what_python_would_make_of_it(text):
    assert parse_conv_layers(text) == eval(text)


def test_a_list_of_convolutions_may_be_a_list_already():
    assert parse_conv_layers([[8, 3, 2], (8, None, 1)]) == [(8, 3, 2), (8, None, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()", "[(512, 10, 5)", "[(8, 3, 2)] * 10 ** 9", "[(8, 3, 2)] * 1000000000",
        "[[(8, 3, 2)] * 999] * 999 * 999", "[(8, 3)]", "[(8, 3, -2)]", "[(8, 3, 0)]", "[(8, 3, True)]", "8",
        "[(8, 3, 2)] * [(8, 3, 2)]", "[x for x in 'abc']", "['abc']", "(" * 5000, "", None,
    ],
)  # fmt: skip
def test_anything_else_than_convolutions_is_refused(text):
    with pytest.raises(UserError, match="list of convolutions"):
        parse_conv_layers(text)


def test_frames_are_counted_as_convolutions_give_them():
    layers, paddings = [(1, 10, 5), (1, 8, 4), (1, 4, 2), (1, 3, 3)], [3, 2, 1, 0]
    for samples in [*range(1, 400, 7), 16000]:
        for padding in (paddings, None):
            wav = torch.zeros(1, 1, samples)
            try:
                for (_, kernel, stride), both in zip(layers, padding or [0] * 4, strict=True):
                    wav = F.conv1d(wav, torch.zeros(1, 1, kernel), stride=stride, padding=both)
                expected = wav.size(2)
            except RuntimeError:  # too short for a kernel
                expected = 0
            assert frames_after(samples, layers, padding) == expected


def test_the_temperature_is_that_at_the_end_of_pre_training():
    for text in ("(2.0, 0.5, 0.999995)", str([2.0, 0.5, 0.999995]), str(ast.literal_eval("2.0, 0.5, 0.9"))):
        assert Settings("", "", vq_temp=text).temperature == 0.5


@pytest.mark.parametrize(
    "name", ["wav2vec", "wav2vec_large", "wav2vec_url", "vq_wav2vec", "vq_wav2vec_kmeans"]
)
def test_every_name_takes_a_file(name):
    fixture = "vq_wav2vec_kmeans" if name.startswith("vq") else "wav2vec"
    ckpt = str(golden.DATA / fixture / "ckpt.pt")
    assert hub.get(name)(ckpt=ckpt, model_config=None, refresh=False).num_frames(16000) == 98
