"""The statistics pass of M2D, and the wrapper of the M2D repository dropped in as it is."""

import re
import shutil
import subprocess
import sys

import golden
import pytest
import torch
from conftest import ROOT, tiny

from s3prl import hub
from s3prl.upstream.interfaces import Featurizer
from s3prl.upstream.m2d import calcnorm
from s3prl.upstream.m2d.statistics import read
from s3prl.utility.errors import UserError

GOLDEN = golden.load("m2d_speech")
PRINTED = re.compile(
    r"\*\*\* Running Norm has finished updates over (\d+) times, "
    r"using the following stats from now on\. \*\*\*\n"
    r"mean=(-?\d+\.\d+), std=(\d+\.\d+)\n"
    r"\*\*\* Please use these statistics in your model\. EXIT\.\.\. \*\*\*\n"
)


def batches(number):
    """Batches of the fixture's wavs at different levels."""
    return [[wav * 0.5**level for wav in GOLDEN.wavs] for level in range(number)]


def expected(seen):
    """Mean and standard deviation, every batch weighing the same."""
    values = torch.stack([hub.m2d_calcnorm().features(wavs) for wavs in seen]).double()
    return values.mean().item(), values.std(correction=0).item()


def test_it_reports_the_statistics_of_its_batches_once_and_goes_on_as_a_log_mel(monkeypatch, capsys):
    monkeypatch.setattr(calcnorm, "UPDATES", 3)
    expert = hub.m2d_calcnorm(ckpt=None, model_config=None, refresh=False)
    Featurizer(expert)  # its probe must not count
    seen = batches(3)
    for wavs in seen:
        expert(wavs)
    number, mean, std = PRINTED.fullmatch(capsys.readouterr().out).groups()
    assert number == "3"
    assert (float(mean), float(std)) == pytest.approx(expected(seen), abs=1e-5)
    assert expert.get_downsample_rates("hidden_states") == 160
    for wavs in seen:
        assert torch.equal(expert(wavs)["last_hidden_state"], expert.features(wavs))
    assert capsys.readouterr().out == ""


def test_a_survey_measures_what_there_is_and_keeps_it_for_the_task(workdir, capsys):
    expert = hub.m2d_calcnorm(ckpt="no/such/checkpoint.pth")
    expert.for_task("voxceleb1-config")
    expert.survey(iter(batches(2)))
    assert PRINTED.search(capsys.readouterr().out)
    statistics, path = read("voxceleb1-config")
    assert statistics == pytest.approx(expected(batches(2)), abs=1e-5)
    model = hub.m2d(ckpt=str(GOLDEN.folder / GOLDEN.files[0]))
    model.for_task("voxceleb1-config")
    assert model.statistics == statistics
    assert str(path) in capsys.readouterr().out


def test_a_survey_stops_at_the_documented_number_of_batches(monkeypatch, capsys):
    monkeypatch.setattr(calcnorm, "UPDATES", 2)
    endless = iter(lambda: GOLDEN.wavs, None)
    hub.m2d_calcnorm().survey(endless)
    assert PRINTED.fullmatch(capsys.readouterr().out)[1] == "2"
    with pytest.raises(UserError, match="no batch"):
        hub.m2d_calcnorm().survey([])


def test_to_a_task_it_is_a_log_mel():
    expert = hub.m2d_calcnorm()
    result = expert(GOLDEN.wavs)
    frames = [expert.num_frames(len(wav)) for wav in GOLDEN.wavs]
    assert result["last_hidden_state"].shape == (3, max(frames), 80)
    assert expert.get_downsample_rates("hidden_states") == 160
    with pytest.raises(UserError, match="at least 201"):
        expert([torch.zeros(200)])


def test_the_command_of_the_documentation_prints_the_statistics_and_succeeds(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from run_downstream import main; from s3prl.upstream.m2d import calcnorm\n"
        "calcnorm.UPDATES = 3; sys.exit(main(sys.argv[1:]))"
    )
    command = ["-m", "train", "-n", "m2d_calcnorm_1", "-u", "m2d_calcnorm", "-d", "example", "-o", tiny()]
    result = subprocess.run(
        [sys.executable, "-c", code, *command, "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert PRINTED.search(result.stdout)[1] == "3"
    assert "statistics:" not in result.stderr  # no progress bar without a terminal


WRAPPER = {
    "__init__.py": "",
    "hubconf.py": """
from .expert import UpstreamExpert as _UpstreamExpert


def m2d_local(ckpt, *args, **kwargs):
    return _UpstreamExpert(ckpt, *args, **kwargs)


def m2d(ckpt, *args, **kwargs):
    fields = ckpt.split(",")
    mean, std = float(fields[1]), float(fields[2])
    return m2d_local(fields[0], *args, norm_mean=mean, norm_std=std, **kwargs)
""",
    "expert.py": """
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "m2d"))

import torch
from torch.nn.utils.rnn import pad_sequence
from ..interfaces import UpstreamBase
from runtime_of_m2d import Runtime


class UpstreamExpert(UpstreamBase):
    def __init__(self, ckpt, model_config=None, norm_mean=None, norm_std=None, **kwargs):
        super().__init__(**kwargs)
        self.name = "[M2D]"
        self.runtime = Runtime(torch.load(ckpt, map_location="cpu"), norm_mean, norm_std)
        print(f"wrapper: {norm_mean} {norm_std}")

    def get_downsample_rates(self, key):
        return 320

    def forward(self, wavs):
        layers = self.runtime(pad_sequence(wavs, batch_first=True))
        return {"last_hidden_state": layers[-1], "hidden_states": layers}
""",
    "m2d/runtime_of_m2d.py": """
import torch


class Runtime(torch.nn.Module):
    def __init__(self, checkpoint, mean, std):
        super().__init__()
        self.scale = torch.nn.Parameter(checkpoint["model"]["cls_token"][0, 0])
        self.mean, self.std = mean, std

    def forward(self, padded):
        whole = padded[:, : padded.size(1) // 320 * 320]
        levels = whole.unflatten(1, (-1, 320)).square().mean(-1, keepdim=True)
        frames = (levels - self.mean) / self.std * self.scale
        return [frames, frames * 2]
""",
}


def test_the_wrapper_of_the_m2d_repository_works_as_it_is(tmp_path):
    ignored = shutil.ignore_patterns(".*", "data", "result", "tests", "__pycache__", "benchmarks")
    clone = shutil.copytree(ROOT, tmp_path / "clone", ignore=ignored)
    for name, text in WRAPPER.items():
        path = clone / "upstream" / "m2d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with (clone / "hub.py").open("a") as hub_file:
        hub_file.write("\nfrom s3prl.upstream.m2d.hubconf import *\n")
    command = [sys.executable, "run_downstream.py", "-m", "train", "-n", "x", "-u", "m2d", "-d", "example"]
    options = ["-k", f"{GOLDEN.folder / GOLDEN.files[0]},-11.5,4.25", "--device", "cpu"]
    overrides = ["-o", tiny(total_steps=2)]
    result = subprocess.run([*command, *options, *overrides], cwd=clone, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "wrapper: -11.5 4.25" in result.stdout
    assert (clone / "result" / "downstream" / "x" / "states-2.ckpt").is_file()
