"""Settings in a checkpoint: printed, written to YAML, edited and put back."""

import argparse
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, same

from s3prl.utility import extract_settings, overwrite_settings, print_settings, safe_load

TRAINED = ROOT / "tests/data/asr_before_the_engine/dev-best.ckpt"
PRETRAINED = ROOT / "tests/data/tera_fbank_chunked/ckpt.ckpt"  # with a Namespace and an Upstream_Config


def run(command, *arguments):
    return command.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (TRAINED, "config.runner.total_steps", "14"),
        (TRAINED, "args.upstream", "example"),
        (PRETRAINED, "upstream_config.task.loss", "L1"),
    ],
)
def test_a_field_is_printed(path, field, value, capsys):
    assert run(print_settings, path, field) == 0
    assert capsys.readouterr().out == f"{value}\n"


def test_a_section_is_printed_as_yaml(capsys):
    assert run(print_settings, TRAINED, "config.runner") == 0
    assert capsys.readouterr().out.startswith("total_steps: 14\ngradient_clipping: 1\n")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("config.runner.total_step", "Did you mean 'total_steps'?"),
        ("confg.runner", "Did you mean 'config'?"),
        ("config.runner.total_steps.x", "config.runner.total_steps is a value, not a section"),
    ],
)
def test_a_field_that_is_not_there_is_told_with_the_nearest(field, message, capsys):
    assert run(print_settings, TRAINED, field) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", [TRAINED, PRETRAINED])
def test_settings_put_back_unchanged_leave_the_checkpoint_as_it_was(path, tmp_path, capsys):
    assert run(extract_settings, "--ckpt_pth", path, "--save_dir", tmp_path / "settings") == 0
    new = ("--new_ckpt_pth", tmp_path / "new.ckpt")
    assert run(overwrite_settings, "--ckpt_pth", path, "--settings_dir", tmp_path / "settings", *new) == 0
    assert "no setting has changed" in capsys.readouterr().out
    before, after = safe_load.load(path), safe_load.load(tmp_path / "new.ckpt")
    assert type(before["Args"]) is type(after["Args"]), "the public S3PRL needs its Namespace"
    if isinstance(before["Args"], argparse.Namespace):
        before["Args"], after["Args"] = vars(before["Args"]), vars(after["Args"])
    assert same(before, after)


def test_an_edited_field_is_in_the_new_checkpoint_and_told(tmp_path, capsys):
    run(extract_settings, "--ckpt_pth", TRAINED, "--save_dir", tmp_path)
    assert capsys.readouterr().out == f"{tmp_path / 'args.yaml'}\n{tmp_path / 'config.yaml'}\n"
    (tmp_path / "args.yaml").unlink()
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("total_steps: 14", "total_steps: 1e+2"))
    arguments = ["--ckpt_pth", TRAINED, "--settings_dir", tmp_path, "--new_ckpt_pth", tmp_path / "new.ckpt"]
    assert run(overwrite_settings, *arguments) == 0
    assert "config.runner.total_steps: 14 -> 100" in capsys.readouterr().out
    before, after = safe_load.load(TRAINED), safe_load.load(tmp_path / "new.ckpt")
    assert after["Config"]["runner"]["total_steps"] == 100
    assert same(before["Downstream"], after["Downstream"]) and same(before["Args"], after["Args"])


@pytest.mark.parametrize(("section", "key"), [("config", "config"), ("args", "args")])
def test_published_files_have_their_settings_under_names_of_their_own(section, key, tmp_path, capsys):
    torch.save({key: {"audio": {"dim": 80}}, "model": {}}, tmp_path / "apc.ckpt")
    assert run(print_settings, tmp_path / "apc.ckpt", f"{section}.audio.dim") == 0
    assert capsys.readouterr().out == "80\n"
    (tmp_path / f"{section}.yaml").write_text("audio: {dim: 40}")
    files = ("--ckpt_pth", tmp_path / "apc.ckpt", "--new_ckpt_pth", tmp_path / "new.ckpt")
    assert run(overwrite_settings, *files, "--settings_dir", tmp_path) == 0
    assert safe_load.load(tmp_path / "new.ckpt") == {key: {"audio": {"dim": 40}}, "model": {}}


def test_files_that_were_edited_are_not_lost(tmp_path, capsys):
    arguments = ("--ckpt_pth", TRAINED, "--save_dir", tmp_path)
    assert run(extract_settings, *arguments) == 0
    assert run(extract_settings, *arguments) == 0, "the same again"
    (tmp_path / "config.yaml").write_text("mine: 1")
    assert run(extract_settings, *arguments) == 2
    assert "config.yaml is there already, with other content" in capsys.readouterr().err
    assert (tmp_path / "config.yaml").read_text() == "mine: 1"


def test_a_pickle_is_sent_to_the_conversion_which_opens_it_without_running_code(capsys):
    assert run(print_settings, ROOT / "tests/data/tera/ckpt_pickled.ckpt", "args.seed") == 2
    assert "Convert it with `python -m s3prl.upstream.fix_ckpt" in capsys.readouterr().err


def test_what_yaml_cannot_express_is_told(tmp_path, capsys):
    torch.save({"Config": {"weights": torch.ones(1), "empty": {}}}, tmp_path / "odd.ckpt")
    assert run(print_settings, tmp_path / "odd.ckpt", "config") == 2
    assert "hold a Tensor, which YAML cannot express" in capsys.readouterr().err
    assert run(print_settings, tmp_path / "odd.ckpt", "config.empty.x") == 2
    assert "config.empty is empty" in capsys.readouterr().err


def test_files_without_settings_are_refused(tmp_path, capsys):
    torch.save({"model": {}}, tmp_path / "weights.pt")
    assert run(extract_settings, "--ckpt_pth", tmp_path / "weights.pt", "--save_dir", tmp_path / "out") == 2
    assert "holds no settings: none of Args, Config, Upstream_Config, but model" in capsys.readouterr().err
    arguments = ["--ckpt_pth", TRAINED, "--settings_dir", tmp_path, "--new_ckpt_pth", tmp_path / "new.ckpt"]
    assert run(overwrite_settings, *arguments) == 2
    assert "has none of args.yaml, config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["observe_lnsr", "fix_ckpt", "visualize"])
def test_commands_of_upstreams_are_reached_by_their_paths_in_utility(name):
    script = [sys.executable, ROOT / f"utility/{name}.py", "-h"]
    found = subprocess.run(script, capture_output=True, text=True, cwd=ROOT, check=True)
    assert f"python -m s3prl.upstream.{name}" in found.stdout
