"""-e, -a and -i: what the command adds to a run wins, is refused or changes nothing, but never silently."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, metrics, tiny

from run_downstream import parse
from s3prl.downstream.assembly import score_buffers
from s3prl.downstream.experiment import build
from s3prl.training import checkpoint as checkpoints
from s3prl.utility import safe_load

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]
CONFIG = "downstream/example/config.yaml"
RUN = Path("result/downstream/run")
OPTIONS = tiny(total_steps=4)
ITSELF: dict = {}
ITSELF["runner"] = ITSELF


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of four updates, result/downstream/run."""
    from run_downstream import main

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*TRAIN, "-n", "run", "-c", CONFIG, "-o", OPTIONS, "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def run(trained, workdir, downstream):
    """Runs the command line beside a copy of the trained run."""
    shutil.copytree(trained / "result", "result")
    return downstream


def changed_checkpoint(**entries):
    """The run's only states-*.ckpt with other entries; None leaves one out."""
    state = checkpoints.load(RUN / "states-4.ckpt") | entries
    for path in RUN.glob("*.ckpt"):
        path.unlink()
    state = {name: value for name, value in state.items() if value is not None}
    checkpoints.save(state, RUN, ["states-4.ckpt"])


def test_an_override_of_the_rate_wins_over_the_saved_optimizer_and_is_told_once(run, capsys):
    override = f"{tiny(total_steps=6)},,config.optimizer.lr=1e-2,,config.scheduler.num_warmup_steps=100"
    assert run("-m", "train", "-e", RUN, "-o", override) == 0
    out = capsys.readouterr().out
    assert "[Experiment] config.optimizer.lr: 0.001 -> 0.01\n" in out
    assert "[Experiment] config.runner.total_steps: 4 -> 6\n" in out
    group = checkpoints.load(RUN / "states-6.ckpt")["Optimizer"]["param_groups"][0]
    assert group["initial_lr"] == 1e-2 and group["lr"] == pytest.approx(1e-2 * 6 / 100)
    assert run(*TRAIN, "-a", "-n", "run", "-o", f"{override},,config.runner.total_steps=8") == 0
    out = capsys.readouterr().out
    assert "optimizer.lr" not in out and "config.runner.total_steps: 6 -> 8" in out


def test_another_global_batch_is_refused_with_the_field(run, capsys):
    assert run("-m", "train", "-e", RUN, "-o", "config.runner.gradient_accumulate_steps=3") == 2
    assert "gradient_accumulate_steps: the run has 2, now it is 3" in capsys.readouterr().err


def test_another_optimizer_is_refused_with_the_way_out(run, capsys):
    override = "config.optimizer.name=Adam,,config.runner.total_steps=6"
    assert run("-m", "train", "-e", RUN, "-o", override) == 2
    error = capsys.readouterr().err
    assert "trained with 'AdamW', and 'Adam' cannot go on" in error
    assert f"-i {RUN}/states-4.ckpt with another -n" in error


@pytest.mark.parametrize(
    ("options", "message", "override"),
    [
        (["-u", "fbank"], "-u: the run has 'example', the command 'fbank'", "args.upstream='fbank'"),
        (["-k", "x.ckpt"], "-k: the run has None, the command 'x.ckpt'", "args.upstream_ckpt='x.ckpt'"),
        (["-d", "asr"], "-d: the run has 'example', the command 'asr'", "args.downstream='asr'"),
        (["-f"], "-f: the run has False, the command True", "args.upstream_trainable=True"),
        (["--seed", "5"], "--seed: the run has 1337, the command 5", "args.seed=5"),
        (["-n", "other"], f"-n: the run is in {RUN}", "args.expdir='result/downstream/other'"),
        (["-p", "other"], f"-p: the run is in {RUN}, the command says other", "args.expdir='other'"),
        (["-c", "downstream/asr/mini.yaml"], "more", "config.runner.total_steps"),
    ],
)
def test_an_option_that_contradicts_the_run_stops_it(run, capsys, options, message, override):
    assert run("-m", "train", "-e", RUN, *options) == 2
    error = capsys.readouterr().err
    assert f"The command contradicts the run in {RUN}" in error and message in error
    assert "out to take the run as it is" in error and f"-i {RUN}/states-4.ckpt with another -n" in error
    assert override in error or "-c" in options
    assert not Path("other").exists() and not Path("result/downstream/other").exists()


def test_every_contradiction_is_listed_also_with_auto_resume_and_evaluation(run, capsys):
    assert run("-a", "-m", "train", "-u", "fbank", "-d", "asr", "-n", "run") == 2
    error = capsys.readouterr().err
    assert "-u: the run" in error and "-d: the run" in error
    assert "args.upstream='fbank',,args.downstream='asr'" in error
    assert run("-m", "evaluate", "-u", "fbank", "-e", RUN) == 2


def test_the_run_s_own_options_pass_however_they_are_written(run, workdir, capsys):
    for options in (
        [*TRAIN, "-a", "-n", "run"],
        [*TRAIN, "-a", "-p", RUN.absolute(), "--seed", 1337, "-c", CONFIG],
        [*TRAIN, "-a", "-n", "run", "-c", ROOT / CONFIG, "-o", OPTIONS],
        ["-m", "train", "-e", RUN / "states-4.ckpt", "-p", f"{RUN}/../run/"],
        ["-m", "train", "-e", RUN, "-s", "hidden_states", "--hub", "torch", "--cache_dir", "cache"],
    ):
        assert run(*options) == 0
        out = capsys.readouterr().out
        assert "nothing left to do" in out and "->" not in out and "has changed" not in out


def test_an_argument_set_by_an_override_wins_over_the_run_and_over_its_option(run, capsys):
    assert run(*TRAIN, "-a", "-n", "run", "--seed", 5, "-o", "args.seed=6,,config.runner.total_steps=5") == 0
    assert "[Experiment] args.seed: 1337 -> 6" in capsys.readouterr().out
    assert checkpoints.load(RUN / "states-5.ckpt")["Args"]["seed"] == 6
    again = ["-a", "-m", "train", "-u", "mel", "-d", "example", "-n", "x", "-o"]
    for _ in range(2):  # starts, then finds the run finished
        assert run(*again, f"{OPTIONS},,args.upstream=example") == 0
    assert run(*again, OPTIONS) == 2


def test_an_option_that_an_older_run_does_not_know_is_compared_with_its_default(run, capsys):
    arguments = checkpoints.load(RUN / "states-4.ckpt")["Args"]
    del arguments["upstream_alone"], arguments["overridden"]
    changed_checkpoint(Args=arguments)
    assert run("-m", "train", "-e", RUN) == 0
    assert run("-m", "train", "-e", RUN, "--upstream_alone") == 2
    assert "--upstream_alone: the run has False" in capsys.readouterr().err


def test_a_config_file_with_other_content_stops_the_run_but_for_what_overrides_set(run, capsys):
    config = yaml.safe_load((ROOT / CONFIG).read_text())
    config["runner"]["total_steps"] = 99  # the run's own override sets this field
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    assert run(*TRAIN, "-a", "-n", "run", "-c", "mine.yaml") == 0
    config["optimizer"]["lr"] = 0.5
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    assert run(*TRAIN, "-a", "-n", "run", "-c", "mine.yaml") == 2
    error = capsys.readouterr().err
    assert "-c mine.yaml: optimizer.lr is 0.001 in the run, 0.5 in the file" in error
    assert 'which wins: -o "config.optimizer.lr=0.5"' in error
    assert run(*TRAIN, "-a", "-n", "run", "-c", "mine.yaml", "-o", "config.optimizer.lr=0.5") == 0


def test_a_config_file_that_was_edited_since_is_noticed_and_the_run_keeps_its_own(
    workdir, downstream, capsys
):
    shutil.copy(ROOT / CONFIG, "mine.yaml")
    assert downstream(*TRAIN, "-p", "run", "-c", "mine.yaml", "-o", OPTIONS) == 0
    assert downstream("-m", "train", "-e", "run", "-o", "config.runner.total_steps=5") == 0
    assert downstream("-m", "evaluate", "-e", "run", "-t", "dev") == 0
    assert "has changed" not in capsys.readouterr().out  # overrides of all launches are the run's own
    Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace("lr: 1.0e-3", "lr: 1"))
    assert downstream("-m", "train", "-e", "run") == 0
    assert (
        "mine.yaml has changed since this run began (optimizer.lr). The run keeps" in capsys.readouterr().out
    )
    assert checkpoints.load("run/states-5.ckpt")["Config"]["optimizer"]["lr"] == 1e-3


def test_code_that_builds_its_own_arguments_takes_those_of_the_run(run):
    args = parse(["-m", "evaluate", "-u", "fbank", "-e", str(RUN)])
    del args.typed
    assert build(args).args.upstream == "example"
    assert "typed" not in checkpoints.load(RUN / "states-4.ckpt")["Args"]


def test_past_run_and_initial_weights_exclude_each_other(run, capsys):
    assert run("-m", "train", "-e", RUN, "-i", RUN) == 2
    assert "-i takes only weights. Give one of them" in capsys.readouterr().err
    assert run(*TRAIN, "-a", "-n", "run", "-i", "anything.ckpt") == 0
    assert "-i counts at the start of a run only" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "flag"), [("config", "-c"), ("expname", "-n"), ("past_exp", "-e")])
def test_an_argument_that_is_needed_before_the_override_is_refused_there(downstream, capsys, name, flag):
    assert downstream(*TRAIN, "-n", "x", "-o", f"{OPTIONS},,args.{name}=x") == 2
    assert f"args.{name} is needed before -o is read. Use {flag} instead" in capsys.readouterr().err


def test_an_argument_of_the_wrong_kind_is_named(downstream, capsys):
    assert downstream(*TRAIN, "-n", "x", "-o", f"{OPTIONS},,args.seed=many") == 2
    assert "args.seed must be a whole number, not 'many'" in capsys.readouterr().err


def test_initial_weights_bring_no_best_score_so_that_the_first_evaluation_saves_the_best(run):
    best = checkpoints.load(RUN / "states-4.ckpt")["Downstream"]
    best["best_score"] = torch.full((1,), 1.0)  # no accuracy beats it
    changed_checkpoint(Downstream=best)
    assert run(*TRAIN, "-p", "tuned", "-i", RUN, "-o", tiny(total_steps=1)) == 0
    tuned = checkpoints.load("tuned/dev-best.ckpt")["Downstream"]
    assert tuned["best_score"] < 1
    weight = next(name for name in best if name.endswith("weight"))
    assert (tuned[weight] - best[weight]).abs().max() < 1e-3
    Path("goes_on").mkdir()
    shutil.copy(RUN / "states-4.ckpt", "goes_on")
    assert run("-m", "train", "-e", "goes_on", "-o", "config.runner.total_steps=5") == 0
    assert not Path("goes_on/dev-best.ckpt").exists()


def test_statistics_belong_to_the_weights_and_scores_do_not():
    expert = torch.nn.Module()
    expert.model = torch.nn.BatchNorm1d(1)
    expert.register_buffer("best_score", torch.zeros(1))
    expert.register_buffer("highest", torch.zeros(()))
    expert.register_buffer("target_mean", torch.zeros(80))  # as a task of the public S3PRL keeps it
    expert.model.register_buffer("best_losses", torch.zeros(3))
    assert score_buffers(expert) == ["best_score", "highest", "model.best_losses"]


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("Step", "four", "'Step' must be a whole number of 0 or more, not 'four'"),
        ("Step", -1, "'Step' must be a whole number"),
        ("Epoch", [1], "'Epoch' must be a whole number of 0 or more, not a list"),
        ("Downstream", [1.0], "'Downstream' must be a dict, not a list"),
        ("Downstream", None, "has no 'Downstream', so it is not a checkpoint of a downstream task"),
        ("Downstream", {"x": "y"}, "do not fit"),
        ("Downstream", {}, "do not fit"),
        ("Featurizer", 3, "'Featurizer' must be a dict, not 3"),
        ("Args", ["fbank"], "'Args' must be a dict, not a list"),
        ("Args", {"seed": "x"}, "states-4.ckpt: Args.seed must be a whole number, not 'x'"),
        ("Args", {3: "x"}, "'Args' must hold values by name"),
        ("Config", "runner", "'Config' must be a dict, not 'runner'"),
        ("Config", {"runner": 3}, "states-4.ckpt, Config: 'runner' must be a dict, not 3"),
        ("Config", ITSELF, "its 'Config' cannot be used: maximum recursion depth"),
        ("Optimizer", None, "cannot be continued: it has no 'Optimizer'"),
        ("Optimizer", [], "'Optimizer' must be a dict, not a list"),
        ("Optimizer", {}, "its 'Optimizer' cannot be used"),
        ("Scheduler", {"x": 1}, "its 'Scheduler' cannot be used"),
        ("Random", [{"python": 3}], "its 'Random' cannot be used"),
        ("Records", [5], "its 'Records' cannot be used"),
        ("Journals", {"metrics.jsonl": "long"}, "its 'Journals' cannot be used"),
        ("WorldSize", "two", "'WorldSize' must be a whole number"),
    ],
)
def test_a_checkpoint_with_an_entry_of_the_wrong_kind_is_named_with_the_entry(
    run, capsys, entry, value, message
):
    changed_checkpoint(**{entry: value})
    longer = [] if entry in ("Scheduler", "Config") else ["-o", "config.runner.total_steps=6"]
    assert run("-m", "train", "-e", RUN, *longer) == 2
    error = capsys.readouterr().err
    assert message in error and "states-4.ckpt" in error


def test_an_evaluation_needs_no_optimizer_but_the_weights(run, capsys):
    changed_checkpoint(Optimizer=None, Epoch=None)
    assert run("-m", "evaluate", "-e", RUN, "-t", "dev") == 0
    changed_checkpoint(Downstream=None, Featurizer=None)
    assert run(*TRAIN, "-n", "new", "-i", RUN) == 2
    assert "has none of Upstream, Featurizer, Downstream" in capsys.readouterr().err


def test_a_file_of_another_kind_is_called_no_checkpoint(run, capsys):
    assert run("-m", "evaluate", "-e", "README.md") == 2
    error = capsys.readouterr().err
    assert "README.md is a text file, not a checkpoint" in error and "damaged" not in error
    shutil.make_archive("other", "zip", RUN)
    assert run("-m", "evaluate", "-e", "other.zip") == 2
    assert "other.zip is not a checkpoint, but a zip archive" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [[*TRAIN, "-a", "-n", "run"], ["-m", "train", "-e", RUN / "states-4.ckpt"]]
)
def test_when_the_last_checkpoint_is_damaged_the_best_is_offered_by_its_option(run, capsys, options):
    (RUN / "states-2.ckpt").unlink()
    (RUN / "states-4.ckpt").unlink()
    (RUN / "states-4.ckpt").write_bytes(b"PK")
    assert run(*options) == 2
    error = capsys.readouterr().err
    assert "states-4.ckpt is damaged" in error
    assert f"Another one can be read: -e {RUN}/dev-best.ckpt (step 4)" in error
    assert run("-m", "train", "-e", RUN / "dev-best.ckpt", "-o", "config.runner.total_steps=5") == 0
    assert metrics(RUN)[-1]["step"] == 5


def test_a_checkpoint_that_may_not_be_read_stops_and_is_not_passed_over(run, capsys, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(safe_load, "_check_archive", forbidden)  # file modes do not stop the superuser
    assert run(*TRAIN, "-a", "-n", "run") == 2
    assert f"You may not read {RUN}/states-4.ckpt (Permission denied)" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(run, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    for options in ([*TRAIN, "-a", "-n", "run"], ["-m", "train", "-e", RUN]):
        assert run(*options) == 2
        assert f"You may not read the folder {RUN}" in capsys.readouterr().err
    assert not list(RUN.glob("previous_*"))
