"""Upstreams by name: torch.hub on a local clone, folders dropped in by third parties."""

import ast
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, tiny

THIRD_PARTY = """
import torch
from s3prl.upstream.interfaces import UpstreamBase


class UpstreamExpert(UpstreamBase):
    def __init__(self, ckpt=None, model_config=None, **kwargs):
        super().__init__(**kwargs)
        self.scale = torch.nn.Parameter(torch.ones(3))

    def get_downsample_rates(self, key):
        return 200

    def forward(self, wavs):
        padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        whole = padded[:, : padded.size(1) // 200 * 200]
        frames = whole.unflatten(1, (-1, 200)).mean(-1, keepdim=True) * self.scale
        return {"hidden_states": [frames, frames * 2], "last_hidden_state": frames * 2}
"""
HUBCONF = """
import os
from .expert import UpstreamExpert as _UpstreamExpert


def {name}(*args, **kwargs):
    return _UpstreamExpert(*args, **kwargs)
"""


@pytest.fixture
def clone(tmp_path):
    """A copy of the project to drop folders into."""
    ignored = shutil.ignore_patterns(".*", "data", "result", "tests", "__pycache__", "benchmarks")
    return shutil.copytree(ROOT, tmp_path / "clone", ignore=ignored)


def python(code, cwd, **kwargs):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, **kwargs)


def run(clone, *arguments):
    command = [sys.executable, str(clone / "run_downstream.py"), *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True)


def test_torch_hub_lists_and_explains_the_clone_in_its_cache(clone, tmp_path):
    cached = tmp_path / "hub" / "s3prl_s3prl_main"  # where torch.hub keeps the clone of s3prl/s3prl
    cached.parent.mkdir()
    clone.rename(cached)
    code = (
        "import torch; from torch import hub; repo, options = 's3prl/s3prl:main', {'skip_validation': True}\n"
        f"hub.set_dir({str(cached.parent)!r}); print(hub.list(repo, trust_repo=True, **options))\n"
        "print(hub.help(repo, 'customized_upstream', trust_repo=True, **options))"
    )
    result = python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    names, explanation = result.stdout.strip().split("\n", 1)
    assert {"customized_upstream", "fbank", "baseline_local"} <= set(ast.literal_eval(names))
    assert "template" in explanation


def test_torch_hub_loads_from_a_local_clone():
    model = torch.hub.load(str(ROOT), "fbank", source="local")
    result = model([torch.randn(16000), torch.randn(8000)])
    assert result["last_hidden_state"].shape == (2, 98, 240)


def test_the_users_own_utility_package_does_not_collide(tmp_path):
    for package in ("utility", "upstream", "downstream", "preprocess"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("MINE = True\n")
    code = (
        f"import torch, utility; m = torch.hub.load({str(ROOT)!r}, 'fbank', source='local')\n"
        "import upstream, downstream; assert utility.MINE and upstream.MINE and downstream.MINE\n"
        "print(m([torch.randn(16000)])['last_hidden_state'].shape)"
    )
    result = python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[1, 98, 240]" in result.stdout


def test_a_third_party_folder_works_without_editing_anything_else(clone, tmp_path):
    folder = clone / "upstream" / "mean200"
    folder.mkdir()
    (folder / "expert.py").write_text(THIRD_PARTY)
    (folder / "hubconf.py").write_text(HUBCONF.format(name="mean200"))
    result = run(clone, "-u", "mean200", "-d", "example", "-p", tmp_path / "run", "-o", tiny(total_steps=2))
    assert result.returncode == 0, result.stderr
    weights = torch.load(tmp_path / "run" / "states-2.ckpt", weights_only=True)["Featurizer"]["weights"]
    assert weights.shape == (2,)
    assert "mean200" in run(clone, "-h").stdout


def test_a_folder_whose_package_is_missing_is_reported_and_hurts_nobody(clone, tmp_path):
    folder = clone / "upstream" / "needy"
    folder.mkdir()
    (folder / "expert.py").write_text("import package_that_nobody_has\n" + THIRD_PARTY)
    (folder / "hubconf.py").write_text(HUBCONF.format(name="needy"))
    result = run(clone, "-u", "needy", "-d", "example", "-n", "x")
    assert result.returncode == 2
    assert "No module named 'package_that_nobody_has'" in result.stderr
    assert "pip install package_that_nobody_has" in result.stderr
    assert "Traceback" not in result.stderr
    options = ("-d", "example", "-p", tmp_path / "run", "-o", tiny(total_steps=1))
    assert run(clone, "-u", "example", *options).returncode == 0


def test_a_task_whose_package_is_missing_is_reported(clone):
    folder = clone / "downstream" / "needy"
    shutil.copytree(clone / "downstream" / "example", folder)
    expert = folder / "expert.py"
    expert.write_text("import package_that_nobody_has\n" + expert.read_text())
    result = run(clone, "-u", "example", "-d", "needy", "-n", "x", "-o", tiny())
    assert result.returncode == 2
    assert "package_that_nobody_has" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_hub_module_offers_entries_as_attributes():
    from s3prl import hub

    assert hub.customized_upstream().get_downsample_rates("hidden_states") == 160
    assert "fbank" in dir(hub)
    assert "baseline_local" not in hub.options(only_registered_ckpt=True)
    with pytest.raises(AttributeError, match="no upstream"):
        _ = hub.nothing_of_that_name
