"""Several learners on one stream of batches: each ends as it would alone, to the bit, also after kills."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from conftest import metrics, same
from test_job import LineJob

from s3prl.training import checkpoint as checkpoints
from s3prl.training.learner import Learner
from s3prl.training.loop import Training
from s3prl.utility.errors import Terminated
from s3prl.utility.files import states_in

EXACT = (
    "Line", "Optimizer", "Scheduler", "Step", "Epoch", "Position", "Random", "Records", "Counters",
    "GradientNorms", "Journals",
)  # fmt: skip
RATES = (0.05, 0.01, 0.002)


class NoisyJob(LineJob):
    """Its loss draws from all three generators, an odd number of times; its report draws too."""

    def __init__(self, expdir, rate, bad=(3,), total=7):
        expdir.parent.mkdir(exist_ok=True)
        super().__init__(expdir, bad=bad, batch_size=2, accumulate=2)
        self.optimizer = {"name": "AdamW", "lr": rate}
        self.scheduler = {"name": "linear_schedule_with_warmup", "num_warmup_steps": 2}
        settings = self.settings
        settings.total_steps, settings.log_step, settings.eval_step, settings.save_step = total, 2, 3, 2
        settings.max_keep = 2
        self.encoded = self.best = 0

    def encode(self, batch):
        self.encoded += 1
        return batch

    def loss(self, split, encoded, records, batch_id=None):
        noise = torch.rand(len(encoded), 1) + random.random() + np.random.randn()
        return super().loss(split, encoded * noise, records, batch_id)

    def report(self, split, records, logger, step, batch_ids, total_batches):
        logger.add_scalar(f"line/{split}-drawn", random.random() + np.random.rand() + torch.rand(()), step)
        super().report(split, records, logger, step, batch_ids, total_batches)
        return ["dev-best.ckpt"] if split == "dev" else []


def folder_name(rate):
    return f"lr{rate}"


def sweep(folder, rates=RATES, job=NoisyJob, **options):
    """Train heads from where each stopped, in `folder`; returns the jobs."""
    jobs, starts = [], []
    for rate in rates:
        place = folder / folder_name(rate)
        states = states_in(place) if place.is_dir() else []
        if place.is_dir():
            place.rename(folder / "kept")
        jobs.append(job(place, rate, **options))
        if (folder / "kept").is_dir():
            place.rmdir()
            (folder / "kept").rename(place)
        state = checkpoints.load(states[0]) if states else None
        if state is not None:
            jobs[-1].trained["Line"].load_state_dict(state["Line"])
        starts.append((state, str(place)))
    beside = [Learner(one, *start) for one, start in zip(jobs[1:], starts[1:], strict=True)]
    Training(jobs[0], *starts[0], beside=beside).run()
    return jobs


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the separate runs, one for each rate."""
    folder = tmp_path_factory.mktemp("alone") / "runs"
    for rate in RATES:
        Training(NoisyJob(folder / folder_name(rate), rate)).run()
    return folder


def assert_equal(folder, alone, rates=RATES):
    for rate in rates:
        one, other = folder / folder_name(rate), alone / folder_name(rate)
        names = sorted(path.name for path in other.glob("*.ckpt"))
        assert sorted(path.name for path in one.glob("*.ckpt")) == names
        for name in names:
            states = [checkpoints.load(place / name) for place in (one, other)]
            for key in EXACT:
                assert same(states[0][key], states[1][key]), (rate, name, key)
        assert metrics(one) == metrics(other)


def test_every_head_ends_as_its_separate_run_to_the_bit(tmp_path, alone):
    sweep(tmp_path / "sweep")
    assert_equal(tmp_path / "sweep", alone)
    weights = [checkpoints.load(alone / folder_name(rate) / "states-7.ckpt")["Line"] for rate in RATES]
    assert not same(weights[0], weights[1])


def test_a_batch_is_encoded_once_for_all_heads_in_training_and_in_evaluation(tmp_path):
    single = sweep(tmp_path / "single", RATES[:1])
    jobs = sweep(tmp_path / "sweep")
    assert [job.encoded for job in jobs] == [single[0].encoded, 0, 0]


def test_heads_killed_between_any_two_saves_go_on_to_the_same_end(tmp_path, alone, monkeypatch):
    save, writes = checkpoints.save, 3 * 5  # of every head: steps 2, 3 (best), 4, 6 (with best), 7
    for kill in range(writes):
        left = [kill]

        def until_killed(*arguments, left=left):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return save(*arguments)

        folder = tmp_path / str(kill)
        monkeypatch.setattr(checkpoints, "save", until_killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(folder)
        monkeypatch.setattr(checkpoints, "save", save)
        sweep(folder)
        assert_equal(folder, alone)


def test_a_head_that_is_done_waits_for_a_new_one(tmp_path, alone):
    folder = tmp_path / "sweep"
    sweep(folder, RATES[:1])
    written = (folder / folder_name(RATES[0]) / "states-7.ckpt").stat().st_mtime_ns
    jobs = sweep(folder)
    assert_equal(folder, alone)
    assert (folder / folder_name(RATES[0]) / "states-7.ckpt").stat().st_mtime_ns == written
    assert sorted(set(jobs[1].noted)) == [3], "every head lists the recordings that it went without"


class InterruptedJob(NoisyJob):
    """The cluster warns during the third update."""

    calls = 0

    def loss(self, split, encoded, records, batch_id=None):
        self.calls += 1
        if self.calls == 5 and self.optimizer["lr"] == RATES[1]:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(split, encoded, records, batch_id)


def test_a_signal_saves_all_heads_at_the_step(tmp_path, alone):
    with pytest.raises(Terminated):
        sweep(tmp_path / "sweep", job=InterruptedJob)
    assert all((tmp_path / "sweep" / folder_name(rate) / "states-3.ckpt").is_file() for rate in RATES)
    sweep(tmp_path / "sweep")
    assert_equal(tmp_path / "sweep", alone)


class ForgetfulJob(NoisyJob):
    """Memory runs out once, in the loss of the middle rate's second update."""

    calls = 0

    def loss(self, split, encoded, records, batch_id=None):
        loss = super().loss(split, encoded, records, batch_id)
        self.calls += 1
        if self.calls == 3 and self.optimizer["lr"] == RATES[1]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss


def test_when_memory_runs_out_in_one_head_the_batch_is_skipped_for_all(tmp_path, capsys):
    sweep(tmp_path / "sweep", job=ForgetfulJob)
    told = "Out of memory at step 2 (some numbers): batch skipped, 1 so far"
    assert capsys.readouterr().out.count(told) == 1
    ends = [checkpoints.load(tmp_path / "sweep" / folder_name(rate) / "states-7.ckpt") for rate in RATES]
    assert [end["Counters"]["out_of_memory"] for end in ends] == [1, 1, 1]
    single = ForgetfulJob(tmp_path / "single", RATES[1])
    Training(single).run()
    end = checkpoints.load(single.expdir / "states-7.ckpt")
    assert same(end["Line"], ends[1]["Line"]) and same(end["Random"], ends[1]["Random"])
    assert len({(end["Epoch"], end["Position"]) for end in [*ends, end]}) == 1


class ExplodingJob(NoisyJob):
    """The highest rate's loss becomes NaN in the third update."""

    calls = 0

    def loss(self, split, encoded, records, batch_id=None):
        self.calls += batch_id is None
        loss = super().loss(split, encoded, records, batch_id)
        return loss * float("nan") if self.calls == 5 and self.optimizer["lr"] == RATES[0] else loss


def test_gradients_that_are_not_finite_are_one_head_s_own_affair(tmp_path, alone, capsys):
    sweep(tmp_path / "sweep", job=ExplodingJob)
    assert "lr0.05: Gradients that are not finite at step 3" in capsys.readouterr().out
    assert_equal(tmp_path / "sweep", alone, RATES[1:])
    lines = metrics(tmp_path / "sweep" / folder_name(RATES[0]))
    assert lines[-2]["nan_gradients"] == 1


def test_every_line_about_one_head_names_it(tmp_path, capsys):
    sweep(tmp_path / "sweep", RATES[:2])
    out = capsys.readouterr().out
    assert "[Runner] lr0.05: step 3/7 dev: " in out and "[Runner] lr0.01: step 3/7 dev: " in out
    assert out.count("[Batch] 2 x 1 process x 2 accumulation steps = 4 per update") == 1
    assert "train: loss lr0.05: " in out
