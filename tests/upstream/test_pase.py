"""PASE+: published values, files as users have them, and the parts that are our own mathematics."""

import json

import golden
import pytest
import torch

from s3prl.upstream.pase import config, hubconf, qrnn, sincnet
from s3prl.upstream.pase.expert import PUBLISHED_CONFIG
from s3prl.upstream.pase.model import FrontEnd
from s3prl.utility.errors import UserError

GOLDEN = golden.load("pase_plus")
CKPT, CONFIG = (str(GOLDEN.folder / name) for name in ("ckpt.ckpt", "model.cfg"))
SMALL = {"kwidths": [11, 6], "strides": [1, 4], "fmaps": [4, 6], "emb_dim": 5}


def build(ckpt=CKPT, **options):
    return hubconf.pase_local(ckpt=str(ckpt), model_config=CONFIG, **options)


def written(folder, content):
    path = folder / "own.cfg"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_hidden_states_equal_the_published_values():
    expert = build()
    assert golden.check(expert, GOLDEN) < 1e-5
    golden.check_contract(expert, GOLDEN.wavs)


def test_the_order_of_a_batch_does_not_matter():
    expert = build().eval()
    forward, backward = expert(GOLDEN.wavs), expert(GOLDEN.wavs[::-1])
    for one, other in zip(forward["hidden_states"], backward["hidden_states"], strict=True):
        torch.testing.assert_close(one, other.flip(0), rtol=0, atol=1e-5)


def test_the_default_config_is_that_of_the_published_model():
    model = FrontEnd(config.read_config(PUBLISHED_CONFIG))
    assert sum(parameter.numel() for parameter in model.parameters()) == 7832896


@pytest.mark.parametrize("samples", [471, 480, 1234, 5000, 16001])
def test_the_number_of_frames_is_known_before_the_model_runs(samples):
    expert = build().eval()
    states = expert([torch.randn(samples)])["hidden_states"]
    assert {state.size(1) for state in states} == {expert.num_frames(samples)}


def test_an_utterance_too_short_for_reflection_is_named():
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 470 samples .*at least 471"):
        build()([torch.randn(2000), torch.randn(470)])


def test_a_checkpoint_may_be_wrapped_and_given_with_the_names_of_the_hub(tmp_path):
    state = torch.load(CKPT, weights_only=True)
    torch.save({"state_dict": state, "step": 3}, tmp_path / "wrapped.ckpt")
    golden.check(build(tmp_path / "wrapped.ckpt"), GOLDEN)
    for name in ("pase_url", "pase_custom", "pase_plus", "pase"):
        entry = getattr(hubconf, name)
        assert entry(ckpt=CKPT, model_config=CONFIG, refresh=False).num_frames(6411) == 40


def test_weights_that_do_not_fit_are_named_with_the_files(tmp_path):
    with pytest.raises(UserError, match=r"ckpt\.ckpt.*pase_plus\.cfg.*another shape of.*low_hz_"):
        hubconf.pase_local(ckpt=CKPT)
    state = torch.load(CKPT, weights_only=True)
    del state["W.bias"]
    torch.save({**state, "extra.weight": torch.zeros(1)}, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match=r"odd\.ckpt.*lacks W\.bias; it has unknown extra\.weight"):
        build(tmp_path / "odd.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must hold a JSON object"),
        ({**SMALL, "emb_dims": 3}, "Did you mean 'emb_dim'"),
        ({**SMALL, "strides": [1]}, "one number per block"),
        ({**SMALL, "strides": [1, 2.5]}, r"strides\[1\] must be a whole number"),
        ({**SMALL, "kwidths": [10, 6]}, "must be odd"),
        ({**SMALL, "dilations": [1, 2]}, "dilations"),
        ({**SMALL, "densemerge": "concat"}, "densemerge: concat is not one of sum"),
        ({**SMALL, "dilations": [1]}, "one number per block"),
        ({**SMALL, "fmaps": []}, "one number per block"),
        ({**SMALL, "sr": None}, "sr: None is not one of 16000"),
        ({**SMALL, "emb_dim": 0}, "emb_dim must be at least 1"),
        ({**SMALL, "norm_out": "yes"}, "norm_out must be true or false"),
    ],
)
def test_a_config_that_cannot_work_says_why(content, message, tmp_path):
    with pytest.raises(UserError, match=message):
        config.read_config(written(tmp_path, content))


@pytest.mark.parametrize(
    ("fields", "states"),
    [
        ({}, 2),
        ({"denseskips": True, "norm_out": True, "name": "mine", "vq_K": None}, 3),
        ({"rnn_pool": True, "rnn_layers": 2, "rnn_dropout": 0.5, "rnn_dim": None}, 2),
    ],
)
def test_parts_of_the_front_end_can_be_left_out(fields, states, tmp_path):
    model = FrontEnd(config.read_config(written(tmp_path, {**SMALL, **fields})))
    outputs = model(torch.randn(2, 1, 100))
    assert len(outputs) == states
    assert {output.shape for output in outputs} == {(2, model.num_frames(100), 5)}


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 64, 101])
def test_the_parallel_recurrence_equals_the_one_step_by_step(frames):
    generator = torch.Generator().manual_seed(frames)
    decay, drive = (
        torch.rand(2, frames, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    steps = [drive[:, 0]]
    for step in range(1, frames):
        steps.append(decay[:, step] * steps[-1] + drive[:, step])
    expected, ours = torch.stack(steps, 1), qrnn.linear_recurrence(decay, drive)
    torch.testing.assert_close(ours, expected)
    weights = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    kwargs = {"allow_unused": True, "materialize_grads": True}
    theirs = torch.autograd.grad((expected * weights).sum(), (decay, drive), **kwargs)
    torch.testing.assert_close(torch.autograd.grad((ours * weights).sum(), (decay, drive), **kwargs), theirs)


def test_the_recurrence_is_exact_for_gates_that_are_shut_or_open():
    drive = torch.randn(1, 5000, 4, generator=torch.Generator().manual_seed(0))
    shut, tiny = torch.zeros_like(drive), torch.full_like(drive, 1e-30)
    assert torch.equal(qrnn.linear_recurrence(shut, drive), drive)
    assert qrnn.linear_recurrence(tiny, drive).isfinite().all()
    open_ = qrnn.linear_recurrence(torch.ones_like(drive), drive)
    torch.testing.assert_close(open_, drive.double().cumsum(1).float(), rtol=1e-4, atol=1e-4)


def test_a_sinc_kernel_passes_its_band_alone():
    layer = sincnet.SincConv(3, 251, 1)
    with torch.no_grad():
        layer.low_hz_.copy_(torch.tensor([[250.0], [950.0], [2950.0]]))
        layer.band_hz_.fill_(550.0)  # bands of 600 Hz from 300, 1000 and 3000 Hz on
        response = torch.fft.rfft(layer.kernels()[:, 0], 16000).abs()  # a bin per Hz
    for low, gains in zip((300, 1000, 3000), response, strict=True):
        inside, outside = gains[low + 300], torch.cat([gains[: low - 150], gains[low + 750 :]])
        assert inside > 10 * outside.max()
