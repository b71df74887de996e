"""UpstreamBase (hooks) and Featurizer (selection, weighting, lengths)."""

import pytest
import torch
from torch import nn

from s3prl.upstream.interfaces import Featurizer, Layers, Traits, UpstreamBase, traits_of
from s3prl.utility.errors import UserError


class Layered(UpstreamBase):
    """Frames of `stride` samples, each layer adding one; layers are returned or tapped by hooks."""

    def __init__(self, stride=160, layers=3, hooked=False, says_stride=True, **kwargs):
        super().__init__(**kwargs)
        self.stride, self.hooked = stride, hooked
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(layers)])
        self.extra = {}
        if says_stride:
            self.get_downsample_rates = lambda key: stride
        if hooked and not self.hooks:
            self.hooks = [(f"self.blocks[{i}]", lambda inputs, output: output) for i in range(layers)]

    def forward(self, wavs):
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        frames = padded[:, :: self.stride][:, : padded.size(1) // self.stride, None].expand(-1, -1, 4)
        hidden_states = []
        for number, block in enumerate(self.blocks):
            block(frames + number)
            hidden_states.append(frames + number)
        if self.hooked:
            return {}
        return {"hidden_states": hidden_states, "last_hidden_state": hidden_states[-1], **self.extra}


def wavs(*lengths):
    return [torch.linspace(0, 1, length) for length in lengths]


def test_layers_start_with_equal_weights_and_outputs_are_unpadded():
    upstream = Layered()
    featurizer = Featurizer(upstream)
    inputs = wavs(16000, 8000)
    features = featurizer(inputs, upstream(inputs))
    assert [tuple(f.shape) for f in features] == [(100, 4), (50, 4)]
    middle = upstream(inputs)["hidden_states"][1]
    torch.testing.assert_close(features[0], middle[0])
    assert featurizer.output_dim == 4
    assert featurizer.downsample_rate == 160


@pytest.mark.parametrize("normalize", [False, True])
def test_unmixed_layers_are_those_that_the_mixture_is_made_of(normalize):
    upstream = Layered()
    featurizer = Featurizer(upstream, normalize=normalize)
    inputs = wavs(16000, 8000)
    layers = featurizer.layers([len(wav) for wav in inputs], upstream(inputs))
    unmixed = featurizer.unmixed(layers)
    assert [tuple(one.shape) for one in unmixed] == [(3, 100, 4), (3, 50, 4)]
    for one, mixed in zip(unmixed, featurizer.mix(layers), strict=True):
        torch.testing.assert_close(one.mean(0), mixed)
    alone = Featurizer(upstream, layer_selection=1, normalize=normalize)
    chosen = alone.unmixed(alone.layers([len(wav) for wav in inputs], upstream(inputs)))
    torch.testing.assert_close(chosen[0], unmixed[0][1:2])


def test_the_weights_learn():
    upstream = Layered()
    featurizer = Featurizer(upstream)
    inputs = wavs(1600)
    featurizer(inputs, upstream(inputs))[0].sum().backward()
    assert featurizer.weights.grad[0] < 0 < featurizer.weights.grad[2]


@pytest.mark.parametrize("stride", [1, 120, 160, 221, 320, 2560])
@pytest.mark.parametrize("says_stride", [True, False])
def test_any_stride_gives_the_right_lengths(stride, says_stride):
    upstream = Layered(stride, says_stride=says_stride)
    featurizer = Featurizer(upstream)
    assert featurizer.downsample_rate == pytest.approx(stride, rel=0.01)
    inputs = wavs(stride * 40, stride * 13)
    assert [len(f) for f in featurizer(inputs, upstream(inputs))] == [40, 13]


def test_exact_frame_counts_of_the_upstream_win():
    upstream = Layered()
    upstream.num_frames = lambda samples: (samples - 400) // 160 + 1
    inputs = wavs(16000, 8000)
    assert [len(f) for f in Featurizer(upstream)(inputs, upstream(inputs))] == [98, 48]


def test_one_layer_can_be_selected():
    upstream = Layered()
    inputs = wavs(1600)
    result = upstream(inputs)
    for layer in (0, -1):
        featurizer = Featurizer(upstream, layer_selection=layer)
        assert not list(featurizer.parameters())
        torch.testing.assert_close(featurizer(inputs, result)[0], result["hidden_states"][layer][0])
    with pytest.raises(UserError, match="numbered 0 to 2"):
        Featurizer(upstream, layer_selection=3)


def test_normalisation_happens_per_layer_before_weighting():
    upstream = Layered()
    upstream.extra = {"scaled": [torch.randn(1, 100, 4) * scale for scale in (1, 100)]}
    featurizer = Featurizer(upstream, "scaled", normalize=True)
    mixed = featurizer(wavs(16000), upstream(wavs(16000)))[0]
    expected = sum(nn.functional.layer_norm(layer, (4,)) for layer in upstream.extra["scaled"]) / 2
    torch.testing.assert_close(mixed, expected[0])


def test_an_unknown_output_is_refused_with_those_that_exist():
    with pytest.raises(UserError, match=r"no output 'codes'.*hidden_states, last_hidden_state"):
        Featurizer(Layered(), "codes")


def test_a_changing_number_of_layers_is_explained():
    upstream = Layered()
    featurizer = Featurizer(upstream)
    del upstream.blocks[2]
    with pytest.raises(ValueError, match="last_hidden_state"):
        featurizer(wavs(1600), upstream(wavs(1600)))


def test_a_wrong_stride_is_noticed():
    upstream = Layered(160)
    featurizer = Featurizer(upstream)
    upstream.stride = 320
    with pytest.raises(ValueError, match="promises 100"):
        featurizer(wavs(16000), upstream(wavs(16000)))


def test_probing_does_not_touch_the_random_state():
    upstream = Layered()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Featurizer(upstream)
    assert torch.equal(torch.rand(1), expected)


def test_hooks_tap_layers_in_the_order_they_run():
    upstream = Layered(hooked=True)
    result = upstream(wavs(1600))
    assert len(result["hidden_states"]) == 3
    assert result["_hidden_states_info"] == ("self.blocks[0]", "self.blocks[1]", "self.blocks[2]")
    assert torch.equal(result["last_hidden_state"], result["hidden_state_2"])
    again = upstream(wavs(1600))
    assert len(again["hidden_states"]) == 3


def test_hooks_given_by_the_caller_replace_the_models_own():
    upstream = Layered(hooked=True, hooks=[("self.blocks[-1]", lambda inputs, output: inputs[0], "in")])
    result = upstream(wavs(1600))
    assert result["_hidden_states_info"] == ("in",)
    upstream.remove_hook("in")
    assert "hidden_states" not in upstream(wavs(1600))


def test_hooks_may_be_added_and_postprocessed():
    upstream = Layered(hooked=True, hook_postprocess=lambda hiddens: hiddens[1:])
    assert len(upstream(wavs(1600))["hidden_states"]) == 2
    upstream.remove_all_hooks()
    upstream.hook_postprocess = None
    upstream.add_hook("self.blocks[1]", lambda inputs, output: output)
    assert len(upstream(wavs(1600))["hidden_states"]) == 1


def test_a_hooks_path_is_never_run_as_code():
    with pytest.raises(ValueError, match="module path"):
        Layered().add_hook("__import__('os').system('true')", lambda inputs, output: output)


def test_forward_and_hooks_may_not_both_name_the_layers():
    upstream = Layered()
    upstream.add_hook("self.blocks[0]", lambda inputs, output: output)
    with pytest.raises(ValueError, match="may not return"):
        upstream(wavs(1600))


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"layer_selection": 1}])
def test_selecting_layers_and_mixing_them_are_two_steps_with_one_result(options):
    upstream = Layered()
    featurizer = Featurizer(upstream, **options)
    inputs = wavs(16000, 8000)
    outputs = upstream(inputs)
    layers = featurizer.layers([16000, 8000], outputs)
    assert len(layers.stacked) == featurizer.layer_count and layers.frames == [100, 50]
    as_one_tensor = Layers(torch.stack(layers.stacked), layers.frames)
    for whole, steps, tensor in zip(
        featurizer(inputs, outputs), featurizer.mix(layers), featurizer.mix(as_one_tensor), strict=True
    ):
        assert torch.equal(whole, steps) and torch.equal(whole, tensor)


def test_traits_have_careful_defaults():
    careful = Traits()
    assert (careful.batch_invariant, careful.num_frames, careful.survey) == (False, None, None)
    careful.for_task("any")
    traits = traits_of(Layered())
    assert (traits.batch_invariant, traits.num_frames, traits.survey) == (False, None, None)
    traits.for_task("any")


def test_a_model_that_is_no_upstream_base_gets_the_careful_defaults_whatever_it_has():
    stranger = nn.Module()
    stranger.batch_invariant, stranger.num_frames = True, lambda samples: 1
    assert traits_of(stranger) == Traits()


def test_what_an_upstream_declares_is_told():
    class Declares(Layered):
        @property
        def batch_invariant(self):
            return self.stride == 160

        def num_frames(self, samples):
            return samples // 160

        def survey(self, batches):
            self.seen = list(batches)

    upstream = Declares()
    traits = traits_of(upstream)
    assert traits.batch_invariant and traits.num_frames(1600) == 10
    traits.survey([1, 2])
    assert upstream.seen == [1, 2]
