"""`upstream/*/example_extract.py`: every family has a script that shows what its model returns."""

import importlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT

from s3prl import hub
from s3prl.upstream.interfaces import UpstreamBase
from s3prl.upstream.tools import outputs

FAMILIES = sorted(path.parent.name for path in (ROOT / "upstream").glob("*/hubconf.py"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_example_of_an_upstream_of_its_own(family, monkeypatch):
    asked = []
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(outputs, "main", lambda name: asked.append(name) or 0)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "upstream" / family / "example_extract.py"), run_name="__main__")
    assert end.value.code == 0
    assert hub.get(asked[0]).__module__ == f"s3prl.upstream.{family}.hubconf"


def test_the_script_runs_from_any_folder(tmp_path):
    script = ROOT / "upstream" / "example" / "example_extract.py"
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "hidden_states[2]   [2, 198, 80]  [batch, frames, dim]" in result.stdout


def test_recordings_and_a_checkpoint_of_the_users_are_taken(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000, dtype=np.float32), 8000)  # a second, to be resampled
    ckpt = ROOT / "tests/data/tera/ckpt.ckpt"
    options = ["-u", "tera_local", "-k", str(ckpt), str(tmp_path / "a.wav"), "--device", "cpu"]
    assert outputs.main("tera", options) == 0
    assert "hidden_states[3]   [1, 101, 36]" in capsys.readouterr().out
    assert outputs.main("m2d", ["--device", "cpu"]) == 2
    assert "-k" in capsys.readouterr().err
    assert outputs.main("example", [str(tmp_path / "none.wav"), "--device", "cpu"]) == 2
    assert "none.wav" in capsys.readouterr().err


def test_the_names_and_classes_of_the_guides_exist():
    models = [
        "cpc",
        "apc",
        "pase",
        "wav2vec",
        "vq_wav2vec",
        "mockingjay",
        "vq_apc",
        "audio_albert",
        "wav2vec2",
        "tera",
        "npc",
        "example",
    ]
    features = ["spectrogram", "fbank", "mfcc", "mel", "linear", "baseline", "baseline_local"]
    assert set(models + features) <= set(hub.options())
    for family in [*models, "baseline"]:
        module = importlib.import_module(f"s3prl.upstream.{family}.expert")
        assert issubclass(module.UpstreamExpert, UpstreamBase)
    # as the guide's script with an argument parser calls it
    model = torch.hub.load(
        str(ROOT), "fbank", source="local", feature_selection=None, refresh=False, ckpt=None
    )
    assert model([torch.randn(1600)])["last_hidden_state"].shape == (1, 8, 240)
