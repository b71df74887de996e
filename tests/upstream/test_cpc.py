"""Modified CPC: every mode against a plain reference, utterances alone, files that do not fit."""

import golden
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from s3prl import hub
from s3prl.upstream.cpc.model import CONVOLUTIONS, Cpc, Settings
from s3prl.utility.errors import UserError

WAVS = golden.load("cpc").wavs


def save(folder, **config):
    """A checkpoint of a small network with random weights."""
    config = {"hiddenEncoder": 6, "hiddenGar": 5, **config}
    model = Cpc(Settings(**config))
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    path = folder / "ckpt.pt"
    torch.save({"config": {**config, "nEpoch": 200}, "weights": model.state_dict()}, path)
    return str(path)


def plain_encoder(wavs, weights, norm):
    """The encoder by its definition, channels before frames: [batch, frames, channels]."""
    hidden = wavs[:, None]
    for index, (_, stride, padding) in enumerate(CONVOLUTIONS):
        conv, scale = (f"gEncoder.{part}{index}." for part in ("conv", "batchNorm"))
        hidden = F.conv1d(hidden, weights[conv + "weight"], weights[conv + "bias"], stride, padding)
        hidden = F.relu(norm(hidden, weights, scale))
    return hidden.transpose(1, 2)


def channel_norm(hidden, weights, scale):
    variance, mean = torch.var_mean(hidden, 1, correction=1, keepdim=True)
    return (hidden - mean) / (variance + 1e-5).sqrt() * weights[scale + "weight"] + weights[scale + "bias"]


def batch_norm(hidden, weights, scale):
    names = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(hidden, *(weights[scale + name] for name in names))


def instance_norm(hidden, weights, scale):
    return F.instance_norm(hidden, weight=weights[scale + "weight"], bias=weights[scale + "bias"])


NORMS = {
    "layerNorm": channel_norm,
    "batchNorm": batch_norm,
    "instanceNorm": instance_norm,
    "ID": lambda hidden, *_: hidden,
}


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_gives_what_its_definition_says(norm, tmp_path):
    ckpt = save(tmp_path, normMode=norm)
    wavs = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    weights = torch.load(ckpt)["weights"]
    encoded = hub.get("cpc_local")(ckpt=ckpt).eval()(list(wavs))["hidden_states"][0]
    torch.testing.assert_close(encoded, plain_encoder(wavs, weights, NORMS[norm]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("mode", ["none", "reverse"])
def test_every_recurrent_network_reads_the_frames_in_its_direction(kind, mode, tmp_path):
    ckpt = save(tmp_path, arMode=kind, nLevelsGRU=2, cpc_mode=mode)
    encoded, context = hub.get("cpc_local")(ckpt=ckpt).eval()(WAVS)["hidden_states"]
    network = getattr(nn, kind)(6, 5, num_layers=2, batch_first=True)
    prefix = "gAR.baseNet."
    weights = torch.load(ckpt)["weights"].items()
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in weights if name.startswith(prefix)}
    )
    expected = network(encoded)[0] if mode == "none" else network(encoded.flip(1))[0].flip(1)
    torch.testing.assert_close(context, expected)


def test_without_a_recurrent_network_the_encoder_comes_twice(tmp_path):
    encoded, context = hub.get("cpc_local")(ckpt=save(tmp_path, arMode="no_ar"))(WAVS)["hidden_states"]
    assert torch.equal(encoded, context)


@pytest.mark.parametrize("norm", ["layerNorm", "batchNorm", "ID"])
def test_alone_gives_an_utterance_the_same_values_in_any_batch(norm, tmp_path):
    ckpt = save(tmp_path, normMode=norm)
    published, alone = (hub.get("cpc_local")(ckpt=ckpt, alone=choice).eval() for choice in (False, True))
    assert alone.batch_invariant and not published.batch_invariant
    golden.check_invariance(alone, golden.load("cpc"))
    with torch.no_grad():
        one, other = (expert(WAVS[:1])["hidden_states"] for expert in (alone, published))
    assert all(map(torch.equal, one, other))


def test_modes_that_see_the_whole_batch_say_so_even_when_alone(tmp_path):
    for config in ({"normMode": "instanceNorm"}, {"cpc_mode": "reverse"}):
        assert not hub.get("cpc_local")(ckpt=save(tmp_path, **config), alone=True).batch_invariant


def test_what_a_configuration_leaves_out_is_as_in_the_original(tmp_path):
    path = tmp_path / "ckpt.pt"
    torch.save({"config": {"cpc_mode": None}, "weights": Cpc(Settings()).state_dict()}, path)
    states = hub.get("cpc_local")(ckpt=str(path))(WAVS)["hidden_states"]
    assert [state.size(2) for state in states] == [256, 256]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("arMode", "transformer"), ("encoder_type", "mfcc"), ("normMode", "batch"), ("cpc_mode", "bert")],
)
def test_a_mode_that_is_not_built_is_named(setting, value, tmp_path):
    path = tmp_path / "ckpt.pt"
    torch.save({"config": {setting: value}, "weights": {}}, path)
    with pytest.raises(UserError, match=rf"ckpt\.pt: config\.{setting}: {value} is not one of"):
        hub.get("cpc_local")(ckpt=str(path))


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = save(tmp_path)
    state = torch.load(path)
    state["weights"]["gAR.extra"] = state["weights"].pop("gAR.baseNet.bias_hh_l0")
    torch.save(state, path)
    with pytest.raises(UserError, match=r"ckpt\.pt.*gAR\.baseNet\.bias_hh_l0.*gAR\.extra"):
        hub.get("cpc_local")(ckpt=path)


def test_frames_are_counted_exactly_and_too_short_audio_is_refused(tmp_path):
    expert = hub.get("cpc_local")(ckpt=save(tmp_path))
    counted = [samples for samples in range(1, 700, 7) if expert.num_frames(samples)]
    with torch.no_grad():
        for samples in counted:
            assert expert([torch.zeros(samples)])["last_hidden_state"].size(1) == expert.num_frames(samples)
    needed = next(samples for samples in range(1, 700) if expert.num_frames(samples))
    with pytest.raises(UserError, match=rf"Utterance 1 of .* {needed - 1} samples .* at least {needed}"):
        expert([WAVS[0], torch.zeros(needed - 1)])


@pytest.mark.parametrize("name", ["cpc", "modified_cpc", "cpc_local", "cpc_url"])
def test_every_name_takes_a_file(name, tmp_path):
    assert hub.get(name)(ckpt=save(tmp_path), model_config=None, refresh=False).num_frames(16000) == 100
