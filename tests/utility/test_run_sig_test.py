"""Paired significance tests: exact numbers, and what evaluations have written as their input."""

import json
import re

import numpy as np
import pytest
from scipy import special, stats

from s3prl.utility import run_sig_test
from s3prl.utility.predictions import read_scores
from s3prl.utility.significance import fisher_test, incomplete_beta, mcnemar_test, paired_t_test


def drawn(count, seed=0):
    """Two systems: scores, and whether they are right."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=count), generator.normal(0.1, 1.5, size=count)
    return scores, (generator.random(count) < 0.7, generator.random(count) < 0.74)


@pytest.mark.parametrize("count", [2, 7, 300, 20_000])
def test_the_tests_agree_with_scipy(count):
    scores, (one, other) = drawn(count)
    found, expected = paired_t_test(*scores), stats.ttest_rel(*scores)
    assert found == pytest.approx((expected.statistic, expected.pvalue), rel=1e-8)
    alone, total = int((one & ~other).sum()), int((one != other).sum())
    expected = stats.binomtest(alone, total).pvalue if total else 1.0
    assert mcnemar_test(one, other) == pytest.approx((min(alone, total - alone), expected), rel=1e-8)
    table = [[one.sum(), other.sum()], [count - one.sum(), count - other.sum()]]
    assert fisher_test(one, other).p_value == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-8)


@pytest.mark.parametrize("a", [0.5, 3, 50, 5000])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.2, 0.9, 0.9999, 1.0])
def test_the_incomplete_beta_function_agrees_with_scipy(a, x):
    for b in (0.5, 4):
        assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-290)


def test_equal_systems_are_not_significantly_different():
    same = [1.0, 0.0, 1.0]
    assert paired_t_test(same, same).p_value == 1.0
    assert mcnemar_test(same, same).p_value == 1.0
    assert fisher_test(same, same).p_value == pytest.approx(1.0)
    assert paired_t_test([2.0, 3.0], [1.0, 2.0]).p_value == 0.0, "a constant difference"


def write(folder, name, lines):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def classified(folder, right, split="test"):
    """Predictions of a task with one class for every utterance."""
    write(folder, f"{split}_truth.txt", [f"u{number} yes" for number in range(len(right))])
    found = [f"u{number} {'yes' if hit else 'no'}" for number, hit in enumerate(right)]
    write(folder, f"{split}_predict.txt", found)
    return folder


def recognised(folder, texts, references, split="test"):
    write(folder, f"{split}-ref.ark", [f"u{number} {text}" for number, text in enumerate(references)])
    write(folder, f"{split}-hyp.ark", [f"u{number} {text}".strip() for number, text in enumerate(texts)])
    return folder


def run(capsys, *arguments, code=0):
    assert run_sig_test.main([str(argument) for argument in arguments]) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def test_mcnemar_counts_utterances_that_one_run_alone_gets_right(tmp_path, capsys):
    one = classified(tmp_path / "one", [True] * 12 + [False] * 3 + [True])
    other = classified(tmp_path / "other", [False] * 12 + [True] + [False] * 2 + [True])
    out = run(capsys, "-m", "mcnemar", "-e1", one, "-e2", other)
    assert "12 right in the first run alone, 1 in the second alone" in out
    assert f"  {stats.binomtest(1, 13).pvalue:.4g}\n" in out
    assert "mean accuracy 0.8125" in out and "mean accuracy 0.1250" in out
    assert "The difference is significant at the level 0.05." in out
    assert "not significant at the level 0.001" in run(
        capsys, "-m", "mcnemar", "-e1", one, "-e2", other, "--alpha", 0.001
    )


def test_names_with_blanks_are_told_apart(tmp_path):
    write(tmp_path / "own", "test_truth.txt", ["my a.wav yes", "my b.wav no", "you yes"])
    write(tmp_path / "own", "test_predict.txt", ["my a.wav yes", "my b.wav yes", "you yes"])
    assert list(read_scores(tmp_path / "own", "test").values.values()) == [1.0, 0.0, 1.0]
    write(tmp_path / "own", "dev_acc.txt", ["my a 0.5", "my b 0.25"])
    assert list(read_scores(tmp_path / "own", "dev").values.values()) == [0.5, 0.25]


def test_a_recogniser_is_compared_by_its_errors_in_every_utterance(tmp_path, capsys):
    references = ["a b c", "d e", "f"]
    one = recognised(tmp_path / "one", ["a b c", "d x", "f g"], references)
    other = recognised(tmp_path / "other", ["a x y", "", "f"], references)
    assert read_scores(one, "test").values == {"u0": 0, "u1": 1, "u2": 1}
    assert read_scores(other, "test", "char").values == {"u0": 2, "u1": 3, "u2": 0}
    out = run(capsys, "-m", "ttest", "-e1", one, "-e2", other)
    expected = stats.ttest_rel([0, 1, 1], [2, 2, 0])
    assert "word errors 33.33 %" in out and "word errors 66.67 %" in out
    assert f"{expected.pvalue:.4g}" in out and f"t = {expected.statistic:.4g}, 2 degrees" in out
    assert "1 right in the first run alone, 1 in" in run(capsys, "-m", "mcnemar", "-e1", one, "-e2", other)


def test_frames_are_compared_by_the_accuracy_of_every_utterance(tmp_path, capsys):
    for name, accuracies in (("one", (0.5, 0.75, 1.0)), ("other", (0.25, 0.5, 0.9))):
        write(tmp_path / name, "test_acc.txt", [f"u{n} {value:.6f}" for n, value in enumerate(accuracies)])
        write(tmp_path / name, "test_predict.txt", ["u0 A B"])
    runs = ["-e1", tmp_path / "one", "-e2", tmp_path / "other"]
    expected = stats.ttest_rel([0.5, 0.75, 1.0], [0.25, 0.5, 0.9]).pvalue
    assert f"{expected:.4g}" in run(capsys, "-m", "ttest", *runs)
    assert "Use -m ttest" in run(capsys, "-m", "fisher", *runs, code=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: classified(folder, [True] * 3), "were not evaluated on the same utterances; .*u3"),
        (lambda folder: write(folder, "test_truth.txt", [f"u{n} no" for n in range(4)]), "What is true diff"),
        (lambda folder: recognised(folder, ["a"], ["a"]), "has accuracy and .* word errors"),
        (lambda folder: write(folder, "test_predict.txt", ["u0 yes", "u0 yes"]), "do not have the same utt"),
        (lambda folder: (folder / "test_truth.txt").unlink(), "needs test_truth.txt beside it"),
        (lambda folder: (folder / "test_predict.txt").unlink(), "has no predictions of 'test'"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, capsys, change, message):
    one, other = (classified(tmp_path / name, [True] * 4) for name in ("one", "other"))
    change(other)
    error = run(capsys, "-e1", one, "-e2", other, code=2)
    assert re.search(message, error), error


def test_the_splits_that_have_predictions_are_named(tmp_path, capsys):
    folder = recognised(tmp_path / "one", ["a"], ["a"], "test-clean-noLM")
    error = run(capsys, "-e1", folder, "-e2", folder, "-t", "test-clean", code=2)
    assert "It has those of test-clean-noLM (-t)" in error


def test_a_checkpoint_that_was_not_evaluated_last_is_refused(tmp_path, capsys):
    folder = classified(tmp_path / "one", [True, False], "test_fold1")
    (folder / "states-5.ckpt").touch()
    (folder / "dev-best.ckpt").touch()
    result = {"split": "test", "checkpoint": f"{folder}/dev-best.ckpt", "step": 5, "metrics": {"acc": 0.5}}
    (folder / "result-test.json").write_text(json.dumps(result))
    arguments = ["-t", "test_fold1", "-e2", folder, "-e1"]
    assert "p-value" in run(capsys, *arguments, folder / "dev-best.ckpt")
    error = run(capsys, *arguments, folder / "states-5.ckpt", code=2)
    assert "are those of dev-best.ckpt, not of states-5.ckpt. Evaluate it first" in error


def test_after_a_training_predictions_are_those_of_its_last_step(tmp_path, capsys):
    folder = classified(tmp_path / "one", [True, False])
    for name in ("states-5.ckpt", "dev-best.ckpt"):
        (folder / name).touch()
    (folder / "metrics.jsonl").write_text(
        "".join(f'{{"step": {step}, "split": "test", "acc": 0.5}}\n' for step in (3, 5))
    )
    assert f"{folder}  mean accuracy 0.5000  (states-5.ckpt)" in run(capsys, "-e1", folder, "-e2", folder)
    assert "p-value" in run(capsys, "-e1", folder / "states-5.ckpt", "-e2", folder)
    error = run(capsys, "-e1", folder / "dev-best.ckpt", "-e2", folder, code=2)
    assert "are those of states-5.ckpt, not of dev-best.ckpt. Evaluate it first" in error
    result = {"split": "test", "checkpoint": "dev-best.ckpt", "step": 3, "metrics": {"acc": 0.5}}
    (folder / "result-test.json").write_text(json.dumps(result))
    assert "(dev-best.ckpt)" in run(capsys, "-e1", folder / "dev-best.ckpt", "-e2", folder)


def test_classes_called_0_and_1_are_no_scores_of_trials(tmp_path):
    write(tmp_path, "test_truth.txt", ["a 1", "b 0", "c 0"])
    write(tmp_path, "test_predict.txt", ["a 1", "b 2", "c 0"])
    assert read_scores(tmp_path, "test").values == {"a": 1.0, "b": 0.0, "c": 1.0}


def test_a_text_may_hold_any_break_but_that_of_a_line(tmp_path):
    folder = recognised(tmp_path / "one", ["a b", "c"], ["a\u2028b", "c\x85d"])
    assert read_scores(folder, "test").values == {"u0": 0, "u1": 1}


def test_damaged_scores_are_told(tmp_path, capsys):
    write(tmp_path / "own", "test_acc.txt", ["a nan", "b 0.5"])
    write(tmp_path / "own", "test_predict.txt", ["a x", "b x"])
    assert "some are NaN" in run(capsys, "-e1", tmp_path / "own", "-e2", tmp_path / "own", code=2)
    (tmp_path / "own/test_acc.txt").write_bytes(b"a \xff\n")
    assert "no UTF-8 at byte 2" in run(capsys, "-e1", tmp_path / "own", "-e2", tmp_path / "own", code=2)


def test_scores_of_trials_are_sent_to_the_equal_error_rate(tmp_path, capsys):
    write(tmp_path / "asv", "test_truth.txt", ["a_b 1", "a_c 0"])
    write(tmp_path / "asv", "test_predict.txt", ["a_b 0.83", "a_c 0.1"])
    error = run(capsys, "-e1", tmp_path / "asv", "-e2", tmp_path / "asv", code=2)
    assert "scores of trials" in error and "eer" in error
