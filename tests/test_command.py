"""The command `s3prl` and `python -m s3prl`: every tool by a short name."""

import importlib

import pytest
from conftest import ROOT, tiny

from s3prl import __version__
from s3prl.__main__ import main
from s3prl.utility import commands


def test_without_a_command_all_are_listed(capsys):
    assert main([]) == 0
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in commands.COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"s3prl {__version__}\n"


@pytest.mark.parametrize(("name", "message"), [("trian", "Did you mean 'train'?"), ("-u", "s3prl train -u")])
def test_a_command_that_does_not_exist_is_told_with_the_nearest(capsys, name, message):
    assert main([name, "fbank"]) == 2
    error = capsys.readouterr().err
    assert f"There is no command '{name}'" in error and message in error


def test_every_command_exists_in_a_clone_and_starts(capsys):
    for name, command in commands.COMMANDS.items():
        script = command.script.split()[0]
        assert script == "-m" or (ROOT / script).is_file(), name
        assert callable(importlib.import_module(command.module).main)
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert "usage: " in capsys.readouterr().out


def test_train_and_evaluate_are_the_modes_of_the_runner(workdir, capsys):
    options = ["-u", "example", "-d", "example", "-p", "run", "-o", tiny(total_steps=2), "--device", "cpu"]
    assert main(["train", *options]) == 0
    assert main(["evaluate", "-t", "dev", "-e", "run/states-2.ckpt", "--device", "cpu"]) == 0
    assert (workdir / "run" / "result-dev.json").is_file()
    assert main(["inference", "-t", "a.wav", "-e", "run/states-2.ckpt", "--device", "cpu"]) == 2
    assert "-t a.wav: there is no such file" in capsys.readouterr().err


def test_an_installed_copy_is_told_by_its_own_commands(monkeypatch):
    assert commands.command_line("lengths") == "python preprocess/generate_len_for_bucket.py"
    monkeypatch.setattr(commands, "in_clone", lambda: False)
    assert commands.command_line("lengths") == "s3prl lengths"
    assert commands.localized("`python -m s3prl.upstream.list -h`") == "`s3prl list -h`"
