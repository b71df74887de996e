"""The layerwise noise-to-signal ratio: its definition, the noise, and the files it is written to."""

import argparse
import csv
import math

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT

from s3prl import hub
from s3prl.upstream import observe_lnsr
from s3prl.upstream.observe_lnsr import figure, gaussian, lnsr
from s3prl.upstream.tools import hidden
from s3prl.utility.audio import load

CHECKPOINT = ROOT / "tests/data/mockingjay/ckpt.ckpt"


@pytest.fixture
def recordings(tmp_path):
    """Clean recordings, and versions with a little noise of which one is shorter and one a FLAC."""
    generator = np.random.default_rng(0)
    for name, samples, suffix in (("a", 8000, "wav"), ("deep/b", 6000, "flac")):
        wave = 0.1 * generator.standard_normal(samples)
        for folder, suffix_, content in (
            ("clean", "wav", wave),
            ("noisy", suffix, (wave + 0.02 * generator.standard_normal(samples))[: samples - 400]),
        ):
            path = tmp_path / folder / f"{name}.{suffix_}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, content, 16000)
    return tmp_path


def run(folder, *arguments):
    options = ["-u", "mockingjay_local", "-k", CHECKPOINT, "--input", folder / "clean", "--device", "cpu"]
    return observe_lnsr.main([str(one) for one in (*options, "--output", folder / "out", *arguments)])


def table(folder):
    with (folder / "out/lnsr.csv").open() as file:
        return {(row["perturbation"], row["layer"]): row for row in csv.DictReader(file)}


def test_it_is_the_norm_of_the_change_by_the_norm_of_the_states():
    states = torch.tensor([[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
    perturbed = torch.tensor([[3.0, 1.0], [0.0, 4.0]])
    assert lnsr(states, perturbed) == pytest.approx(1 / 5), "without the frame that only one has"
    one, other = np.random.default_rng(0).normal(size=(2, 30, 7))
    found = lnsr(torch.from_numpy(one), torch.from_numpy(other), "spectral")
    assert found == pytest.approx(np.linalg.norm(one - other, ord=2) / np.linalg.norm(one, ord=2))
    assert lnsr(torch.zeros(2, 2), torch.zeros(2, 2)) == 0.0
    assert lnsr(torch.zeros(2, 2), torch.ones(2, 2)) == math.inf


@pytest.mark.parametrize("level", [30.0, 0.0, -5.0])
def test_gaussian_noise_has_the_ratio_asked_for_and_is_the_same_in_every_call(level):
    wave = np.sin(np.arange(16000, dtype=np.float32))
    noisy = gaussian(level, 1)("a", wave)
    found = 10 * np.log10(np.mean(wave**2) / np.mean((noisy - wave) ** 2))
    assert found == pytest.approx(level, abs=0.01)
    assert np.array_equal(noisy, gaussian(level, 1)("a", wave))
    assert not np.array_equal(noisy, gaussian(level, 1)("b", wave)), "another recording, other noise"
    assert not np.array_equal(noisy, gaussian(level, 2)("a", wave)), "another seed, other noise"


@torch.no_grad()
def test_every_layer_is_measured_under_every_perturbation(recordings, capsys):
    assert run(recordings, "--snr", 20, 0, "--perturbed", recordings / "noisy") == 0
    rows, noisy = table(recordings), str(recordings / "noisy")
    kinds, layers = ("20 dB", "0 dB", noisy), ("wave", "log mel", "0", "1", "2", "3")
    assert list(rows) == [(kind, layer) for kind in kinds for layer in layers]
    assert float(rows["20 dB", "wave"]["lnsr"]) == pytest.approx(0.1, rel=1e-4)
    assert float(rows["0 dB", "wave"]["lnsr"]) == pytest.approx(1.0, rel=1e-4)
    model, expected = hub.mockingjay_local(ckpt=str(CHECKPOINT)).eval(), []
    for name, suffix in (("a", "wav"), ("deep/b", "flac")):
        clean, changed = (
            model([torch.from_numpy(load(path))])["hidden_states"][2][0].numpy()
            for path in (recordings / f"clean/{name}.wav", recordings / f"noisy/{name}.{suffix}")
        )
        clean = clean[: len(changed)]
        expected.append(np.linalg.norm(changed - clean) / np.linalg.norm(clean))
    assert float(rows[noisy, "2"]["lnsr"]) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(rows[noisy, "2"]["std"]) == pytest.approx(np.std(expected), rel=1e-2)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", *(f"{float(rows[kind, '2']['lnsr']):.4f}" for kind in kinds)] in printed
    assert (recordings / "out/lnsr.png").stat().st_size > 5_000


def test_silence_is_named_and_counts_for_nothing(recordings, capsys):
    soundfile.write(recordings / "clean/silent.wav", np.zeros(8000), 16000)
    assert run(recordings, "--snr", 0, "-l", 1) == 1
    assert "silent.wav: It is silent" in capsys.readouterr().err
    row = table(recordings)["0 dB", "wave"]
    assert float(row["lnsr"]) == pytest.approx(1.0, rel=1e-4) and row["recordings"] == "2"


def test_random_features_are_drawn_alike_for_both_versions(tmp_path, monkeypatch):
    class Dither(torch.nn.Module):
        def forward(self, wavs):
            return {"hidden_states": [torch.randn(len(wavs), 50, 4)]}

        def get_downsample_rates(self, key):
            return 320

    monkeypatch.setattr(hidden, "built", lambda *arguments, **options: Dither())
    options = argparse.ArgumentParser()
    hidden.add_insight_options(options)
    seen = hidden.insight(options.parse_args(["-u", "any", "--input", str(tmp_path), "--device", "cpu"]))
    wav = np.ones(16000, dtype=np.float32)
    assert torch.equal(seen.states(wav), seen.states(wav))


def test_a_line_over_the_layers_is_drawn_for_every_perturbation():
    ratios = {"10 dB": {"wave": [0.3], "log mel": [0.2, 0.4], "0": [0.1, 0.3], "6": [0.5, 0.7]}}
    line, dotted = figure(ratios).axes[0].lines
    assert line.get_label() == "10 dB" and list(line.get_xdata()) == ["0", "6"]
    assert line.get_ydata() == pytest.approx([0.2, 0.6])
    assert dotted.get_ydata() == pytest.approx([0.3, 0.3]), "the log mel spectrogram"


def test_mistakes_are_told_before_the_first_recording(recordings, capsys):
    assert run(recordings) == 2
    assert "--snr 20 10 0, or --perturbed FOLDER" in capsys.readouterr().err
    (recordings / "noisy/deep/b.flac").unlink()
    assert run(recordings, "--perturbed", recordings / "noisy") == 2
    assert "has no version of deep/b" in capsys.readouterr().err
    assert run(recordings, "--snr", "nan") == 2
    assert "--snr must be finite" in capsys.readouterr().err
    assert run(recordings, "--snr", 10, 10) == 2
    assert "there twice" in capsys.readouterr().err


def test_a_recording_that_cannot_be_read_is_named_at_the_end(recordings, capsys):
    (recordings / "clean/broken.wav").write_bytes(b"no audio")
    assert run(recordings, "--snr", 10, "-l=-1") == 1
    assert "broken.wav is not audio" in capsys.readouterr().err
    assert table(recordings)["10 dB", "-1"]["recordings"] == "2"
