"""Models as a user has them from the hub: evaluation mode, keywords, kinds of waves, copies."""

import copy
import pickle

import golden
import numpy as np
import pytest
import torch
from conftest import ROOT
from test_families import FIXTURES, NO_DOWNLOAD, build

from s3prl import hub
from s3prl.upstream import guard, registry
from s3prl.upstream.build import build_upstream
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import Featurizer, UpstreamBase
from s3prl.utility.errors import UserError

NAMES = [*FIXTURES, *NO_DOWNLOAD]
WAVS = [torch.randn(samples, generator=torch.Generator().manual_seed(samples)) for samples in (4000, 3000)]


def ready(name):
    """The model of a fixture, or of a name that needs no file, and waves for it."""
    if name in FIXTURES:
        return build(name), golden.load(name).wavs[:2]
    return hub.get(name)(ckpt=None, model_config=None, refresh=False), WAVS


@torch.no_grad()
def states(upstream, wavs):
    return upstream(wavs)["hidden_states"]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_in_evaluation_mode_and_two_calls_agree(name):
    upstream, wavs = ready(name)
    assert not any(module.training for module in upstream.modules())
    assert_equal(states(upstream, wavs), states(upstream, wavs))


def test_torch_hub_and_the_builder_give_evaluation_mode_too():
    ckpt = str(golden.load("tera").folder / "ckpt.ckpt")
    for upstream in (
        torch.hub.load(str(ROOT), "tera_local", source="local", ckpt=ckpt),
        build_upstream("tera_local", ckpt),
        build_upstream("mine", entry=lambda **given: torch.nn.Dropout()),
    ):
        assert not upstream.training


@pytest.mark.parametrize("name", NAMES)
def test_a_model_survives_copying_and_pickling(name):
    golden.check_copies(*ready(name))


def first_output(inputs, output):
    return output[0] if isinstance(output, tuple) else output


class Hooked(UpstreamBase):
    def __init__(self, transform=first_output):
        super().__init__(hooks=[("self.layers[0]", transform), ("self.layers[1]", transform)])
        self.layers = torch.nn.ModuleList([torch.nn.Linear(1, 4), torch.nn.Linear(4, 4)])

    def forward(self, wavs):
        hidden = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)[..., None]
        for layer in self.layers:
            hidden = layer(hidden)
        return {}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_hooks_survive_copying_and_pickling(duplicate):
    upstream = Hooked()
    expected = states(upstream, WAVS)
    other = duplicate(upstream)
    upstream.remove_all_hooks()
    assert_equal(states(other, WAVS), expected)
    other.remove_hook("self.layers[0]")
    assert_equal(states(other, WAVS), expected[1:])


def test_a_lambda_as_hook_can_be_copied_and_is_named_when_pickled():
    upstream = Hooked(lambda inputs, output: output)
    assert_equal(states(copy.deepcopy(upstream), WAVS), states(upstream, WAVS))
    with pytest.raises(pickle.PicklingError, match=r"hook 'self\.layers\[0\]' is .*lambda.*`def`"):
        pickle.dumps(upstream)


def test_a_hook_on_a_published_model_survives_pickling():
    hubert, wavs = ready("hubert_base")
    upstream, alone = Wrapped(hubert), wavs[:1]
    expected = states(upstream, alone)
    assert_equal(states(pickle.loads(pickle.dumps(upstream)), alone), expected)
    assert len(expected) == 1


class Wrapped(UpstreamBase):
    """Another upstream of which one layer is tapped."""

    def __init__(self, upstream):
        super().__init__(hooks=[("self.upstream.model.encoder.layers[1]", first_output)])
        self.upstream = upstream

    def forward(self, wavs):
        self.upstream(wavs)
        return {}


@pytest.mark.parametrize("name", sorted(hub.options()))
def test_no_entry_ignores_an_unknown_keyword(name):
    with pytest.raises(UserError, match=f"{name} has no option 'public_bach'. Did you mean 'public_batch'"):
        hub.get(name)(public_bach=True)


def test_every_family_here_is_strict():
    assert {path.parent.name for path in registry.UPSTREAM_FOLDER.glob("*/hubconf.py")} == guard.STRICT


def test_options_of_a_family_are_taken_and_named():
    assert hub.linear(pad="batch").batch_invariant is False
    with pytest.raises(UserError, match="Did you mean 'encoder_attention_heads'"):
        hub.decoar2_local(ckpt="x", encoder_attention_head=4)
    with pytest.raises(UserError, match="Did you mean 'options_config'"):
        hub.tera(option_config="x")


def test_a_folder_of_somebody_else_may_take_any_keyword():
    entry = guard.guarded(lambda **given: given, "mean200", "mean200")
    assert entry(foo=3) == {"foo": 3}


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match=r"no upstream 'fbnak'. Did you mean 'fbank'\?"):
        _ = hub.fbnak
    with pytest.raises(AttributeError, match=r"no upstream 'fbnak'. Did you mean 'fbank'\?"):
        torch.hub.load(str(ROOT), "fbnak", source="local")


def test_torch_hub_lists_every_name_once():
    import importlib.util

    spec = importlib.util.spec_from_file_location("hubconf_of_torch_hub", ROOT / "hubconf.py")
    hubconf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hubconf)
    found = [name for name in dir(hubconf) if callable(getattr(hubconf, name)) and not name.startswith("_")]
    assert found == sorted(hub.options())  # as torch.hub.list finds them


@pytest.mark.parametrize("name", ["fbank", "wav2vec2_base", "example"])
def test_arrays_and_single_waves_are_taken(name):
    upstream, wavs = ready(name)
    expected = states(upstream, wavs)
    for kind in (np.float32, np.float64):
        arrays = [wav.numpy().astype(kind) for wav in wavs]
        assert_equal(states(upstream, arrays), expected)
        assert_equal(states(upstream, tuple(arrays)), expected)
    read_only = wavs[0].numpy()[::-1]  # and backwards
    read_only.flags.writeable = False
    assert_equal(states(upstream, read_only), states(upstream, [wavs[0].flip(0)]))
    alone = states(upstream, wavs[:1])
    assert_equal(states(upstream, wavs[0]), alone)
    assert_equal(states(upstream, wavs[0].double()), alone)
    assert_equal(states(upstream, wavs[0][None]), alone)
    pair = torch.stack([wavs[0], wavs[0] / 2])
    assert_equal(states(upstream, pair.numpy()), states(upstream, list(pair)))
    featurizer = Featurizer(upstream)
    assert len(featurizer(wavs[0], upstream(wavs[0]))) == 1
    assert len(featurizer(pair, upstream(pair))) == 2


REFUSED = [
    ([], "No utterance was given"),
    ([WAVS[0], torch.zeros(0)], "Utterance 1 of a batch of 2 has 0 samples"),
    ([(WAVS[0] * 9999).short()], r"Utterance 0 .* holds torch\.int16\. Divide 16-bit samples by 32768"),
    ((WAVS[0] * 9999).numpy().astype(np.int16), r"holds int16\. .* by 32768: wav / 32768"),
    ([(WAVS[0] * 9999).int()], "Divide 32-bit samples by 2147483648"),
    ([WAVS[0] > 0], r"floats in \[-1, 1\], but holds torch\.bool"),
    ([WAVS[0], torch.zeros(2, 4000)], r"Utterance 1 .* 2 channels: give one, wav\[0\], or .*wav\.mean\(0\)"),
    ([np.zeros((4000, 2))], r"Utterance 0 .*\[4000, 2\].*wav\[:, 0\], or their mean, wav\.mean\(1\)"),
    ([torch.zeros(1, 4000)], r"Give its only channel, wav\[0\]"),
    (torch.zeros(4000, 2), r"one \[4000, 2\].* 2 channels: give one, wavs\[:, 0\]"),
    (torch.zeros(2, 1, 4000), r"single wave \[samples\], but are one \[2, 1, 4000\]"),
    ("a.wav", "Waves must be a list .*, but are a str"),
    (None, "but are a NoneType"),
    (["a.wav"], "Utterance 0 of a batch of 1 must be a tensor or array .*, but is a str"),
    ([WAVS[0].tolist()], "but is a list"),
]


@pytest.mark.parametrize(("wavs", "told"), REFUSED)
@pytest.mark.parametrize("name", ["fbank", "example"])
def test_waves_of_the_wrong_kind_are_refused_with_advice(name, wavs, told):
    with pytest.raises(UserError, match=told):
        hub.get(name)()(wavs)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("through", ["the model", "the encoder"])
def test_samples_that_are_not_finite_are_named(value, through):
    wavs = [WAVS[0], WAVS[1].clone()]
    wavs[1][[1600, 2000, 2500]] = value
    upstream = hub.fbank()
    run = upstream if through == "the model" else Encoder(upstream, "cpu")
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 3 samples .*the first at 0\.100 s"):
        run(wavs)
    loud = torch.full((4000,), 3e38)  # their sum overflows, none of them does
    assert Encoder(hub.example(), "cpu")([loud]) is not None


def test_gradients_reach_the_waves_through_the_checks():
    wav = WAVS[0].clone().requires_grad_()
    hub.example()([wav])["last_hidden_state"].sum().backward()
    assert wav.grad.abs().sum() > 0


def test_a_model_in_double_precision_keeps_it():
    upstream = hub.example().double()
    assert upstream([WAVS[0].double()])["last_hidden_state"].dtype == torch.float64
