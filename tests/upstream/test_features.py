"""Acoustic features against the published values, torchaudio's definitions, and what a user relies on."""

import random
from pathlib import Path

import pytest
import torch
from oracle import torchaudio_or_skip

from s3prl.upstream.features import kaldi
from s3prl.upstream.features.kaldi import KaldiFeatures
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.upstream.features.stft import StftFeatures
from s3prl.utility.errors import UserError

GOLDEN = torch.load(Path(__file__).parents[1] / "data" / "baseline" / "golden.pt", weights_only=True)
WAVS = GOLDEN["wavs"]
MEL = {"feat_type": "mel", "log": True, "cmvn": True}
FBANK = {
    "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 40}},
    "delta": {"order": 2, "win_length": 5},
    "cmvn": {"use_cmvn": True},
}


def noise(*lengths, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [0.1 * torch.randn(length, generator=generator, dtype=dtype) for length in lengths]


def random_options(kind, rng):
    options = {
        "window_type": rng.choice(["povey", "hanning", "hamming", "blackman", "rectangular"]),
        "blackman_coeff": rng.choice([0.42, 0.3]),
        "frame_length": rng.choice([10.0, 20.0, 25.0, 40.0]),
        "frame_shift": rng.choice([5.0, 10.0, 12.5, 45.0]),
        "preemphasis_coefficient": rng.choice([0.0, 0.5, 0.97, 1.0]),
        "energy_floor": rng.choice([0.0, 0.1, 1.0]),
    }
    switches = ["snip_edges", "raw_energy", "remove_dc_offset", "round_to_power_of_two", "subtract_mean"]
    if kind != "spectrogram":
        switches += ["use_energy", "htk_compat"]
        options |= {
            "num_mel_bins": rng.choice([23, 40, 64]),
            "low_freq": rng.choice([0.0, 20.0, 80.0]),
            "high_freq": rng.choice([0.0, -200.0, 7600.0]),
            "vtln_warp": rng.choice([1.0, 0.8, 1.2]),
            "vtln_low": rng.choice([100.0, 200.0]),
            "vtln_high": rng.choice([-500.0, 6000.0]),
        }
    if kind == "fbank":
        switches += ["use_log_fbank", "use_power"]
    if kind == "mfcc":
        options |= {"num_ceps": rng.choice([13, 20]), "cepstral_lifter": rng.choice([0.0, 22.0, 10.0])}
    return options | {name: rng.random() < 0.5 for name in switches}


@pytest.mark.parametrize(
    "case", GOLDEN["kaldi"], ids=lambda case: f"{case['function']}-{len(case['kwargs'])}"
)
def test_kaldi_features_equal_the_published_values(case):
    extracter = KaldiFeatures(case["function"], **case["kwargs"])
    for features in (extracter(WAVS)[0][2], extracter(WAVS[2:])[0][0]):
        features = features[: extracter.num_frames(len(WAVS[2]))]
        torch.testing.assert_close(features, case["output"], rtol=0, atol=case["tolerance"])


@pytest.mark.parametrize("kind", ["fbank", "mfcc", "spectrogram"])
def test_every_option_means_what_it_means_in_torchaudio(kind):
    compliance = torchaudio_or_skip().compliance.kaldi
    rng = random.Random(kind)
    wav = noise(3700)[0] + 0.2
    for _ in range(60):
        options = random_options(kind, rng)
        theirs = getattr(compliance, kind)(wav.double()[None], sample_frequency=16000.0, **options)
        ours = getattr(kaldi, kind)(wav.double()[None], **options)
        # mel filters and lifters are float32 on both sides, so even float64 agrees only this far
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=3e-5, msg=lambda text, o=options: f"{o}: {text}"
        )
        rounding = (getattr(compliance, kind)(wav[None], **options) - theirs).abs().max()
        ours = getattr(kaldi, kind)(wav[None], **options)
        assert (ours - theirs).abs().max() < max(1e-4, 20 * rounding), options


@pytest.mark.parametrize("kind", ["fbank", "mfcc", "spectrogram"])
def test_the_paths_for_cpu_gradients_and_gpu_agree(kind):
    rng = random.Random(f"paths of {kind}")
    wavs = noise(5000, 1207, 399, 9001, dtype=torch.float64)
    for _ in range(30):
        extracter = KaldiFeatures(kind, **random_options(kind, rng))
        fast, frames = extracter(wavs)
        with_gradients, _ = extracter([wav.clone().requires_grad_() for wav in wavs])
        torch.testing.assert_close(with_gradients.detach(), fast, rtol=0, atol=1e-9)
        torch.testing.assert_close(extracter._whole_batch(wavs, frames), fast, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "config", [FBANK, {"input": MEL}, {"input": {**MEL, "delta": 2}, "pad": "reflect_each"}]
)
def test_pipelines_agree_between_cpu_and_gpu_paths(config):
    pipeline = features_from_config(config)
    wavs = noise(9000, 2402, 5000, dtype=torch.float64)
    fast, frames = pipeline(wavs)
    with_gradients, _ = pipeline([wav.clone().requires_grad_() for wav in wavs])
    torch.testing.assert_close(with_gradients.detach(), fast, rtol=0, atol=1e-8)
    if isinstance(pipeline, StftFeatures):
        batched = pipeline._whole_batch(wavs, pipeline._spans([len(wav) for wav in wavs]))
    else:
        batched, _ = pipeline._whole_batch(wavs)
    torch.testing.assert_close(batched, fast, rtol=0, atol=1e-8)
    assert frames == [pipeline.num_frames(len(wav)) for wav in wavs]


@pytest.mark.parametrize("config", [FBANK, {"input": {**MEL, "delta": 1}, "pad": "reflect_each"}])
def test_an_utterance_has_the_same_features_alone_and_in_any_batch(config):
    pipeline = features_from_config(config)
    wav, *others = noise(6000, 16000, 900, 6001)
    alone = pipeline([wav])[0][0]
    for batch in ([wav, *others], [*others, wav], [others[1], wav]):
        place = next(index for index, one in enumerate(batch) if one is wav)
        torch.testing.assert_close(pipeline(batch)[0][place, : len(alone)], alone, rtol=0, atol=0)


def test_only_the_last_frames_of_a_shorter_wav_see_the_padding_of_a_public_batch():
    mel = StftFeatures({**MEL, "cmvn": False, "delta": 1}, pad="batch")
    for samples, touched in ((6400, 2), (6439, 2), (6441, 1), (6559, 1)):
        wav = noise(samples)[0]
        alone, batched = mel([wav])[0][0], mel([wav, noise(8000)[0]])[0][0, : 1 + samples // 160]
        differs = (alone - batched).abs() > 1e-6
        statics, deltas = differs[:, :40].any(1), differs[:, 40:].any(1)
        assert statics.nonzero()[0] == len(alone) - touched
        assert deltas.nonzero()[0] == len(alone) - touched - 2


def test_frames_after_an_utterance_are_zero():
    for config in (FBANK, {"input": MEL}):
        features, frames = features_from_config(config)(noise(16000, 5000))
        assert frames[1] < features.size(1)
        assert features[1, frames[1] :].abs().max() == 0


def test_long_audio_in_chunks_equals_one_pass(monkeypatch):
    wav = noise(48000, dtype=torch.float64)
    for config in (FBANK, {"input": MEL}):
        pipeline = features_from_config(config)
        whole = pipeline(wav)[0]
        with monkeypatch.context() as patch:
            patch.setattr("s3prl.upstream.features.frames.FRAMES_PER_CORE", 7)
            torch.testing.assert_close(pipeline(wav)[0], whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "config",
    [
        {**FBANK, "kaldi": {"feat_type": "mfcc", "mfcc": {"use_energy": True, "snip_edges": False}}},
        {**FBANK, "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 8, "use_power": False}}},
        {"input": {"feat_type": "mfcc", "delta": 1, "cmvn": True}, "n_mfcc": 4},
    ],
)
def test_gradients_are_those_of_the_definition(config):
    pipeline = features_from_config(config)
    wav = noise(1300, dtype=torch.float64)[0].requires_grad_()
    direction = noise(1300, seed=1, dtype=torch.float64)[0]

    def loss(samples):
        return pipeline([samples])[0].square().mean() + pipeline([samples])[0][0, 0].sum()

    (gradient,) = torch.autograd.grad(loss(wav), wav)
    with torch.no_grad():
        step = 1e-5 * direction
        measured = (loss(wav + step) - loss(wav - step)) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), measured, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [FBANK, {"input": MEL}])
def test_digital_silence_gives_finite_features_and_gradients(config):
    pipeline = features_from_config(config)
    wav = torch.zeros(4000, requires_grad=True)
    features, _ = pipeline([wav])
    features.sum().backward()
    assert features.isfinite().all()
    assert wav.grad.isfinite().all()


def test_one_frame_is_normalised_to_zero_instead_of_nan():
    features, frames = features_from_config(FBANK)(noise(400))
    assert frames == [1]
    assert features.abs().max() == 0


def test_gradients_work_after_a_first_use_in_inference_mode():
    pipeline = features_from_config(FBANK)
    with torch.inference_mode():
        pipeline(noise(4000))
    wav = noise(4000)[0].requires_grad_()
    pipeline([wav])[0].square().sum().backward()
    assert wav.grad.abs().sum() > 0


def test_half_precision_wavs_and_autocast_do_not_coarsen_features():
    pipeline = features_from_config(FBANK)
    wav = noise(8000)[0].bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, _ = pipeline([wav])
        with_gradients, _ = pipeline([wav.float().requires_grad_()])
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, with_gradients.detach(), rtol=0, atol=1e-3)


def test_dither_changes_features_and_follows_the_seed():
    extracter = KaldiFeatures("fbank", dither=0.01)
    wavs = noise(4000)
    torch.manual_seed(3)
    first, _ = extracter(wavs)
    torch.manual_seed(3)
    again, _ = extracter(wavs)
    assert torch.equal(first, again)
    assert not torch.allclose(first, KaldiFeatures("fbank")(wavs)[0], atol=1e-3)


def test_audio_shorter_than_a_window_or_the_minimum_has_no_frames():
    assert KaldiFeatures("fbank")(noise(399))[0].shape == (1, 0, 23)
    assert KaldiFeatures("fbank", snip_edges=False).num_frames(399) == 0
    assert KaldiFeatures("fbank", min_duration=1.0).num_frames(15999) == 0
    features, frames = KaldiFeatures("mfcc")(noise(399, 800))
    assert frames == [0, 3]
    assert features[0].abs().max() == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**FBANK, "kaldi": {"feat_type": "fbnak"}}, "fbank"),
        ({**FBANK, "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bin": 3}}}, "num_mel_bins"),
        ({**FBANK, "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": "many"}}}, "a whole number"),
        ({**FBANK, "kaldi": {"feat_type": "fbank", "fbank": {"window_type": "haning"}}}, "hanning"),
        ({**FBANK, "kaldi": {"feat_type": "fbank", "fbank": {"low_freq": 9000.0}}}, "high_freq"),
        ({**FBANK, "kaldi": {"feat_type": "mfcc", "mfcc": {"num_ceps": 40}}}, "num_mel_bins"),
        ({**FBANK, "kaldi": {"fbank": {"vtln_warp": 1.2, "vtln_low": 10.0}}}, "vtln_low"),
        ({**FBANK, "delta": {"order": 2, "win_length": 4}}, "odd"),
        ({**FBANK, "delta": {"ordr": 2}}, "order"),
        ({**FBANK, "cmvn": {}}, "use_cmvn"),
        ({**FBANK, "cmnv": {}}, "cmvn"),
        ({"input": MEL, "hop_m": 10}, "hop_ms"),
        ({"input": {**MEL, "logg": True}}, "log"),
        ({"input": {"log": True}}, "needs the field 'feat_type'"),
        ({"input": {"feat_type": "mfcc", "log": True}}, "log must be false"),
        ({"input": MEL, "win_ms": 50}, "n_freq"),
        ({"input": MEL, "pad": "reflect"}, "reflect_each"),
        ({"win_ms": 25}, "neither"),
        ({"input": "mel"}, "input must be a section with fields"),
    ],
)
def test_a_wrong_config_is_refused_with_the_name_of_the_right_field(config, words):
    with pytest.raises(UserError, match=r"my\.yaml") as caught:
        features_from_config(config, "my.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize("bad", [torch.zeros(1, 800), torch.zeros(800, dtype=torch.int16), [0.0] * 800])
def test_input_that_is_not_a_float_vector_is_named_by_its_place(bad):
    with pytest.raises(UserError, match="Utterance 1 "):
        KaldiFeatures("fbank")([torch.zeros(800), bad])


def test_the_torchaudio_like_functions_choose_a_channel():
    left, right = noise(2000, 2000)
    stereo = torch.stack([left, right])
    assert torch.equal(kaldi.fbank(stereo, channel=1), kaldi.fbank(right[None]))
    with pytest.raises(UserError, match="channel 2"):
        kaldi.fbank(stereo, channel=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", [FBANK, {"input": MEL}, {"input": MEL, "pad": "reflect_each"}])
def test_a_gpu_gives_the_features_of_the_cpu(config):
    pipeline = features_from_config(config)
    cpu, frames = pipeline(WAVS)
    gpu, gpu_frames = pipeline([wav.cuda() for wav in WAVS])
    assert frames == gpu_frames
    torch.testing.assert_close(gpu.cpu(), cpu, rtol=0, atol=1e-3)
