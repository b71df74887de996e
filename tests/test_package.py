"""`pip install .`: the same tree under s3prl/, configs and data files included."""

import ast
import re
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


def imported_names():
    """First parts of what any module of the project imports, by a statement or by `import_module`."""
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split():
        if name.startswith(("tests/", "benchmarks/")):
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            if isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                yield from (
                    str(part.value).split(".")[0] for part in node.args if isinstance(part, ast.Constant)
                )


def test_every_dependency_is_imported_and_the_readme_says_what_for():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    packages = {re.match(r"[\w-]+", line)[0] for line in lines if not line.startswith("#")}
    modules = {"pyyaml": "yaml"}
    assert {modules.get(package, package) for package in packages} <= set(imported_names())
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    assert packages == set(re.findall(r"^\| ([\w-]+) \|", readme, re.MULTILINE)) - {"package"}
