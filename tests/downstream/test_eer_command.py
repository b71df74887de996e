"""`metrics eer`: both metrics of scores in files, and what it says of files that cannot be scored."""

import numpy as np
import pytest

from s3prl.downstream.common.metrics import __main__ as scorers
from s3prl.downstream.common.metrics.eer import equal_error_rate, min_dcf


@pytest.fixture
def eer(monkeypatch, capsys):
    """Run the command; returns its exit code and what it printed."""
    monkeypatch.setattr(scorers, "COMMANDS", ("eer",))

    def run(*arguments):
        code = scorers.main(["eer", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def files(tmp_path):
    """Writes named files from lists of lines; returns their paths."""

    def write(**contents):
        for name, lines in contents.items():
            (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        return [tmp_path / f"{name}.txt" for name in contents]

    return write


def system():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], 50)
    return (labels + rng.normal(size=100)).tolist(), labels.tolist()


def test_one_file_with_labels_and_two_files_with_keys_give_the_same(eer, files):
    scores, labels = system()
    trials = list(zip(labels, scores, strict=True))
    (alone,) = files(alone=[f"{label} a/{n}.wav b/{n}.wav {s!r}" for n, (label, s) in enumerate(trials)])
    predicted, truth = files(
        predicted=[f"a-{n}_b-{n} {score!r}" for n, score in enumerate(scores)],
        truth=[f"a-{n}_b-{n} {label}" for n, label in reversed(list(enumerate(labels)))],
    )
    rate, cost = equal_error_rate(scores, labels)[0], min_dcf(scores, labels)[0]
    code, said = eer(alone)
    assert code == 0 and said == eer(predicted, truth)[1]
    assert (
        f"EER     {100 * rate:.4f} %" in said
        and f"minDCF  {cost:.6f}  (p_target 0.01, c_miss 1, c_fa 1;" in said
    )
    assert "trials  100: 50 target, 50 nontarget" in said


def test_files_that_were_saved_by_a_windows_editor_are_read(eer, files, tmp_path):
    (path,) = files(alone=["1 a b 0.5", "0 a c 0.1"])
    (tmp_path / "saved.txt").write_text(path.read_text(), "utf-8-sig", newline="\r\n")
    assert eer(tmp_path / "saved.txt") == eer(path)


def test_the_parameters_of_the_cost_are_options(eer, files):
    scores, labels = system()
    (path,) = files(alone=[f"{label} a b {score!r}" for label, score in zip(labels, scores, strict=True)])
    cost = min_dcf(scores, labels, 0.2, 3.0, 0.5)[0]
    code, said = eer(path, "--p_target", 0.2, "--c_miss", 3, "--c_fa", 0.5)
    assert code == 0 and f"minDCF  {cost:.6f}  (p_target 0.2, c_miss 3, c_fa 0.5;" in said
    assert eer(path, "--p_target", 2) == (2, "Error: p_target must lie between 0 and 1, not 2.0.\n")


def test_a_trial_that_is_listed_twice_counts_twice_where_the_files_agree(eer, files):
    predicted, truth = files(predicted=["x 0.9", "x 0.9", "y 0.1"], truth=["x 1", "x 1", "y 0"])
    assert "trials  3: 2 target" in eer(predicted, truth)[1]
    files(truth=["y 0", "x 1", "x 1"])
    assert "has two lines for the trial x" in eer(predicted, truth)[1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 a b 0.5", "2 a b 0.5"], "scores.txt, line 2: the label must be 1 or 0, not '2'."),
        (["1 a b high"], "scores.txt, line 1: the score must be a finite number, not 'high'."),
        (["1 a b nan"], "line 1: the score must be a finite number, not 'nan'."),
        (
            ["", "a_b 0.5"],
            "line 2: 'a_b 0.5' is not `<1|0> <recording> <recording> <score>`. Without a file TRUTH",
        ),
        (["1 a b 0.5"], "There are no nontarget trials (0) among the 1 trials"),
    ],
)
def test_lines_that_cannot_be_scored_are_named(eer, files, lines, message):
    code, said = eer(*files(scores=lines))
    assert code == 2 and message in said and "Traceback" not in said


def test_files_of_different_evaluations_are_refused(eer, files, tmp_path):
    predicted, truth = files(predicted=["x 0.9", "y 0.1"], truth=["x 1"])
    code, said = eer(predicted, truth)
    assert code == 2 and f"{truth} has no line for 1 of the 2 trials of {predicted}; the first is y" in said
    files(truth=["x 1", "y 0", "z 0"])
    assert (
        f"{predicted} has no line for 1 of the 3 trials of {truth}; the first is z"
        in eer(predicted, truth)[1]
    )
    assert "There is no file" in eer(tmp_path / "gone.txt")[1]
