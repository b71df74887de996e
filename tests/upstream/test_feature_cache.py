"""The feature cache: what has its own place in it, and that it never gives anything but what was computed."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s3prl.upstream.cache.budget import folder_size
from s3prl.upstream.cache.features import FeatureCache, Heard, Place
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import Featurizer, UpstreamBase
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording, read

STRIDE, DIM = 320, 4


class Model(UpstreamBase):
    """Two layers; counts the waves that it computes."""

    def __init__(self, seed=0, gain=1.0, noise=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(STRIDE, DIM, generator=generator))
        self.gain, self.noise, self.computed = gain, noise, []

    def get_downsample_rates(self, key):
        return STRIDE

    def forward(self, wavs):
        self.computed += [len(wav) for wav in wavs]
        frames = torch.nn.utils.rnn.pad_sequence(wavs, True).unfold(1, STRIDE, STRIDE)
        state = self.gain * (frames @ self.weight) + self.noise * torch.rand(1)
        return {"hidden_states": [state, state.cumsum(1)], "last_hidden_state": state}


class Tool:
    """A cache on a model, as a run opens it."""

    def __init__(self, folder, model=None, tier="frames", normalize=False, layer=None, config=None, **place):
        self.model = (model or Model()).eval()
        encoder = Encoder(self.model, "cpu", alone=True)
        featurizer = Featurizer(self.model, normalize=normalize, layer_selection=layer)
        place = Place(folder, **place)
        self.cache = FeatureCache(place, "model", encoder, featurizer, tier, config=config)
        self.model.computed.clear()

    def __call__(self, *recordings):
        return self.cache.features([self.cache.look_up(recording) for recording in recordings])


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for number, samples in enumerate((3200, 6400, 4800)):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, 0.1 * rng.standard_normal(samples), 16000)
        os.utime(path, (1e9, 1e9))
        found.append(Recording(path))
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def exact(recording, model=None):
    """What the model makes of a recording alone: [layers, frames, dim]."""
    with torch.no_grad():
        states = (model or Model()).eval()([torch.from_numpy(read(recording))])["hidden_states"]
    return torch.cat(states)


def data_files(folder):
    return sorted(folder.glob("model-*/*.data"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_was_computed_is_read_by_the_next_run_with_the_same_bits(folder, recordings, dtype):
    first, second = Tool(folder, dtype=dtype), None
    computed = first(*recordings)
    assert first.model.computed == [3200, 6400, 4800]
    second = Tool(folder, dtype=dtype)
    found = second(*reversed(recordings))
    assert second.model.computed == []
    for one, other, recording in zip(computed, reversed(found), recordings, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == getattr(torch, dtype)
        assert torch.equal(one, exact(recording).to(one.dtype))


def test_a_batch_has_the_layers_padded_with_zeros_in_float32(folder, recordings):
    tool = Tool(folder, dtype="float32")
    for _ in range(2):
        layers = tool.cache.layers([tool.cache.look_up(one) for one in recordings])
        assert layers.stacked.shape == (2, 3, 20, DIM)
        assert layers.stacked.dtype == torch.float32
        assert layers.frames == [10, 20, 15]
        for place, recording in enumerate(recordings):
            one = exact(recording)
            assert torch.equal(layers.stacked[:, place, : one.size(1)], one)
            assert not layers.stacked[:, place, one.size(1) :].any()


def test_a_moved_and_copied_corpus_loses_nothing(folder, recordings, tmp_path):
    Tool(folder)(*recordings)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for recording in recordings:
        shutil.copy(recording.path, moved)
    tool = Tool(folder)
    tool(*[Recording(moved / Path(one.path).name) for one in recordings])
    assert tool.model.computed == []


def test_a_file_with_other_content_under_the_old_name_is_computed_anew(folder, recordings):
    first, second = recordings[:2]
    Tool(folder)(first)
    times = Path(first.path).stat()
    shutil.copy(second.path, first.path)
    os.utime(first.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    tool = Tool(folder, dtype="float32")
    assert torch.equal(tool(first)[0], exact(second))


def test_a_file_that_changes_while_it_is_read_is_not_kept_under_its_old_content(
    folder, recordings, monkeypatch
):
    first, second = recordings[:2]
    changed = read(second)

    def read_late(recording):
        shutil.copy(second.path, first.path)
        return changed

    tool = Tool(folder, dtype="float32")
    monkeypatch.setattr("s3prl.upstream.cache.features.read", read_late)
    assert torch.equal(tool(first)[0], exact(second))
    assert len(tool.cache.store) == 0


def test_excerpt_crop_and_gain_have_features_of_their_own(folder, recordings):
    whole = recordings[1]
    variants = [
        whole,
        replace(whole, start=0.1),
        replace(whole, stop=0.3),
        replace(whole, gain=-3.0),
        *whole.crops(0.1, 3),
    ]
    tool = Tool(folder, dtype="float32")
    tool(*variants)
    assert len(tool.cache.store) == len(variants)
    again = Tool(folder, dtype="float32")
    for variant, found in zip(variants, again(*variants), strict=True):
        assert torch.equal(found, exact(variant))
    assert again.model.computed == []


def test_what_is_drawn_from_any_place_is_not_kept(folder, recordings):
    tool = Tool(folder)
    tool(recordings[1].randomly_cropped(0.1))
    assert tool.model.computed == [1600]
    assert len(tool.cache.store) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"model": Model(seed=1)},
        {"model": Model(gain=1.5)},
        {"model": Model(gain=1.001)},
        {"config": "another"},
        {"layer": 0},
        {"tier": "mean"},
        {"dtype": "float16"},
    ],
    ids=[
        "weights",
        "an option that is no weight",
        "one that changes little",
        "configuration",
        "layer",
        "tier",
        "dtype",
    ],
)
def test_another_upstream_of_the_same_name_has_a_set_of_its_own(folder, recordings, other):
    Tool(folder, dtype="float32")(*recordings)
    tool = Tool(folder, **{"dtype": "float32", **other})
    found = tool(*recordings)
    assert tool.model.computed == [3200, 6400, 4800]
    if "model" in other:
        assert torch.equal(found[0], exact(recordings[0], other["model"]))
    again = Tool(folder, dtype="float32")
    again(*recordings)
    assert again.model.computed == []


def test_a_damaged_description_of_a_set_costs_a_recomputation(folder, recordings):
    Tool(folder)(*recordings)
    about = next(folder.glob("model-*/about.json"))
    content = json.loads(about.read_text())
    content["probe"]["float32"] = content["probe"]["float32"][:-8]
    about.write_text(json.dumps(content))
    tool = Tool(folder, dtype="float32")
    assert torch.equal(tool(recordings[0])[0], exact(recordings[0]))


def test_an_upstream_whose_output_is_random_cannot_be_cached(folder):
    with pytest.raises(UserError, match="gives the same wave other features each time"):
        Tool(folder, Model(noise=1.0))


def test_means_over_time_are_those_of_the_normalised_frames(folder, recordings):
    for normalize in (False, True):
        tool = Tool(folder, tier="mean", normalize=normalize)
        found = tool(*recordings)
        for one, recording in zip(found, recordings, strict=True):
            frames = exact(recording)
            wanted = tool.cache.featurizer.normalized(frames) if normalize else frames
            torch.testing.assert_close(one, wanted.mean(1, keepdim=True))
        layers = tool.cache.layers([tool.cache.look_up(one) for one in recordings])
        mixed = tool.cache.featurizer.mix(layers)
        torch.testing.assert_close(mixed[0], found[0].mean(0))  # weights are uniform at first


def test_features_beyond_float16_are_computed_each_time_and_never_infinite(folder, recordings, capsys):
    for _ in range(2):
        tool = Tool(folder, Model(gain=1e5))
        found = tool(*recordings)
        assert len(tool.model.computed) == 3
        assert torch.equal(found[0], exact(recordings[0], tool.model))
    assert "--cache_dtype bfloat16 can keep them" in capsys.readouterr().err


def test_a_damaged_record_is_computed_and_kept_anew(folder, recordings, capsys):
    Tool(folder, dtype="float32")(*recordings)
    (file,) = data_files(folder)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    for computed in ([3200], []):
        tool = Tool(folder, dtype="float32")
        for recording, found in zip(recordings, tool(*recordings), strict=True):
            assert torch.equal(found, exact(recording))
        assert tool.model.computed == computed
    assert "damaged" in capsys.readouterr().err


def test_a_truncated_file_costs_what_it_held(folder, recordings):
    Tool(folder, dtype="float32")(*recordings)
    (file,) = data_files(folder)
    os.truncate(file, file.stat().st_size // 2)
    tool = Tool(folder, dtype="float32")
    for recording, found in zip(recordings, tool(*recordings), strict=True):
        assert torch.equal(found, exact(recording))
    assert 0 < len(tool.model.computed) < 3


def test_at_the_limit_the_rest_is_computed_with_the_same_values(folder, recordings, capsys):
    Tool(folder)(recordings[0])
    limit = str(folder_size(folder) + 100)
    for _ in range(2):
        tool = Tool(folder, limit=limit)
        found = tool(*recordings)
        for recording, one in zip(recordings, found, strict=True):
            assert torch.equal(one, exact(recording).half())
        assert "--cache_limit" in capsys.readouterr().err
    assert tool.model.computed == [6400, 4800]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, recordings, capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "cache"))

    monkeypatch.setattr("s3prl.upstream.cache.features.prepare", refuse)
    tool = Tool(tmp_path / "cache")
    assert torch.equal(tool(recordings[0])[0], exact(recordings[0]).half())
    assert "nothing is kept" in capsys.readouterr().err


def test_waves_that_a_data_set_reads_itself_are_known_by_their_samples(folder, recordings):
    waves = [read(one) for one in recordings]
    Tool(folder).cache.features(waves)
    tool = Tool(folder)
    tool.cache.features([torch.from_numpy(wave) for wave in waves])
    assert tool.model.computed == []
    tool.cache.keeps_waves = False
    tool.cache.features([wave + 1 for wave in waves])
    assert len(tool.cache.store) == 3


def test_a_worker_sends_only_the_key_of_what_is_there(folder, recordings):
    tool = Tool(folder)
    heard = tool.cache.look_up(recordings[0])
    assert isinstance(heard, Heard)
    assert len(heard) == len(heard.wave) == 3200
    tool.cache.features([heard])
    heard = tool.cache.look_up(recordings[0])
    assert (len(heard), heard.wave) == (3200, None)


def test_an_utterance_that_is_too_short_is_named(folder, recordings, monkeypatch):
    monkeypatch.setattr(
        Model, "num_frames", staticmethod(lambda samples: max(0, samples - 4000)), raising=False
    )
    tool = Tool(folder)
    with pytest.raises(UserError, match=r"0\.flac"):
        tool(recordings[0])
