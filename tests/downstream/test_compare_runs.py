"""Two trained and evaluated runs, compared by a significance test on the files that they have left."""

import pytest
from own_data import make_classes, make_config

from s3prl.utility import run_sig_test
from s3prl.utility.predictions import read_scores

SHORT = "config.runner.total_steps={},,config.runner.eval_step=50,,config.runner.save_step={}"


@pytest.fixture
def runs(workdir, downstream):
    """A run of one step and one of eight, evaluated on the test set."""
    make_classes(workdir / "own", {"train": 12, "dev": 6, "test": 12})
    make_config("utterance_classification", workdir / "own", "own.yaml")
    for name, steps in (("one", 1), ("eight", 8)):
        downstream(
            *("-m", "train", "-u", "fbank", "-d", "utterance_classification", "-c", "own.yaml", "-p", name),
            *("-o", SHORT.format(steps, steps)),
        )
        downstream("-m", "evaluate", "-t", "test", "-e", f"{name}/states-{steps}.ckpt")
    return workdir


@pytest.mark.parametrize("mode", run_sig_test.MODES)
def test_evaluated_runs_are_compared(runs, mode, capsys):
    capsys.readouterr()
    assert run_sig_test.main(["-m", mode, "-e1", "one", "-e2", "eight/states-8.ckpt"]) == 0
    said = capsys.readouterr().out
    accuracy = sum(read_scores(runs / "one", "test").values.values()) / 12
    assert "12 of test" in said and f"mean accuracy {accuracy:.4f}" in said and "p-value" in said
