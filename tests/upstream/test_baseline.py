"""The acoustic-feature upstreams as tasks and hub users meet them."""

import json
from pathlib import Path

import pytest
import torch

from s3prl.upstream.baseline import hubconf
from s3prl.upstream.interfaces import Featurizer
from s3prl.upstream.log_stft import hubconf as stft_hubconf
from s3prl.utility.errors import UserError

DATA = Path(__file__).parents[1] / "data" / "baseline"
ORIGINAL = Path(__file__).parents[3] / "shared" / "golden" / "baseline"
GOLDEN = torch.load(DATA / "golden.pt", weights_only=True)
WAVS = GOLDEN["wavs"]
NAMES = ["fbank", "fbank_no_cmvn", "mfcc", "spectrogram", "mel", "linear"]


def build(name, folder=DATA, **options):
    if name in NAMES:
        return getattr(hubconf, name)(**options)
    return hubconf.baseline_local(model_config=str(folder / f"{name}.yaml"), **options)


@pytest.mark.parametrize("name", GOLDEN["features"])
def test_features_equal_the_published_values(name):
    expert, golden = build(name, public_batch=True), GOLDEN["features"][name]
    result = expert(WAVS)
    (features,) = result["hidden_states"]
    assert result["last_hidden_state"] is features
    assert expert.get_downsample_rates("hidden_states") == golden["downsample_rate"]
    assert [expert.num_frames(len(wav)) for wav in WAVS] == golden["alone_frames"]
    valid, tolerance = golden["alone_frames"][2], golden["tolerance"]
    torch.testing.assert_close(features[2, :valid], golden["batch"], rtol=0, atol=tolerance)
    alone = expert(WAVS[2:])["hidden_states"][0][0]
    torch.testing.assert_close(alone, golden.get("alone", golden["batch"]), rtol=0, atol=tolerance)


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="the complete fixtures are not beside the repository")
@pytest.mark.parametrize("name", GOLDEN["features"])
def test_features_equal_the_complete_fixtures(name):
    expected = torch.load(ORIGINAL / "expected.pt", weights_only=True)[name]
    tolerance = json.loads((ORIGINAL / "meta.json").read_text())["features"][name]["tolerance"]
    expert = build(name, ORIGINAL, public_batch=True)
    features = expert(WAVS)["hidden_states"][0]
    for ours, theirs, valid in zip(
        features, expected["output"]["hidden_states"][0], expected["alone_frames"], strict=True
    ):
        torch.testing.assert_close(ours[:valid], theirs[:valid], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", GOLDEN["features"])
def test_the_order_of_a_batch_does_not_change_features(name):
    expert = build(name)
    forward = expert(WAVS)["last_hidden_state"]
    backward = expert(WAVS[::-1])["last_hidden_state"].flip(0)
    for one, other, wav in zip(forward, backward, WAVS, strict=True):
        valid = expert.num_frames(len(wav))
        torch.testing.assert_close(one[:valid], other[:valid], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("baseline", 240),
        ("fbank", 240),
        ("fbank_no_cmvn", 240),
        ("mfcc", 39),
        ("spectrogram", 257),
        ("mel", 80),
        ("linear", 201),
    ],
)
def test_every_name_gives_a_task_unpadded_features_of_the_documented_size(name, dim):
    expert = getattr(hubconf, name)()
    featurizer = Featurizer(expert)
    features = featurizer(WAVS, expert(WAVS))
    assert (featurizer.output_dim, featurizer.downsample_rate) == (dim, 160)
    assert [len(one) for one in features] == [expert.num_frames(len(wav)) for wav in WAVS]


@pytest.mark.parametrize("name", GOLDEN["features"])
def test_in_a_batch_an_utterance_has_the_values_that_it_has_alone(name):
    expert, golden = build(name), GOLDEN["features"][name]
    assert expert.batch_invariant
    features = expert(WAVS)["last_hidden_state"]
    published = golden.get("alone", golden["batch"])
    ours = features[2, : len(published)]
    torch.testing.assert_close(ours, published, rtol=0, atol=golden["tolerance"])
    for index, wav in enumerate(WAVS):
        alone = expert([wav])["last_hidden_state"][0]
        torch.testing.assert_close(features[index, : len(alone)], alone, rtol=0, atol=1e-6)


def test_the_public_batch_is_a_field_of_a_config_too(tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text("pad: batch\ninput: {feat_type: mel}\n")
    expert = hubconf.baseline_local(model_config=str(config))
    assert not expert.batch_invariant
    config.write_text("input: {feat_type: mel}\n")
    other = hubconf.baseline_local(model_config=str(config), public_batch=True)
    assert torch.equal(expert(WAVS)["last_hidden_state"], other(WAVS)["last_hidden_state"])
    config.write_text("pad: reflect_each\ninput: {feat_type: mel}\n")
    chosen = hubconf.baseline_local(model_config=str(config), public_batch=True)
    assert chosen.batch_invariant, "what a file says is meant"


@pytest.mark.parametrize("keyword", ["model_config", "config", "ckpt"])
def test_a_config_of_the_repository_is_found_from_any_folder(keyword, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expert = hubconf.baseline_local(**{keyword: "upstream/baseline/mfcc.yaml"})
    assert expert.output_dim == 39


def test_a_number_like_1e_3_in_a_config_is_a_number(tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(
        "kaldi: {feat_type: fbank, fbank: {num_mel_bins: 8, energy_floor: 1e-3}}\n"
        "delta: {order: 0}\ncmvn: {use_cmvn: false}\n"
    )
    assert hubconf.baseline_local(config=str(config)).output_dim == 8


def test_a_missing_or_misspelt_config_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="needs a config file"):
        hubconf.baseline_local()
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        hubconf.baseline_local(model_config=str(tmp_path / "nowhere.yaml"))
    config = tmp_path / "own.yaml"
    config.write_text("kaldi: {feat_type: fbank, fbank: {frame_lenght: 25.0}}\ncmvn: {use_cmvn: false}\n")
    with pytest.raises(UserError, match="frame_length"):
        hubconf.baseline_local(model_config=str(config))


@pytest.mark.parametrize(("name", "samples", "needed"), [("fbank", 399, 400), ("mel", 200, 201)])
def test_audio_too_short_for_a_frame_says_how_much_is_needed(name, samples, needed):
    expert = getattr(hubconf, name)()
    with pytest.raises(UserError, match=rf"{samples} samples.*at least {needed}"):
        expert([torch.zeros(samples)])


def test_one_short_utterance_is_named_by_its_place():
    with pytest.raises(UserError, match="Utterance 1 of a batch of 2"):
        hubconf.fbank()([WAVS[0], WAVS[0][:100]])
    with pytest.raises(UserError, match="Utterance 1"):
        hubconf.mel()([WAVS[0], WAVS[0][:0]])


@pytest.mark.parametrize("name", ["log_stft", "stft_mag"])
def test_stft_magnitudes_are_those_of_each_wav_alone(name):
    expert = getattr(stft_hubconf, name)()
    features = expert(WAVS)["hidden_states"][0]
    assert expert.get_downsample_rates("hidden_states") == 320
    for wav, ours in zip(WAVS, features, strict=True):
        window = torch.hann_window(512)
        theirs = torch.stft(wav, 512, 320, 512, window, pad_mode="reflect", return_complex=True).abs().T
        if name == "log_stft":
            theirs = theirs.clamp(min=1e-8).log()
        assert len(theirs) == expert.num_frames(len(wav))
        torch.testing.assert_close(ours[: len(theirs)], theirs, rtol=0, atol=1e-3)
        assert ours[len(theirs) :].abs().sum() == 0
    torch.testing.assert_close(expert._magnitudes(WAVS), features, rtol=0, atol=1e-5)


def test_an_stft_without_centre_keeps_only_frames_that_fit(tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(
        "spectrogram: {n_fft: 400, hop_length: 160, win_length: 400, center: false, log: false}\n"
    )
    expert = stft_hubconf.stft_mag(model_config=str(config))
    assert expert(WAVS)["last_hidden_state"].shape == (3, 1 + (6411 - 400) // 160, 201)
    with pytest.raises(UserError, match="399 samples"):
        expert([torch.zeros(399)])
    config.write_text("spectrogram: {hop_lenght: 160}\n")
    with pytest.raises(UserError, match="hop_length"):
        stft_hubconf.stft_mag(model_config=str(config))
