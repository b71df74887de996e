"""`from s3prl.nn import S3PRLUpstream, Featurizer`: shapes, lengths and values of the public one."""

import copy
import importlib.util
import pickle
import sys
import types

import pytest
import torch
from conftest import ROOT
from public_package import public_package_or_skip

from s3prl.nn import Featurizer, S3PRLUpstream
from s3prl.utility.errors import UserError

TERA = {"name": "tera_local", "path_or_url": str(ROOT / "tests/data/tera/ckpt.ckpt")}
PUBLIC = {"extra_conf": {"public_batch": True}}  # values that depend on the batch, as the public package's do


def waves():
    """Three waves of noise in a padded batch [3, 12000], and their lengths."""
    count = torch.arange(3 * 12000, dtype=torch.int64)
    padded = ((count * count * 7919 + count * 104729) % 65536 / 32768 - 1).float().view(3, 12000) * 0.1
    lengths = torch.LongTensor([12000, 8000, 3001])
    for wave, length in zip(padded, lengths, strict=True):
        wave[length:] = 0
    return padded, lengths


# What the public package 0.4.18 returns for `waves()`: frames 0 and 74 of the longest, 49 of the second, and
# the mean of absolute values.
PUBLISHED = {
    "fbank": ([0.366416, 0.132174], [1.278927, 1.489595], [0.0, 0.0], 0.4882),
    "mel": ([0.823625, 0.823625], [-0.527334, -0.527334], [0.792666, 0.792666], 0.5031),
    "tera": ([-0.772115, -1.866563], [-0.443309, -0.658612], [-1.156320, -1.093034], 0.6520),
}


@pytest.mark.parametrize(("name", "request_", "layers", "dim"), [
    ("fbank", {"name": "fbank"}, 1, 240), ("mel", {"name": "mel", **PUBLIC}, 1, 80),
    ("tera", {**TERA, **PUBLIC}, 4, 36),
])  # fmt: skip
def test_a_padded_batch_gives_the_numbers_of_the_public_package(name, request_, layers, dim):
    upstream = S3PRLUpstream(**request_).eval()
    padded, lengths = waves()
    with torch.no_grad():
        hidden, valid = upstream(padded.unsqueeze(-1), lengths)
        featurizer = Featurizer(upstream)
        features, frames = featurizer(hidden, valid)
    assert (upstream.num_layers, upstream.hidden_sizes, upstream.downsample_rates) == (
        layers, [dim] * layers, [160] * layers
    )  # fmt: skip
    assert [layer.shape for layer in hidden] == [(3, 75, dim)] * layers
    assert all(one.tolist() == [75, 50, 19] for one in [*valid, frames])
    assert (featurizer.output_size, featurizer.downsample_rate) == (dim, 160)
    found = (features[0, 0, :2], features[0, 74, :2], features[1, 49, :2], features.abs().mean())
    for value, expected in zip(found, PUBLISHED[name], strict=True):
        torch.testing.assert_close(value, torch.tensor(expected), rtol=1e-3, atol=1e-3)


def test_waves_of_less_than_50_ms_get_frames_by_their_length():
    upstream = S3PRLUpstream("fbank").eval()
    for longest, frames in ((790, 5), (12000, 75)):
        hidden, valid = upstream(waves()[0][:2, :longest], torch.LongTensor([longest, 150]))
        assert hidden[0].shape == (2, frames, 240) and valid[0].tolist() == [frames, 1]


def test_espnet_takes_one_layer_or_the_last_or_a_weighting():
    upstream = S3PRLUpstream(**TERA, normalize=True)
    assert "tera_local" in upstream.available_names()
    assert "tera_local" not in S3PRLUpstream.available_names(only_registered_ckpt=True)
    upstream.eval()
    hidden, valid = upstream(*waves())
    assert hidden[2].mean(-1).abs().max() < 1e-5  # normalised
    last, _ = Featurizer(upstream)(hidden[-1:], valid[-1:])
    assert torch.equal(last, hidden[-1])
    one, _ = Featurizer(upstream, layer_selections=[1])(hidden, valid)
    torch.testing.assert_close(one, hidden[1])
    featurizer = Featurizer(upstream, layer_selections=[-1, 0])
    assert featurizer.weights.shape == (2,)
    mixed, frames = featurizer(hidden, valid)
    torch.testing.assert_close(mixed, (hidden[0] + hidden[3]) / 2)
    mixed.sum().backward()
    assert featurizer.weights.grad is not None and frames.tolist() == [75, 50, 19]
    pretrained = copy.deepcopy(upstream.state_dict())
    pickle.loads(pickle.dumps(upstream)).load_state_dict(pretrained)
    sys.modules["s3prl"].util.download.set_dir  # noqa: B018  ESPnet's cache folder


def test_randomized_weights_are_others_and_the_model_still_runs():
    torch.manual_seed(0)
    trained, random = (S3PRLUpstream(**TERA, randomize=one).eval() for one in (False, True))
    names = [name for name, weight in trained.named_parameters() if weight.dim() > 1]
    weights = dict(random.named_parameters())
    assert not any(torch.equal(weights[name], trained.get_parameter(name)) for name in names)
    assert random(*waves())[0][-1].isfinite().all()


def test_mistakes_are_told():
    with pytest.raises(UserError, match="Did you mean 'fbank'"):
        S3PRLUpstream("fbnak")
    upstream = S3PRLUpstream(**TERA)
    with pytest.raises(UserError, match="numbered 0 to 3"):
        Featurizer(upstream, layer_selections=[4])
    upstream.hidden_sizes[1] = 7
    with pytest.raises(UserError, match="differ"):
        Featurizer(upstream)


@pytest.fixture
def public(monkeypatch):
    """The public package's module `nn/upstream.py`, on our models."""
    path = public_package_or_skip() / "nn" / "upstream.py"
    stand_in = types.ModuleType("s3prl.util.pseudo_data")  # the real one needs torchaudio's compiled part
    stand_in.get_pseudo_wavs = lambda: [torch.randn(16000), torch.randn(20000)]
    monkeypatch.setitem(sys.modules, "s3prl.util.pseudo_data", stand_in)
    spec = importlib.util.spec_from_file_location("public_nn_upstream", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lengths", [(12000, 8000, 3001), (790, 640, 641), (8161, 8160, 8159)])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("request_", [{"name": "fbank"}, {"name": "log_stft"}, TERA])
def test_the_public_classes_on_the_same_model_agree(public, request_, normalize, lengths):
    theirs, ours = (
        package.S3PRLUpstream(**request_, normalize=normalize).eval()
        for package in (public, sys.modules["s3prl.nn"])
    )
    longest, lengths = max(lengths), torch.LongTensor(lengths)
    batch = waves()[0][:, :longest]
    expected, found = theirs(batch, lengths), ours(batch, lengths)
    for one, other in zip(expected[0] + expected[1], found[0] + found[1], strict=True):
        assert one.shape == other.shape
        valid = min(int(lengths.min()) // 160 - 2, one.size(1)) if one.dim() > 1 else None
        torch.testing.assert_close(one[:, :valid] if valid else one, other[:, :valid] if valid else other)
    selected = {"layer_selections": [2, 0]} if request_ is TERA else {}
    mixed = [
        package.Featurizer(upstream, normalize=normalize, **selected)
        for package, upstream in ((public, theirs), (sys.modules["s3prl.nn"], ours))
    ]
    for one, other in zip(mixed[0](*expected), mixed[1](*found), strict=True):
        torch.testing.assert_close(one, other)
