"""DeCoAR and DeCoAR 2.0: published values, sizes from weights, files that do not fit."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.upstream.decoar.model import Decoar
from s3prl.utility.errors import UserError

OPTIONS = {"decoar": {}, "decoar2": {"encoder_attention_heads": 4}}
FIXTURES = list(OPTIONS)


def path_of(data):
    return str(data.folder / data.files[0])


def build(fixture):
    data = golden.load(fixture)
    return hub.get(f"{fixture}_local")(ckpt=path_of(data), **OPTIONS[fixture]), data


@pytest.mark.parametrize("fixture", FIXTURES)
def test_hidden_states_equal_the_published_values(fixture):
    golden.check(*build(fixture))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_an_utterance_is_the_same_in_any_batch(fixture):
    golden.check_invariance(*build(fixture))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_it_is_deterministic_trainable_and_survives_saving(fixture):
    expert, data = build(fixture)
    golden.check_contract(expert, data.wavs)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_name_takes_a_local_file_and_what_the_runner_passes(fixture):
    data = golden.load(fixture)
    for name in (fixture, f"{fixture}_custom", f"{fixture}_url"):
        entry = hub.get(name)
        expert = entry(ckpt=path_of(data), model_config=None, refresh=False, **OPTIONS[fixture])
        assert expert(data.wavs)["last_hidden_state"].size(0) == 3


def test_either_stack_of_decoar_sees_one_direction_of_time_only():
    model = Decoar(feature_dim=5, projection_size=4, hidden_size=3, num_layers=2)
    features = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (states,) = model(features, [9, 7])
    for half, seen in ((states[1, 4, :3], range(5)), (states[1, 4, 3:], range(4, 7))):
        (gradient,) = torch.autograd.grad(half.sum(), features, retain_graph=True)
        assert gradient[1].abs().sum(-1).nonzero().squeeze(1).tolist() == list(seen)
    assert states[1, 7:].abs().sum() == 0


@pytest.mark.parametrize(("samples", "frames"), [(399, 0), (400, 1), (560, 1), (720, 2), (16000, 49)])
def test_decoar2_counts_every_second_frame(samples, frames):
    expert, _ = build("decoar2")
    assert expert.num_frames(samples) == frames
    if frames:
        assert expert([torch.randn(samples)])["last_hidden_state"].size(1) == frames


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_checkpoint_that_does_not_fit_says_what_is_wrong(fixture, tmp_path):
    local = hub.get(f"{fixture}_local")
    with pytest.raises(UserError, match="-k FILE"):
        local()
    state = torch.load(path_of(golden.load(fixture)), weights_only=True)
    file = str(tmp_path / "changed.pt")
    torch.save({"model": {**state["model"], "decoder.weight": torch.zeros(1)}}, file)
    local(ckpt=file, **OPTIONS[fixture])  # published files hold more than the encoder
    state["model"].pop("post_extract_proj.bias")
    torch.save(state, file)
    with pytest.raises(UserError, match=r"changed\.pt .*lacks post_extract_proj\.bias"):
        local(ckpt=file, **OPTIONS[fixture])
    torch.save({"model": {"other": torch.zeros(1)}}, file)
    with pytest.raises(UserError, match=r"changed\.pt lacks the weight post_extract_proj\.weight"):
        local(ckpt=file)


@torch.no_grad()
def test_decoar2_computes_no_padding_on_a_cpu_and_has_the_same_values():
    model = build("decoar2")[0].model.eval()
    frames, shapes = [90, 20, 140, 139], []
    features = torch.randn(4, 140, model.post_extract_proj.in_features)
    whole = model._encoded(features, frames)
    model.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[:2]))
    ours = model(features, frames)
    assert shapes == [(2, 140), (1, 92), (1, 22)]
    for one, other in zip(ours, whole, strict=True):
        assert one.shape == other.shape
        for row, valid in enumerate(frames):
            torch.testing.assert_close(one[row, : valid + 2], other[row, : valid + 2], rtol=0, atol=1e-5)
    model.train()(features, frames)
    assert shapes[-1] == (4, 140)


def test_heads_that_do_not_divide_the_size_of_decoar2_are_a_clear_error():
    with pytest.raises(UserError, match="encoder of 32 dimensions, which 12 attention heads"):
        hub.decoar2_local(ckpt=path_of(golden.load("decoar2")))
