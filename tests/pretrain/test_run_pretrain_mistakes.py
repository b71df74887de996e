"""Mistakes on the command line of run_pretrain.py: one message with the next step, exit code 2."""

from pathlib import Path

import pytest
import torch
import yaml
from own_method import RUNNER, write_method

from s3prl.training import checkpoint as checkpoints
from s3prl.utility import plugins

RUN = Path("result/pretrain/x")
TOY = ["-u", "./toy", "-n", "x"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the method ./toy and a run of it of two updates."""
    from run_pretrain import main

    folder = tmp_path_factory.mktemp("trained")
    write_method(folder / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TOY_ROOT", "corpus")
        patch.setenv(plugins.MOUNTED, "{}")
        assert main([*TOY, "-o", "config.runner.total_steps=2", "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def told(trained, monkeypatch, capsys):
    """Run a command beside the trained run, which has to end with exit code 2; returns what it says."""
    from run_pretrain import main

    monkeypatch.chdir(trained)
    monkeypatch.setenv("TOY_ROOT", "corpus")
    monkeypatch.setenv(plugins.MOUNTED, "{}")

    def run(*arguments):
        assert main([*map(str, arguments), "--device", "cpu"]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error and "usage" not in error
        return error

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--upstraem", "tera"], "no option --upstraem. Did you mean '--upstream'?"),
        (["-n", "x"], "Name the pre-training method with -u. Available: "),
        (["-u", "./toy"], "Name the experiment with -n (folder result/pretrain/NAME) or its folder with -p."),
        (["-u", "./toy", "-a"], "add -n NAME or -p FOLDER"),
        (["-u", "nothing_like_it", "-n", "x"], "There is no pre-training method 'nothing_like_it'."),
        (["-u", "toy", "-n", "x"], "The folder toy of the working folder is -u ./toy."),
        (["-u", "./result", "-n", "x"], "has no pretrain_expert.py, so it is not a method."),
        ([*TOY, "-c", "nowhere.yaml"], "no config file nowhere.yaml"),
        ([*TOY, "-g", "nowhere.yaml"], "no config file nowhere.yaml"),
        ([*TOY, "-o", "config.upstream_config.task.nois=1"], "upstream_config.task has no field 'nois'. Did"),
        ([*TOY, "-o", "args.upstream_config=x"], "args.upstream_config is needed before -o is read. Use -g"),
        ([*TOY, "-o", "args.config=x"], "args.config is needed before -o is read. Use -c"),
        ([*TOY, "-o", "+config.runner.totl_steps=3"], "no field 'totl_steps'. Did you mean 'total_steps'?"),
        ([*TOY, "-o", "+config.runner.eval_step=3"], "config.runner has no field 'eval_step'"),
        ([*TOY, "-o", "config.runner.n_epochs='many'"], "config.runner.n_epochs must be a whole number"),
        ([*TOY, "-o", "config.runner.total_steps=None"], "config.runner needs total_steps or n_epochs"),
        ([*TOY, "-o", "config.optimizer.name=None"], "config.optimizer.name is missing"),
        ([*TOY, "-o", "config.pretrain_expert.datarc=None"], "config.pretrain_expert.datarc is missing"),
        ([*TOY, "-o", "config.upstream_config={}"], "The configuration of the model (-g) is empty."),
        ([*TOY, "-o", "args.seed=often"], "args.seed must be a whole number"),
        ([*TOY, "-i", "nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
        (["-e", "toy"], "no states-*.ckpt in toy"),
        (["-e", RUN, "-i", RUN], "-e goes on with everything of a run, -i takes only weights"),
    ],
)  # fmt: skip
def test_a_mistake_ends_with_one_message_and_code_2(told, arguments, message):
    assert message in told(*arguments)


def test_a_misspelt_section_and_a_model_in_the_wrong_file_are_told(told):
    Path("mine.yaml").write_text(yaml.safe_dump({"runer": {}, **RUNNER}))
    assert "The config has a section 'runer'. Did you mean 'runner'?" in told(*TOY, "-c", "mine.yaml")
    Path("mine.yaml").write_text(yaml.safe_dump({"upstream_config": {}, **RUNNER}))
    assert "mine.yaml has a section 'upstream_config', but -g" in told(*TOY, "-c", "mine.yaml")


def test_what_contradicts_the_run_is_listed_with_the_override_that_says_the_same(told):
    Path("model.yaml").write_text("size: 3\ntask: {noise: 0.75}\n")
    Path("runner.yaml").write_text(
        yaml.safe_dump({**RUNNER, "optimizer": {**RUNNER["optimizer"], "lr": 1.0}})
    )
    error = told(*TOY, "-a", "--seed", 5, "-g", "model.yaml", "-c", "runner.yaml", "-p", "other", "-e", RUN)
    assert "--seed: the run has 1337, the command 5" in error
    assert "-g model.yaml: upstream_config.task.noise is 0.5 in the run, 0.75 in the file" in error
    assert "-c runner.yaml: optimizer.lr is 0.01 in the run, 1.0 in the file" in error
    assert "-p: the run is in result/pretrain/x, the command says other" in error
    assert "args.seed=5" in error and "config.upstream_config.task.noise=0.75" in error


def test_checkpoints_of_other_kinds_are_refused_by_name(told):
    state = checkpoints.load(RUN / "states-2.ckpt")
    without = {name: value for name, value in state.items() if name != "Upstream_Config"}
    torch.save(without, "other.ckpt")
    error = told("-e", "other.ckpt")
    assert "other.ckpt has no 'Upstream_Config', so it is not a pre-training checkpoint" in error
    torch.save({**state, "Upstream_Config": [1]}, "other.ckpt")
    assert "'Upstream_Config' must be a dict" in told("-e", "other.ckpt")
    torch.save({"Featurizer": {}, "Downstream": {}}, "other.ckpt")
    assert "other.ckpt is a checkpoint of a downstream task" in told(*TOY, "-i", "other.ckpt")
    torch.save({**state, "Args": {**state["Args"], "upstream": "./toy"}}, "other.ckpt")
    assert "-i in place of -e, with -u." in told("-e", "other.ckpt")


def test_a_method_that_cannot_be_imported_says_why(told):
    write_method(Path("broken"))
    Path("broken/pretrain_expert.py").write_text("import package_that_nobody_has\n")
    assert "The method 'broken' (" in (error := told("-u", "./broken", "-p", "run"))
    assert "package_that_nobody_has" in error
    Path("broken/pretrain_expert.py").write_text("class Expert: pass\n")
    assert "has no class UpstreamPretrainExpert" in told("-u", "./broken", "-p", "run")


def test_a_folder_in_which_another_run_trains_is_refused(told):
    from s3prl.training.expdir import claimed

    with claimed(RUN):
        assert "result/pretrain/x is in use by" in told(*TOY)


def test_a_method_without_configs_by_those_names_offers_its_others(told):
    folder = write_method(Path("renamed"))
    (folder / "config_model.yaml").rename(folder / "small_model.yaml")
    assert f"-g {folder.absolute()}/small_model.yaml" in told("-u", "./renamed", "-n", "y")
