"""Cross-validation of emotion recognition: five folds by one command, or by five, and their mean."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, metrics
from emotions import make_emotions

from s3prl.downstream.emotion import cross_validation
from s3prl.utility.config import load_yaml

FOLDS = [f"fold{number}" for number in range(1, 6)]


@pytest.fixture
def options(workdir):
    """Options of a training of two updates."""
    make_emotions(workdir / "IEMOCAP")
    config = load_yaml(ROOT / "downstream/emotion/mini.yaml")
    config["runner"].update(total_steps=2, log_step=2, eval_step=2, save_step=2, draw_curves=False)
    config["downstream_expert"]["datarc"].update(root="IEMOCAP", num_workers=0)
    Path("er.yaml").write_text(yaml.safe_dump(config))
    return ["-u", "fbank_no_cmvn", "-c", "er.yaml", "--device", "cpu"]


def write_log(folder, *rows):
    """A log.log as every ER task leaves it: (step, dev, test) of each evaluation."""
    folder.mkdir(parents=True)
    best, lines = -1.0, []
    for step, dev, test in rows:
        lines += [f"train at step {step}: 0.9", f"dev at step {step}: {dev}"]
        if dev > best:
            best, lines = dev, [*lines, f"New best on dev at step {step}: {dev}"]
        lines += [] if test is None else [f"test at step {step}: {test}"]
    (folder / "log.log").write_text("\n".join(lines) + "\n")


def test_one_command_trains_what_is_left_of_five_folds_and_averages_them(options, capsys, monkeypatch):
    from s3prl import run_downstream

    train, started = run_downstream.main, []

    def interrupted(argv):
        started.append(argv[argv.index("-v") + 1])
        return 143 if started == FOLDS[:3] else train(argv)  # the cluster ends the job

    monkeypatch.setattr(run_downstream, "main", interrupted)
    command = ["-n", "er", *options]
    assert cross_validation.main(command) == 143
    assert started == FOLDS[:3] and not Path("result/downstream/er/cross_validation.json").exists()
    before = {
        fold: Path(f"result/downstream/er/{fold}/states-2.ckpt").stat().st_mtime_ns for fold in FOLDS[:2]
    }
    capsys.readouterr()
    assert cross_validation.main(command) == 0
    said = capsys.readouterr().out
    assert said.count("Already trained to step 2: nothing left to do.") == 2
    for fold, written in before.items():
        assert Path(f"result/downstream/er/{fold}/states-2.ckpt").stat().st_mtime_ns == written
    found = json.loads(Path("result/downstream/er/cross_validation.json").read_text())
    runs = [metrics(Path("result/downstream/er", fold)) for fold in FOLDS]
    tests = [line["acc"] for run in runs for line in run if line["split"] == "test"]
    assert len(tests) == 5
    assert [found["folds"][fold]["test"] for fold in FOLDS] == tests and found["complete"]
    assert found["mean"] == pytest.approx(np.mean(tests)) and found["std"] == pytest.approx(
        np.std(tests, ddof=1)
    )
    assert f"mean                                     {np.mean(tests):.4f}" in said
    assert Path("result/downstream/er/cross_validation.txt").read_text() in said
    sizes = [
        len(Path(f"result/downstream/er/{fold}/test_{fold}_truth.txt").read_text().splitlines())
        for fold in FOLDS
    ]
    assert sizes == [20, 20, 30, 20, 20]
    assert (
        cross_validation.main(["-n", "er", "-u", "mfcc", *options[2:]]) == 2
    )  # never the table of another model
    assert "-u: the run has 'fbank_no_cmvn', the command 'mfcc'" in capsys.readouterr().err


def test_the_report_takes_folds_that_were_trained_one_by_one_under_either_name(workdir, capsys):
    write_log(Path("sweep/er_fold1"), (100, 0.5, 0.4), (200, 0.7, 0.6), (300, 0.7, 0.9))
    write_log(Path("sweep/er_fold2"), (100, 0.8, 0.5), (200, 0.6, 0.7))
    write_log(Path("sweep/er/fold4"), (100, 0.9, 0.7))
    Path("sweep/er_fold5").mkdir()  # its job waits
    assert cross_validation.main(["-p", "sweep/er", "--report"]) == 0
    assert capsys.readouterr().out.splitlines()[:9] == [
        "fold   trained to  best step  dev acc  test acc",
        "-----  ----------  ---------  -------  --------",
        "fold1         300        200   0.7000    0.6000",
        "fold2         200        100   0.8000    0.5000",
        "fold4         100        100   0.9000    0.7000",
        "mean                                     0.6000",
        "std                                      0.1000",
        "No result yet of fold3, fold5: the mean is that of the others.",
        "Written to sweep/er/cross_validation.txt and .json",
    ]
    assert not json.loads(Path("sweep/er/cross_validation.json").read_text())["complete"]


def test_a_test_accuracy_that_was_not_logged_comes_from_a_later_evaluation(workdir, capsys):
    write_log(Path("er/fold1"), (100, 0.5, None), (200, 0.7, None))
    assert cross_validation.main(["-p", "er", "--report"]) == 0
    said = capsys.readouterr().out
    assert (
        "fold1 has no test accuracy at step 200. Evaluate it: python run_downstream.py -m evaluate -t test"
        in said
    )
    assert "-e er/fold1/dev-best.ckpt" in said
    result = {"split": "test", "step": 200, "metrics": {"acc": 0.625, "loss": 1.0}}
    Path("er/fold1/result-test.json").write_text(json.dumps(result))
    assert cross_validation.main(["-p", "er", "--report"]) == 0
    assert "fold1         200        200   0.7000    0.6250\n" in capsys.readouterr().out


def test_a_run_of_another_fold_than_its_folder_says_is_refused(workdir, capsys):
    write_log(Path("er/fold2"), (100, 0.5, 0.5))
    Path("er/fold2/test_fold1_truth.txt").write_text("Ses01F_impro01_F000.wav neu\n")  # -v was forgotten
    assert cross_validation.main(["-p", "er", "--report"]) == 2
    assert (
        "er/fold2 holds a run of fold1, not of fold2. Train it again with -v fold2" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-u", "fbank"], "Name the experiment with -n"),
        (["-n", "er", "-v", "fold1"], "-v names one fold"),
        (["-n", "er", "-e", "er/fold1"], "-e continues one run"),
        (["-n", "er", "--sweep_lr", "1e-2,1e-3"], "Give each rate a name of its own"),
        (["-n", "er", "-d", "asr"], "-d asr: cross-validation has -d emotion"),
        (["-n", "er", "--report"], "result/downstream/er has no result of a fold yet"),
        (["-n", "er", "-u", "fbank", "--reprot"], "there is no option --reprot. "),
        (
            ["-n", "er", "-u", "fbank", "-o", "config.downstream_expert.datarc.test_fold=fold2"],
            "IEMOCAP was looked for",
        ),
    ],
)
def test_mistakes_of_the_command_are_refused(workdir, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("S3PRL_CORPORA", "/nowhere")
    assert cross_validation.main([*arguments]) == 2
    assert message in capsys.readouterr().err


def test_several_processes_are_told_to_train_the_folds_one_by_one(workdir, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cross_validation.main(["-n", "er", "-u", "fbank"]) == 2
    assert "start run_downstream.py for each fold (-v fold1 -n NAME/fold1)" in capsys.readouterr().err
