"""`pip install .`: the same tree under s3prl/, configs and data files included, and the command `s3prl`."""

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser

import pytest
from conftest import ROOT, tiny

import s3prl

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


def run(installed, folder, *arguments):
    """Python in another folder, with the unpacked wheel on its path."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_every_config_and_data_file_is_in_the_wheel(installed):
    for room in ("upstream", "downstream", "pretrain", "training", "utility", "preprocess", "s3prl"):
        tracked = subprocess.run(["git", "ls-files", room], cwd=ROOT, capture_output=True, text=True)
        for name in tracked.stdout.splitlines():
            inside = name.removeprefix("s3prl/")
            assert (installed / "s3prl" / inside).is_file(), name


def test_the_version_the_command_and_run_while_are_in_the_wheel(installed):
    (information,) = installed.glob("*.dist-info")
    metadata = HeaderParser().parsestr((information / "METADATA").read_text())
    assert metadata["Version"] == s3prl.__version__
    scripts = configparser.ConfigParser()
    scripts.read(information / "entry_points.txt")
    assert scripts["console_scripts"]["s3prl"] == "s3prl.__main__:main"
    assert len(list(installed.glob("*.data/scripts/run_while.sh"))) == 1


def test_the_installed_package_trains_without_the_clone(installed, tmp_path):
    command = ["-m", "s3prl", "train", "-u", "example", "-d", "example", "-p", "run"]
    result = run(installed, tmp_path, *command, "-o", tiny(total_steps=1), "--device", "cpu")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "states-1.ckpt").exists()


SAYS = """
import contextlib
from s3prl.__main__ import main
for arguments in (
    "train -h", "extract -h", "list -h", "check -h", "cache -h", "results -h", "results .", "corpora -h",
    "lengths -h", "pretrain -h", "pretrain -u tear -n x",
    "train -u fbank -d asr -n x", "train -u fbnak -d asr -n x", "--help",
):
    with contextlib.suppress(SystemExit):
        main(arguments.split())
"""


def test_messages_of_an_installed_copy_name_commands_that_exist_there(installed, tmp_path):
    result = run(installed, tmp_path, "-c", SAYS)
    said = result.stdout + result.stderr
    assert "Traceback" not in said
    for absent in (
        "run_downstream.py",
        "run_pretrain.py",
        "python -m s3prl",
        "python preprocess",
        "./run_while.sh",
        "-r require",
    ):
        assert absent not in said, said
    for command in (
        "usage: s3prl train|evaluate|inference", "run_while.sh s3prl train -a -u fbank -d asr -n my_run",
        "torchrun --nproc_per_node 4 -m s3prl train -u fbank", "usage: s3prl extract", "usage: s3prl corpora",
        "usage: s3prl pretrain", "s3prl pretrain -u tera -n my_tera",
        "    s3prl cache info DIR\n",
        "make the miniature corpus with `s3prl corpora librispeech",
        "or evaluate a checkpoint with `s3prl evaluate",
        "`s3prl list` prints all", "pip install 's3prl[mini]'", "usage: s3prl COMMAND",
    ):  # fmt: skip
        assert command in said, command


def test_torch_hub_loads_from_the_folder_of_an_installed_copy(installed, tmp_path):
    code = (
        f"import torch; model = torch.hub.load({str(installed / 's3prl')!r}, 'fbank', source='local')\n"
        "print(model([torch.randn(16000)])['last_hidden_state'].shape); import s3prl; print(s3prl.__file__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/bin"}
    )
    assert result.returncode == 0, result.stderr
    assert "[1, 98, 240]" in result.stdout and str(installed / "s3prl" / "__init__.py") in result.stdout


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
