"""SpecAugment on features: where masks lie, what the time warp is, exact resume, gradients."""

import pytest
import torch
import torch.nn.functional as F

from s3prl.downstream.specaug import SpecAug
from s3prl.utility.errors import UserError

MASKS_ONLY = {"apply_time_warp": False}
WARP_ONLY = {"apply_freq_mask": False, "apply_time_mask": False}
ASR = {
    "apply_time_warp": True,
    "time_warp_window": 5,
    "apply_freq_mask": True,
    "freq_mask_width_range": [0, 50],
    "num_freq_mask": 4,
    "apply_time_mask": True,
    "time_mask_width_range": [0, 40],
    "num_time_mask": 2,
}


def ones(*lengths, dim=80):
    return [torch.ones(length, dim) for length in lengths]


def masked_frames(feature):
    return (feature == 0).all(1)


def masked_dims(feature):
    return (feature == 0).all(0)


def runs(mask):
    """How many separate stretches of True there are."""
    mask = mask.int()
    return int((mask.diff() == 1).sum() + mask[0])


def test_the_settings_of_superb_asr_keep_lengths_type_and_input():
    torch.manual_seed(0)
    features = [torch.randn(length, 80) for length in (300, 7, 120, 1)]
    kept = [feature.clone() for feature in features]
    augmented = SpecAug.from_config(ASR)(features)
    assert [item.shape for item in augmented] == [feature.shape for feature in features]
    assert all(torch.equal(a, b) for a, b in zip(features, kept, strict=True))
    assert not torch.equal(augmented[0], features[0])


def test_frequency_masks_cover_whole_bands_and_differ_between_utterances():
    torch.manual_seed(0)
    spec_aug = SpecAug(freq_mask_width_range=(5, 10), num_freq_mask=2, apply_time_mask=False, **MASKS_ONLY)
    bands = []
    for item in spec_aug(ones(*[30] * 50)):
        band = masked_dims(item)
        assert torch.equal(item == 0, band.expand(30, -1))
        assert 5 <= band.sum() <= 18 and runs(band) <= 2
        bands.append(band)
    assert len({tuple(band.tolist()) for band in bands}) > 40


def test_time_masks_lie_within_the_true_length_of_every_utterance():
    """In the 2021 toolkit, masks of short utterances often fell into the padding."""
    torch.manual_seed(0)
    spec_aug = SpecAug(time_mask_width_range=(5, 10), num_time_mask=1, apply_freq_mask=False, **MASKS_ONLY)
    for _ in range(20):
        for item in spec_aug(ones(1000, 40, 25)):
            frames = masked_frames(item)
            assert torch.equal(item == 0, frames[:, None].expand(-1, 80))
            assert 5 <= frames.sum() < 10 and runs(frames) == 1


def test_mask_widths_and_places_are_drawn_evenly():
    torch.manual_seed(0)
    spec_aug = SpecAug(time_mask_width_range=4, num_time_mask=1, apply_freq_mask=False, **MASKS_ONLY)
    masks = torch.stack([masked_frames(item) for item in spec_aug(ones(*[12] * 8000, dim=1))])
    widths = masks.sum(1).bincount(minlength=4) / 8000
    assert widths.tolist() == pytest.approx([0.25] * 4, abs=0.02)
    starts = masks[masks.sum(1) == 3].int().argmax(1).bincount(minlength=9) / (masks.sum(1) == 3).sum()
    assert starts.tolist() == pytest.approx([1 / 9] * 9, abs=0.03)


def test_adaptive_masks_grow_with_the_utterance():
    torch.manual_seed(0)
    spec_aug = SpecAug(adaptive=True, apply_freq_mask=False, max_n_time_masks=20, **MASKS_ONLY)
    seen = dict.fromkeys((20, 100, 400), 0)
    for _ in range(30):
        for item in spec_aug(ones(*seen)):
            frames = masked_frames(item)
            most = min(20, int(0.04 * len(item)))
            assert runs(frames) <= most and frames.sum() <= most * max(0, int(0.04 * len(item)) - 1)
            seen[len(item)] += int(frames.sum())
    assert seen[20] == 0 < seen[100] < seen[400]


def test_masks_can_be_filled_with_the_mean_of_the_utterance():
    torch.manual_seed(0)
    features = [torch.full((50, 8), 3.0), torch.arange(400.0).view(50, 8)]
    spec_aug = SpecAug(replace_with_zero=False, freq_mask_width_range=(2, 3), **MASKS_ONLY)
    augmented = spec_aug(features)
    torch.testing.assert_close(augmented[0], features[0])
    changed = augmented[1] != features[1]
    assert changed.any()
    torch.testing.assert_close(augmented[1][changed], features[1].mean().expand(int(changed.sum())))


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_the_time_warp_is_the_resizing_of_two_parts(mode):
    torch.manual_seed(0)
    features = [torch.randn(length, 6) for length in (60, 45, 200)]
    warped = SpecAug(time_warp_mode=mode, time_warp_window=5, **WARP_ONLY)(features)

    def resized(part, frames):
        return F.interpolate(part[None, None], (frames, 6), mode=mode, align_corners=False)[0, 0]

    for feature, result in zip(features, warped, strict=True):
        frames = len(feature)
        errors = {
            (centre, moved): (
                torch.cat([resized(feature[:centre], moved), resized(feature[centre:], frames - moved)])
                - result
            )
            .abs()
            .max()
            for centre in range(5, frames - 5)
            for moved in range(centre - 4, centre + 6)
        }
        assert min(errors.values()) < 1e-4
        assert sum(error < 1e-4 for error in errors.values()) < frames  # not every pair explains it


def test_utterances_of_at_most_two_windows_are_not_warped():
    torch.manual_seed(0)
    features = [torch.randn(10, 4), torch.randn(3, 4), torch.randn(100, 4)]
    warped = SpecAug(time_warp_window=5, **WARP_ONLY)(features)
    assert torch.equal(warped[0], features[0]) and torch.equal(warped[1], features[1])
    assert not torch.equal(warped[2], features[2])


def test_gradients_flow_to_what_is_not_masked():
    torch.manual_seed(0)
    feature = torch.randn(60, 20, dtype=torch.float64, requires_grad=True)
    augmented = SpecAug(freq_mask_width_range=(3, 4), **MASKS_ONLY)([feature])[0]
    augmented.sum().backward()
    assert torch.equal(feature.grad == 0, augmented == 0)

    def seeded(value):
        torch.manual_seed(1)
        return SpecAug(freq_mask_width_range=(3, 4), time_mask_width_range=5)([value])[0]

    assert torch.autograd.gradcheck(seeded, (torch.randn(20, 5, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("replace_with_zero", [True, False])
def test_every_floating_type_keeps_its_type(dtype, replace_with_zero):
    torch.manual_seed(0)
    feature = torch.randn(80, 40, dtype=torch.float64)
    plain = SpecAug(replace_with_zero=replace_with_zero)
    torch.manual_seed(1)
    expected = plain([feature])[0]
    torch.manual_seed(1)
    result = plain([feature.to(dtype)])[0]
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), expected, atol=0.03, rtol=0.03)


def test_the_same_state_of_torch_gives_the_same_masks():
    features = [torch.randn(200, 80), torch.randn(150, 80)]
    spec_aug = SpecAug.from_config(ASR)
    spec_aug(features)
    state = torch.get_rng_state()
    first = spec_aug(features)
    torch.set_rng_state(state)
    assert all(torch.equal(a, b) for a, b in zip(first, spec_aug(features), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("replace_with_zero", [True, False])
def test_a_gpu_gets_the_masks_of_the_cpu(replace_with_zero):
    features = [torch.randn(200, 80), torch.randn(15, 80)]
    spec_aug = SpecAug(replace_with_zero=replace_with_zero)
    torch.manual_seed(0)
    expected = spec_aug(features)
    torch.manual_seed(0)
    for item, reference in zip(spec_aug([feature.cuda() for feature in features]), expected, strict=True):
        torch.testing.assert_close(item.cpu(), reference, atol=1e-5, rtol=1e-5)


def test_eval_mode_leaves_features_alone():
    features = ones(50)
    assert SpecAug().eval()(features)[0] is features[0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_freq_masks": 2}, "Did you mean 'num_freq_mask'"),
        ({"apply_time_warp": False, "apply_freq_mask": False, "apply_time_mask": False}, "all off"),
        ({"time_mask_width_range": [40, 0]}, "specaug.time_mask_width_range"),
        ({"freq_mask_width_range": [0, 10, 20]}, "specaug.freq_mask_width_range"),
        ({"time_warp_mode": "cubic"}, "Valid modes: bicubic, bilinear"),
        ({"time_warp_window": 0}, "specaug.time_warp_window is 0"),
        ({"time_warp_window": "five"}, "specaug.time_warp_window must be a whole number, not 'five'"),
        ({"adaptive": True, "max_n_time_masks": 0}, "specaug.max_n_time_masks is 0"),
    ],
)
def test_a_wrong_config_is_reported_with_the_field(config, message):
    with pytest.raises(UserError, match=message):
        SpecAug.from_config(config)
