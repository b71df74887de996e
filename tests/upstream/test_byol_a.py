"""BYOL-A: published values, windows, and checkpoints of every size."""

import golden
import pytest
import torch

from s3prl.upstream.byol_a import expert as byol_a
from s3prl.upstream.byol_a import hubconf
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility.errors import UserError

GOLDEN = golden.load("byol_a")
CKPT = str(GOLDEN.folder / "ckpt.pth")


def build(ckpt=CKPT, **options):
    return hubconf.byol_a_local(ckpt=str(ckpt), **options)


@torch.no_grad()
def vectors(expert, wavs):
    return expert.eval()(wavs)["last_hidden_state"]


def test_vectors_equal_the_published_values_alone_and_in_a_batch():
    expert = build(feature_d=32)
    assert golden.check(expert, GOLDEN) < 1e-5
    golden.check_invariance(expert, GOLDEN, 1e-5)
    golden.check_contract(expert, GOLDEN.wavs)


@pytest.mark.parametrize("name", ["byol_a_2048", "byol_a_1024", "byol_a_512", "byol_a_url", "byol_a_custom"])
def test_the_size_of_the_vectors_comes_from_the_file(name):
    expert = getattr(hubconf, name)(ckpt=CKPT, model_config=None, refresh=False)
    assert expert.output_dim == vectors(expert, GOLDEN.wavs).size(-1) == 32


def test_another_size_than_that_of_the_file_is_refused():
    with pytest.raises(UserError, match=r"feature_d is 2048, but the vectors of .*ckpt\.pth have 32"):
        build(feature_d=2048)


def test_an_encoder_that_is_part_of_a_larger_checkpoint_is_found(tmp_path):
    weights = torch.load(CKPT, weights_only=True)
    whole = {f"learner.online_encoder.net.{name}": value for name, value in weights.items()}
    whole["learner.online_predictor.0.weight"] = torch.zeros(2)
    torch.save({"state_dict": whole, "epoch": 7}, tmp_path / "whole.ckpt")
    golden.check(build(tmp_path / "whole.ckpt"), GOLDEN)


def test_weights_of_another_model_are_named_with_the_file(tmp_path):
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth holds no BYOL-A encoder"):
        build(tmp_path / "other.pth")
    weights = torch.load(CKPT, weights_only=True)
    del weights["features.4.bias"]
    torch.save({**weights, "fc.7.bias": torch.zeros(2)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"odd\.pth.*lacks features\.4\.bias; it has unknown fc\.7\.bias"):
        build(tmp_path / "odd.pth")


def test_overlapping_windows_are_those_of_the_wav_cut_by_hand():
    expert = build(window_secs=0.5, stride_secs=0.25)
    assert expert.get_downsample_rates("hidden_states") == 4000
    assert [expert.num_frames(samples) for samples in (1, 4000, 4001, 20000)] == [1, 1, 2, 5]
    wav = GOLDEN.wavs[0]
    together = vectors(expert, [wav[:3000], wav])
    assert together.shape == (2, 5, 32) and together[0, 1:].abs().sum() == 0
    padded = torch.nn.functional.pad(wav, (0, 8000))
    for window, vector in enumerate(together[1]):
        cut = padded[4000 * window : 4000 * window + 8000]
        torch.testing.assert_close(vectors(expert, [cut])[0, 0], vector, rtol=0, atol=1e-5)
    features = Featurizer(expert)([wav[:3000], wav], {"hidden_states": [together]})
    assert [len(one) for one in features] == [1, 5]


def test_long_batches_are_worked_through_in_parts(monkeypatch):
    whole = vectors(build(), GOLDEN.wavs)
    monkeypatch.setattr(byol_a, "WINDOWS_AT_ONCE", 1)
    torch.testing.assert_close(vectors(build(), GOLDEN.wavs), whole, rtol=0, atol=1e-5)


def test_training_reaches_the_waveform_and_only_sees_real_windows():
    expert = build().train()
    wavs = [wav.clone().requires_grad_() for wav in GOLDEN.wavs]
    expert(wavs)["last_hidden_state"].square().sum().backward()
    assert all(wav.grad.isfinite().all() and wav.grad.abs().max() > 0 for wav in wavs)
    again = build().train()
    again([*GOLDEN.wavs[1:], GOLDEN.wavs[0][:16000], GOLDEN.wavs[0][16000:]])
    torch.testing.assert_close(again.model.features[1].running_var, expert.model.features[1].running_var)


def test_what_cannot_work_is_refused():
    with pytest.raises(UserError, match="Utterance 1 of a batch of 2 has 0 samples"):
        build()([torch.zeros(10), torch.zeros(0)])
    with pytest.raises(UserError, match=r"window_secs must be at least 0\.07"):
        build(window_secs=0.05)
    with pytest.raises(UserError, match="stride_secs must be above 0"):
        build(stride_secs=0)
