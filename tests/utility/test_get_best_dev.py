"""get_best_dev.py and get_best_score.py on the log formats of the tasks, started as documented."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SENTENCES = """\
train at step 100: 0.50
dev at step 100: 0.71
New best on dev at step 100: 0.71
test at step 100: 0.69
dev at step 200: 0.8049999475479126
New best on dev at step 200: 0.8049999475479126
test at step 200: 0.7912
dev at step 300: 0.80
test at step 300: 0.99
"""
FIELDS = """\
best|libri_phone/train-|step:100|acc:0.5
best|libri_phone/dev-|step:100|acc:0.6
best|libri_phone/test-|step:100|acc:0.61
best|libri_phone/dev-|step:200|acc:0.7
best|libri_phone/test-|step:200|acc:0.69
best|libri_phone/dev-|step:300|acc:0.65
best|libri_phone/test-|step:300|acc:0.95
"""


def call(script, *arguments, folder):
    command = [sys.executable, str(ROOT / "utility" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write(folder, text, name="log.log", states=()):
    (folder / name).write_text(text)
    for step in states:
        (folder / f"states-{step}.ckpt").touch()
    return folder / name


@pytest.mark.parametrize("target", ["log.log", "."])
def test_the_two_sentences_for_a_log_or_its_folder(tmp_path, target):
    write(tmp_path, SENTENCES, states=(90, 300, 1000))
    result = call("get_best_dev.py", target, folder=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.splitlines() == [
        "The last ckpt: states-1000.ckpt",
        "The best dev score 0.8049999475479126 at step 200, accompanied by this test score 0.7912",
    ]


def test_scores_behind_the_stop_step_are_left_out(tmp_path):
    log = write(tmp_path, SENTENCES)
    assert (
        "score 0.71 at step 100, accompanied by this test score 0.69"
        in call("get_best_dev.py", log, 150, folder=tmp_path).stdout
    )


def test_no_checkpoints_and_no_test_score_are_said_so(tmp_path):
    log = write(tmp_path, SENTENCES.replace("test", "other"))
    lines = call("get_best_dev.py", log, folder=tmp_path).stdout.splitlines()
    assert lines[0] == f"The last ckpt: none found in {tmp_path}"
    assert lines[1].endswith("at step 200, without a test score of that step in the log")


def test_the_phone_format_is_read_and_a_best_forgotten_by_a_resumed_run_is_not(tmp_path):
    log = write(tmp_path, FIELDS)
    assert (
        "The best dev score 0.7 at step 200, accompanied by this test score 0.69"
        in call("get_best_dev.py", log, folder=tmp_path).stdout
    )


def test_lines_that_an_evaluation_of_the_checkpoint_appended_do_not_count(tmp_path):
    log = write(
        tmp_path, SENTENCES + "dev at step 0: 0.9\nNew best on dev at step 0: 0.9\ntest at step 0: 0.4\n"
    )
    assert "score 0.8049999475479126 at step 200" in call("get_best_dev.py", log, folder=tmp_path).stdout


def test_a_score_that_is_nan_is_never_the_best(tmp_path):
    log = write(tmp_path, "dev at step 5: nan\ndev at step 6: 0.3\ndev at step 7: 0.2\n")
    assert "The best dev score 0.3 at step 6" in call("get_best_dev.py", log, folder=tmp_path).stdout


def test_several_test_splits_are_all_told(tmp_path):
    text = "dev-clean at step 5: 0.5\nNew best on dev-clean at step 5: 0.5\n"
    log = write(tmp_path, text + "test-clean at step 5: 0.4\ntest-other at step 5: 0.3\n")
    assert (
        "these scores: test-clean 0.4, test-other 0.3" in call("get_best_dev.py", log, folder=tmp_path).stdout
    )


def test_an_experiment_without_log_file_is_ranked_by_its_metrics_error_rates_downwards(tmp_path):
    rows = [
        {"step": 100, "split": "train", "loss": 3.0, "lr": 0.1},
        {"step": 200, "split": "dev-clean", "loss": 2.0, "uer": 20.0, "wer": 35.1},
        {"step": 200, "split": "test-clean", "loss": 2.0, "uer": 21.0, "wer": 36.5},
        {"step": 400, "split": "dev-clean", "loss": 1.0, "uer": 18.0, "wer": 36.0},
        {"step": 500, "split": "train", "loss": 1.0, "lr": 0.1},
    ]
    write(tmp_path, "\n".join(map(json.dumps, rows)) + '\n{"step": 600, "spl', name="metrics.jsonl")
    assert (
        "The best dev-clean score 35.1 at step 200, accompanied by this test-clean score 36.5"
        in call("get_best_dev.py", tmp_path, folder=tmp_path).stdout
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "The best dev score 0.7 at step 200, accompanied by this test score 0.69"),
        (("dev", "test"), "The best dev score 0.7 at step 200, accompanied by this test score 0.69"),
        (("dev", "test", "-"), "The best dev score 0.6 at step 100, accompanied by this test score 0.61"),
        (("test", "dev", "+"), "The best test score 0.95 at step 300, accompanied by this dev score 0.65"),
    ],
)
def test_get_best_score_ranks_by_any_split_in_any_direction(tmp_path, words, expected):
    log = write(tmp_path, FIELDS)
    assert expected in call("get_best_score.py", log, *words, folder=tmp_path).stdout


@pytest.mark.parametrize("script", ["get_best_dev.py", "get_best_score.py"])
def test_a_wrong_path_or_a_log_without_scores_ends_with_one_sentence_and_code_2(tmp_path, script):
    (tmp_path / "empty").mkdir()
    write(tmp_path, "nothing of note\n")
    for path, message in (
        ("absent.log", "absent.log does not exist"),
        ("empty", "empty holds no log.log"),
        ("log.log", "log.log holds no score"),
    ):
        result = call(script, path, folder=tmp_path)
        assert result.returncode == 2 and result.stdout == ""
        assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_split_that_the_log_lacks_is_named(tmp_path):
    result = call("get_best_score.py", write(tmp_path, FIELDS), "valid", folder=tmp_path)
    assert result.returncode == 2 and "no score of 'valid', only of train, dev, test" in result.stderr


def test_the_script_starts_without_heavy_libraries(tmp_path):
    code = "import sys, s3prl.utility.get_best_dev; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
