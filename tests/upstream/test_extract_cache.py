"""`extract --cache` reads and fills the cache of the runs."""

import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, command, tiny
from safetensors.torch import load_file

from s3prl.upstream.extract import main

sys.path.insert(0, str(ROOT))
from run_downstream import main as run

LENGTHS = {"a": 4000, "b": 5200, "c": 7100}


@pytest.fixture
def wavs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    (tmp_path / "wavs").mkdir()
    for name, samples in LENGTHS.items():
        wave = (0.1 * generator.standard_normal(samples)).astype(np.float32)
        soundfile.write(tmp_path / "wavs" / f"{name}.wav", wave, 16000, subtype="FLOAT")
    return tmp_path / "wavs"


def extract(wavs, output, *options):
    return main([*map(str, ("--input", wavs, "--output", output, "--device", "cpu", *options))])


def features(output):
    return {name: load_file(output / f"{name}.safetensors")["features"] for name in LENGTHS}


@pytest.mark.parametrize("layers", [[], ["-l", "2,0"], ["-l", "1"]])
def test_a_second_extraction_computes_nothing_and_writes_the_same(wavs, tmp_path, computed, layers):
    plain, first, again = (tmp_path / name for name in ("plain", "first", "again"))
    assert extract(wavs, plain, "-u", "example", *layers) == 0
    computed.clear()
    exact = ["--cache", "cache", "--cache_dtype", "float32"]
    assert extract(wavs, first, "-u", "example", *layers, *exact) == 0
    assert sorted(computed) == sorted(LENGTHS.values())
    computed.clear()
    assert extract(wavs, again, "-u", "example", *layers, *exact) == 0
    assert computed == []
    for name in LENGTHS:
        torch.testing.assert_close(features(first)[name], features(plain)[name])
        assert torch.equal(features(first)[name], features(again)[name])


def test_the_weighting_of_a_task_is_applied_to_cached_layers(wavs, tmp_path, computed):
    trained = ["-m", "train", "-u", "example", "-d", "example", "-p", "run", "-o", tiny(total_steps=2)]
    assert run([*command(*trained)[2:]]) == 0
    weights = ["--weights", "run/states-2.ckpt"]
    assert extract(wavs, tmp_path / "plain", *weights) == 0
    cached = ["--cache", "cache", "--cache_dtype", "float32"]
    assert extract(wavs, tmp_path / "all", "-u", "example", *cached) == 0
    computed.clear()
    assert extract(wavs, tmp_path / "cached", *weights, *cached) == 0
    assert computed == []
    for name in LENGTHS:
        torch.testing.assert_close(features(tmp_path / "cached")[name], features(tmp_path / "plain")[name])


def test_a_folder_of_exact_features_is_not_continued_with_rounded_ones(wavs, tmp_path, capsys):
    assert extract(wavs, tmp_path / "out", "-u", "example") == 0
    assert extract(wavs, tmp_path / "out", "-u", "example", "--cache", "cache") == 2
    assert "cache_dtype" in capsys.readouterr().err


def test_features_of_a_batch_are_not_for_a_cache(wavs, tmp_path, capsys):
    options = ["-u", "example", "--upstream_public_batch", "--cache", "cache"]
    assert extract(wavs, tmp_path / "out", *options) == 2
    assert "Give one of them" in capsys.readouterr().err
