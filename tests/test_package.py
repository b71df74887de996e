"""`pip install .`: the same tree under s3prl/, configs and data files included."""

import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT, tiny

pytest.importorskip("hatchling")
pytest.importorskip("hatch_requirements_txt")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_every_config_and_data_file_is_in_the_wheel(installed):
    for room in ("upstream", "downstream", "training", "utility", "preprocess", "s3prl"):
        tracked = subprocess.run(["git", "ls-files", room], cwd=ROOT, capture_output=True, text=True)
        for name in tracked.stdout.splitlines():
            inside = name.removeprefix("s3prl/")
            assert (installed / "s3prl" / inside).is_file(), name


def test_the_installed_package_trains_without_the_clone(installed, tmp_path):
    command = [sys.executable, "-m", "s3prl.run_downstream", "-u", "example", "-d", "example", "-p", "run"]
    result = subprocess.run(
        [*command, "-o", tiny(total_steps=1), "--device", "cpu"],
        cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "states-1.ckpt").exists()
