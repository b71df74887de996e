"""What a log file says of a training: lines of progress, of evaluations, and where everything is."""

import json

import pytest
import torch
from test_job import LineJob

from s3prl.training import report, summary
from s3prl.training.evaluation import evaluate
from s3prl.training.loop import Training
from s3prl.training.report import MetricLogger
from s3prl.utility import curves, progress
from s3prl.utility.metric import Metric


class SlowJob(LineJob):
    """Every batch takes 25 seconds of a clock of its own."""

    now, best = 0.0, []

    def loss(self, *args, **kwargs):
        self.now += 25
        return super().loss(*args, **kwargs)

    def report(self, split, *args):
        super().report(split, *args)
        return self.best if split == "dev" else []


@pytest.fixture
def job(tmp_path, monkeypatch):
    job = SlowJob(tmp_path / "run")
    job.settings.total_steps, job.settings.save_step, job.settings.eval_step = 8, 100, 100
    monkeypatch.setattr(progress, "clock", lambda: job.now)
    return job


def train_lines(capsys):
    lines = [line for line in capsys.readouterr().out.splitlines() if " train: " in line]
    return [line for line in lines if line.startswith("[Runner] step ")]


def test_without_a_terminal_a_training_says_how_far_it_is_once_a_minute(job, capsys):
    Training(job).run()
    lines = train_lines(capsys)
    assert [line.split()[2] for line in lines] == ["1/8", "4/8", "7/8"]
    assert lines[1].endswith("| 0.04 updates/s | about 2 min left")
    assert float(lines[0].split("loss ")[1].split()[0]) > float(lines[2].split("loss ")[1].split()[0])


def test_between_rare_logs_there_are_signs_of_life_with_the_loss_so_far(job, capsys):
    job.settings.log_step = 8
    Training(job).run()
    lines = train_lines(capsys)
    assert [line.split()[2] for line in lines] == ["3/8", "6/8"]
    assert all("nan" not in line for line in lines)


def test_verbose_prints_every_log(job, capsys):
    job.verbose = True
    Training(job).run()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == [str(step) for step in range(1, 9)]


def test_a_line_names_the_memory_of_a_gpu(job, monkeypatch):
    training = Training(job)
    training.learners[0].head.losses = [1.0, 2.0]
    job.device = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**29)
    assert training._progress_line(["2 updates/s"]) == (
        "[Runner] step 0/8 train: loss 1.5 | 2 updates/s | GPU peak 1.5 GiB"
    )


def test_a_long_evaluation_says_how_far_it_is_once_a_minute(job, capsys):
    job.batch_size = 1
    evaluate(job, "dev", MetricLogger(), 0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["dev: 3/8 batches", "dev: 6/8 batches"]


def test_the_beginning_names_what_is_trained_and_the_size_of_an_update(job, capsys):
    frozen = torch.nn.Linear(1000, 100).requires_grad_(False)
    job.models = {"Frozen": frozen, **job.trained, "Nothing": torch.nn.Identity()}
    job.settings.gradient_accumulate_steps, job.batch_size = 2, 4
    Training(job).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[Parameters] trained: Line 3 | frozen: Frozen 100k | none: Nothing"
    assert (
        lines[1] == "[Batch] 4 x 1 process x 2 accumulation steps = 8 per update, 1 update per epoch, on cpu"
    )


def test_a_partly_frozen_model_says_how_much_is_trained(job):
    job.trained["Line"].bias.requires_grad_(False)
    assert summary._parameters(job) == "[Parameters] trained: Line 2 of 3"


@pytest.mark.parametrize(
    ("count", "text"),
    [(13, "13"), (999, "999"), (5120, "5.12k"), (94_371_712, "94.4M"), (999_900, "1M"), (2 * 10**9, "2G")],
)
def test_numbers_of_parameters_have_three_digits(count, text):
    assert summary.short(count) == text


def test_the_end_tells_the_best_score_and_the_command_that_evaluates_it(job, capsys):
    job.settings.eval_step = 2
    Metric("error", lower_is_better=True, split="dev").write(job.expdir)
    job.best = ["dev-best.ckpt"]
    Training(job).run()
    lines = (job.expdir / report.JSONL).read_text().splitlines()
    errors = [line["error"] for line in map(json.loads, lines) if line["split"] == "dev"]
    out = capsys.readouterr().out
    assert f"[Runner] Best error on dev: {min(errors):.4g} at step " in out
    command = f"python run_downstream.py -m evaluate -t dev -e {job.expdir}/dev-best.ckpt"
    assert out.splitlines()[-1] == f"[Runner] Evaluate it: {command}"


def test_a_task_without_metric_and_best_checkpoint_gets_no_advice(job, capsys):
    Training(job).run()
    out = capsys.readouterr().out
    assert "Best" not in out and "Evaluate it" not in out


def test_the_end_draws_the_curves(job, capsys, monkeypatch):
    monkeypatch.setattr(summary, "draw_curves", report.draw_curves)
    Training(job).run()
    names = [job.expdir / f"curves.{kind}" for kind in ("png", "pdf")]
    assert all(path.stat().st_size > 5000 for path in names)
    assert f"[Runner] Curves: {names[0]}, {names[1]}, numbers in" in capsys.readouterr().out


def test_curves_that_cannot_be_drawn_are_one_line_of_warning(job, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summary, "draw_curves", report.draw_curves)
    monkeypatch.setattr(curves, "draw", fail)
    Training(job).run()
    out, err = capsys.readouterr()
    assert err == f"warning: {job.expdir}: the curves are not drawn: [Errno 28] No space left on device\n"
    assert "Trained to step 8" in out and "Curves: numbers in" in out


def test_drawing_can_be_switched_off(job, monkeypatch):
    monkeypatch.setattr(summary, "draw_curves", lambda folder: pytest.fail("drawn"))
    job.settings.draw_curves = False
    Training(job).run()


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard_is_advertised_only_where_it_is_installed(job, capsys, monkeypatch, installed):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    Training(job).run()
    assert (f"tensorboard --logdir {job.expdir}" in capsys.readouterr().out) is installed
