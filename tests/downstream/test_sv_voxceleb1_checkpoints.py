"""One command evaluates the checkpoints of a verification run, each once, also while it trains."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT
from voices import make_strangers

from s3prl import run_downstream
from s3prl.downstream.sv_voxceleb1 import evaluate_checkpoints
from s3prl.training.expdir import claimed
from s3prl.utility.config import load_yaml

FOLDER = ROOT / "downstream/sv_voxceleb1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An experiment folder with states-2, states-4 and states-6.ckpt, trained in a folder with the corpus."""
    home = tmp_path_factory.mktemp("verification")
    make_strangers(home / "VoxCeleb1")
    config = load_yaml(FOLDER / "config.yaml")
    config["runner"].update(
        total_steps=6, gradient_accumulate_steps=1, log_step=2, eval_step=2, save_step=2, draw_curves=False
    )
    block = config["downstream_expert"]
    block["datarc"].update(file_path=str(home / "VoxCeleb1"), num_workers=0, vad_config={"min_sec": 2000})
    block["modelrc"].update(input_dim=16, module_config={"XVector": {"agg_dim": 16}})
    (home / "asv.yaml").write_text(yaml.safe_dump(config))
    command = ["-m", "train", "-u", "fbank", "-d", "sv_voxceleb1", "-c", str(home / "asv.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home / "torch"))
        assert run_downstream.main([*command, "-p", str(home / "run"), "--device", "cpu"]) == 0
    return home / "run"


@pytest.fixture
def run(trained, workdir, monkeypatch):
    """A copy of that folder in the working folder, as run."""
    monkeypatch.setenv("TORCH_HOME", str(trained.parent / "torch"))
    shutil.copytree(trained, "run")
    return Path("run")


@pytest.fixture
def evaluated(monkeypatch):
    """The checkpoints that are evaluated, in their order."""
    main, found = run_downstream.main, []

    def noted(argv):
        found.append(Path(argv[argv.index("-e") + 1]).name)
        return main(argv)

    monkeypatch.setattr(run_downstream, "main", noted)
    return found


def evaluate(*arguments):
    return evaluate_checkpoints.main([*map(str, arguments), "--device", "cpu"])


def rows(text):
    """Step and EER of the lines of a table."""
    return [
        (int(line.split()[-3]), float(line.split()[-2])) for line in text.split("-----\n")[-1].splitlines()
    ]


def test_every_checkpoint_is_evaluated_once_and_the_lowest_eer_is_at_the_bottom(run, evaluated, capsys):
    assert evaluate(run) == 0
    assert evaluated == ["states-2.ckpt", "states-4.ckpt", "states-6.ckpt"]
    said = capsys.readouterr().out
    table = (run / "report.txt").read_text()
    assert said.endswith(table) and "dev-best.ckpt is that of step " in table and "\nbest on dev " in table
    found = rows(table)
    assert sorted(step for step, _ in found) == [2, 4, 6]
    assert [eer for _, eer in found] == sorted((eer for _, eer in found), reverse=True)
    for step, eer in found:
        metrics = json.loads((run / f"states-{step}/result-test.json").read_text())["metrics"]
        assert eer == pytest.approx(metrics["EER"], abs=1e-6)
        log = (run / f"states-{step}/log.txt").read_text()
        assert f"test-ERR: {metrics['EER']}\n" in log and f"sv-voxceleb1/test-EER: {metrics['EER']}\n" in log
        assert {path.name for path in (run / f"states-{step}").glob("test_*")} == {
            "test_predict.txt",
            "test_truth.txt",
        }
    assert evaluate(run) == 0
    assert len(evaluated) == 3 and (run / "report.txt").read_text() == table


def test_a_result_of_another_checkpoint_or_with_other_settings_is_not_believed(run, evaluated):
    assert evaluate(run, "--every", 2, "--min_step", 4) == 0
    assert evaluated == ["states-4.ckpt", "states-6.ckpt"]
    state = torch.load(run / "states-4.ckpt")
    state["Downstream"]["connector.bias"] += 1  # trained anew from the start
    torch.save(state, run / "states-4.ckpt")
    assert evaluate(run, "--min_step", 4) == 0
    assert evaluated[2:] == ["states-4.ckpt"]
    override = "config.downstream_expert.datarc.eval_batch_size=2"
    assert evaluate(run, "--min_step", 6, "-o", override) == 0
    assert evaluated[3:] == ["states-6.ckpt"]
    (run / "states-6/evaluated-test.json").write_text('{"step": 6, ')
    assert evaluate(run, "--min_step", 6, "-o", override) == 0
    assert evaluated[4:] == ["states-6.ckpt"]


def test_results_on_two_splits_are_kept_side_by_side(run, evaluated, capsys):
    assert evaluate(run, "--report", "--split", "dev") == 2
    assert f"evaluate_checkpoints.py {run} --split dev`" in capsys.readouterr().err
    assert evaluate(run) == 0
    table = (run / "report.txt").read_text()
    assert evaluate(run, "--split", "dev") == 0 and len(evaluated) == 6
    assert (run / "report.txt").read_text().startswith("run, dev:")
    assert evaluate(run) == 0
    assert len(evaluated) == 6 and (run / "report.txt").read_text() == table


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--split", "train"), "there are trials of dev and test only"),
        (("--interval", "-1"), "--interval must be a number of seconds above 0, not -1"),
        (("--every", "0"), "--every must be 1 or more, not 0"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_evaluated(run, evaluated, capsys, option, message):
    assert evaluate(run, *option) == 2
    assert message in capsys.readouterr().err and not evaluated


def test_with_watch_new_checkpoints_are_evaluated_until_training_has_ended(run, evaluated, monkeypatch):
    later = {}
    for step in (4, 6):
        later[step] = (run / f"states-{step}.ckpt").rename(f"later-{step}.ckpt")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) > 1:  # nothing new at the first look
            step = min(later)
            later.pop(step).rename(run / f"states-{step}.ckpt")

    monkeypatch.setattr(evaluate_checkpoints, "pause", pause)
    assert evaluate(run, "--watch", "--interval", 7) == 0
    assert evaluated == ["states-2.ckpt", "states-4.ckpt", "states-6.ckpt"]
    assert pauses == [7.0] * 3 and len(rows((run / "report.txt").read_text())) == 3


def test_watching_may_begin_before_the_training(run, evaluated, monkeypatch):
    home = run.rename("not-yet")
    monkeypatch.setattr(evaluate_checkpoints, "pause", lambda seconds: home.rename("run"))
    assert evaluate("run", "--watch") == 0
    assert len(evaluated) == 3


def test_a_checkpoint_that_is_deleted_meanwhile_is_passed_over_and_its_result_stays(run, monkeypatch, capsys):
    assert evaluate(run, "--min_step", 6) == 0
    (run / "states-6.ckpt").unlink()
    main = run_downstream.main

    def deleted_while_it_is_loaded(argv):
        (run / "states-2.ckpt").unlink(missing_ok=True)
        return main(argv)

    monkeypatch.setattr(run_downstream, "main", deleted_while_it_is_loaded)
    assert evaluate(run) == 0
    said = capsys.readouterr().out
    assert "run/states-2.ckpt has been deleted meanwhile" in said
    assert sorted(step for step, _ in rows((run / "report.txt").read_text())) == [4, 6]


def test_results_of_an_earlier_training_in_the_folder_are_not_in_the_table(run, capsys):
    assert evaluate(run) == 0
    (run / "states-6.ckpt").unlink()
    (run / "metrics.jsonl").write_text('{"step": 2, "split": "train", "loss": 1.0}\n')
    capsys.readouterr()
    assert evaluate_checkpoints.main([str(run), "--report"]) == 0
    assert sorted(step for step, _ in rows(capsys.readouterr().out)) == [2, 4]


def test_a_half_written_checkpoint_is_named_and_the_others_are_evaluated(run, evaluated, capsys):
    whole = (run / "states-4.ckpt").read_bytes()
    (run / "states-4.ckpt").write_bytes(whole[: len(whole) // 2])
    assert evaluate(run) == 1
    assert evaluated == ["states-2.ckpt", "states-6.ckpt"]
    assert "states-4.ckpt" in capsys.readouterr().err
    (run / "states-4.ckpt").write_bytes(whole)
    assert evaluate(run) == 0
    assert evaluated[2:] == ["states-4.ckpt"]


def test_what_another_process_evaluates_is_left_to_it(run, evaluated, capsys):
    with claimed(run / "states-2/.evaluation"):
        assert evaluate(run, "--every", 2) == 0
    assert evaluated == ["states-4.ckpt", "states-6.ckpt"]
    assert "states-2.ckpt is being evaluated by another process" in capsys.readouterr().out


def test_a_mistake_ends_it_at_the_first_checkpoint(run, evaluated, capsys):
    assert evaluate(run, "--corpus", "nowhere") == 2
    assert evaluated == ["states-2.ckpt"]
    said = capsys.readouterr().err
    assert "VoxCeleb1 was looked for in" in said and "The evaluation of run/states-2.ckpt has failed" in said


def test_folders_without_results_are_told(workdir, capsys):
    assert evaluate("nowhere") == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    Path("new").mkdir()
    assert evaluate("new") == 0
    assert "new has no checkpoint to evaluate yet" in capsys.readouterr().out
    assert evaluate_checkpoints.main(["new", "--report"]) == 2
    assert "No checkpoint of new has been evaluated on test yet" in capsys.readouterr().err


def test_the_scripts_of_the_public_recipe_evaluate_and_report(run, trained):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def script(name, *arguments):
        command = [FOLDER / name, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    corpus = trained.parent / "VoxCeleb1"
    assert evaluate(run, "--corpus", corpus) == 0
    table = (run / "report.txt").read_text()
    done = script("test_expdir.sh", run, corpus)  # finds all of them evaluated
    assert (done.returncode, done.stdout) == (0, table), done.stderr
    assert script("report.sh", run).stdout == table
    assert script("test_expdirs.sh", "nowhere").returncode == 2
    assert "test_expdir.sh result/downstream/NAME" in script("test_expdir.sh").stdout
