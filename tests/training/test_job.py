"""The engine on a job that knows no speech: dropped items, resuming, evaluation, signal handlers."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, same

from s3prl.training import checkpoint as checkpoints
from s3prl.training.evaluation import evaluate
from s3prl.training.job import Job
from s3prl.training.loop import Training
from s3prl.training.report import MetricLogger
from s3prl.training.settings import RunnerSettings
from s3prl.utility.errors import DroppedItem, Terminated, UserError


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor([float(index), 1.0])


class LineJob(Job):
    """Fits a line; items named in `bad` cannot be used."""

    def __init__(self, expdir, bad=(), only=None, batch_size=8, accumulate=1):
        self.settings = RunnerSettings(total_steps=3, log_step=1, eval_step=9, save_step=3)
        self.settings.gradient_accumulate_steps = accumulate
        self.settings.eval_dataloaders = ["dev"]
        self.optimizer, self.scheduler = {"name": "TorchOptim", "torch_optim_name": "SGD", "lr": 0.01}, None
        self.seed, self.device, self.expdir = 1, torch.device("cpu"), expdir
        expdir.mkdir()
        torch.manual_seed(0)
        self.models = self.trained = {"Line": torch.nn.Linear(2, 1)}
        self.bad, self.only, self.batch_size, self.noted = bad, only, batch_size, []

    def loader(self, split):
        dataset = Numbers()
        if self.only is not None:
            dataset = torch.utils.data.Subset(dataset, self.only)
        return torch.utils.data.DataLoader(dataset, self.batch_size)

    def prepare(self, item):
        if int(item[0]) in self.bad:
            raise DroppedItem(int(item[0]))
        return item

    def loss(self, split, encoded, records, batch_id=None):
        errors = (self.trained["Line"](encoded)[:, 0] - 3 * encoded[:, 0]).square()
        records["errors"] += errors.tolist()
        return errors.mean()

    def report(self, split, records, logger, step, batch_ids, total_batches):
        logger.add_scalar(f"line/{split}-error", sum(records["errors"]) / len(records["errors"]), step)
        return []

    def note_dropped(self, notes):
        self.noted += notes

    def report_dropped(self, split, notes):
        pass

    def describe_latest(self):
        return "some numbers"

    def settings_to_save(self):
        return {"Args": {}, "Config": {}}


def weights_after(job):
    Training(job).run()
    return checkpoints.load(job.expdir / "states-3.ckpt")["Line"]["weight"]


def test_what_is_left_of_a_global_batch_weighs_as_if_the_rest_had_never_been(tmp_path):
    good = [0, 2, 4, 5, 7]
    alone = weights_after(LineJob(tmp_path / "alone", only=good))
    for accumulate, size in ((1, 8), (2, 4), (4, 2)):
        job = LineJob(tmp_path / f"a{accumulate}", bad=(1, 3, 6), batch_size=size, accumulate=accumulate)
        torch.testing.assert_close(weights_after(job), alone)
        assert set(job.noted) == {1, 3, 6}
    whole = weights_after(LineJob(tmp_path / "whole"))
    assert not torch.allclose(whole, alone)


def test_when_no_item_can_be_used_training_ends_with_the_reason(tmp_path):
    with pytest.raises(UserError, match="could not be read"):
        weights_after(LineJob(tmp_path / "none", bad=range(8)))


def test_float16_is_refused_on_a_cpu_with_what_to_use_instead(tmp_path):
    job = LineJob(tmp_path / "half")
    job.settings = replace(job.settings, fp16=True)
    with pytest.raises(UserError, match=r"fp16 is for GPUs.*fp16=False, or bf16"):
        Training(job)


def test_a_job_of_another_kind_trains_and_resumes_to_the_bit(tmp_path):
    whole = LineJob(tmp_path / "whole")
    Training(whole).run()
    first = LineJob(tmp_path / "parts")
    first.settings.total_steps = 2
    Training(first).run()
    state = checkpoints.load(first.expdir / "states-2.ckpt")
    second = LineJob(tmp_path / "more")
    second.trained["Line"].load_state_dict(state["Line"])
    Training(second, state).run()
    ends = [checkpoints.load(job.expdir / "states-3.ckpt") for job in (whole, second)]
    assert same(ends[0]["Line"], ends[1]["Line"]) and same(ends[0]["Optimizer"], ends[1]["Optimizer"])


def test_a_signal_saves_and_ends_the_run_and_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    job = LineJob(tmp_path / "run")
    loss = job.loss

    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return loss(*args, **kwargs)

    job.loss = interrupted
    with pytest.raises(Terminated):
        Training(job).run()
    assert (job.expdir / "states-1.ckpt").is_file()
    assert signal.getsignal(signal.SIGTERM) is before


def interrupt(times):
    """A loss before which Ctrl-C is typed so many times."""

    def typed(job):
        loss = job.loss

        def interrupted(*args, **kwargs):
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            return loss(*args, **kwargs)

        job.loss = interrupted
        return job

    return typed


def test_control_c_saves_and_ends_with_130_and_a_second_one_ends_at_once(tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    try:
        once = interrupt(1)(LineJob(tmp_path / "once"))
        with pytest.raises(Terminated) as end:
            Training(once).run()
        assert end.value.exit_code == 130
        assert (once.expdir / "states-1.ckpt").is_file()
        twice = interrupt(2)(LineJob(tmp_path / "twice"))
        with pytest.raises(KeyboardInterrupt):
            Training(twice).run()
        assert not list(twice.expdir.glob("*.ckpt"))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_control_c_that_a_shell_ignores_for_a_job_in_the_background_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job = interrupt(1)(LineJob(tmp_path / "run"))
        Training(job).run()
        assert (job.expdir / "states-3.ckpt").is_file()
    finally:
        signal.signal(signal.SIGINT, before)


class NoisyJob(LineJob):
    """Its evaluation draws random numbers, and records in lists of several lengths."""

    shards_evaluation = True

    def loss(self, split, encoded, records, batch_id=None):
        records["batches"].append(batch_id)
        records["noise"] += torch.rand(len(encoded)).tolist()
        records["items"] += encoded[:, 0].tolist()
        return encoded.sum()

    def report(self, split, records, logger, step, batch_ids, total_batches):
        (self.expdir / "records.json").write_text(json.dumps([records, batch_ids, total_batches]))
        return []


def run_noisy(expdir):
    evaluate(NoisyJob(expdir, bad=(3,), batch_size=3), "dev", MetricLogger(), 0)


def test_two_processes_gather_the_records_of_one_in_their_order(tmp_path):
    run_noisy(tmp_path / "one")
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from s3prl.utility import processes; from test_job import run_noisy\n"
        "rank = processes.local_rank_from_environment(); processes.start('gloo', 'cpu', rank)\n"
        "run_noisy(Path(sys.argv[3]) / ('two' if rank == 0 else 'other')); processes.stop()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    port = 20000 + os.getpid() % 20000
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port), str(script)]
    folders = [str(ROOT / "tests"), str(ROOT / "tests" / "training"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *launch, *folders], check=True, env=environment)
    one, two = (tmp_path / name / "records.json" for name in ("one", "two"))
    assert one.read_text() == two.read_text()
    assert not (tmp_path / "other" / "records.json").exists()
    records, _, total = json.loads(one.read_text())
    assert records["items"] == [0, 1, 2, 4, 5, 6, 7] and records["batches"] == [0, 1, 2] and total == 3


def test_evaluation_leaves_the_random_state_and_the_mode_of_training_alone(tmp_path):
    job = NoisyJob(tmp_path / "run")
    job.trained["Line"].train()
    torch.manual_seed(5)
    evaluate(job, "dev", MetricLogger(), 0)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1)) and job.trained["Line"].training
