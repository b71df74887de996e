"""The training loop: updates in an order that a resumed run repeats; logs, evaluation, checkpoints."""

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from torch import Tensor

from s3prl.utility import processes, progress
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import Terminated, UserError

from . import checkpoint as checkpoints
from . import distributed, report, resume, summary
from .evaluation import evaluate
from .expdir import journal_sizes, rewind_journals, set_aside
from .head import Head
from .job import Job
from .randomness import random_state, seed_generators, set_random_state
from .sampling import Loaded, MicroBatch, Shard, check_train_loader, training_batches, updates_per_epoch

MOST_FAILURES = 100  # global batches in a row that may be of no use
STOPPING = b"\n[Runner] Stops after this step and saves it; Ctrl-C once more ends at once.\n"
ADVICE = "Lower the training batch size (config.downstream_expert), and raise gradient_accumulate_steps."


class Training:
    """One training run: the place in the data, and the loop that advances it."""

    def __init__(
        self, job: Job, checkpoint: dict[str, Any] | None = None, where: str = "the checkpoint"
    ) -> None:
        """
        Args:
            checkpoint: what to continue from, whose weights the models have already; None starts anew.
            where: how to name the checkpoint in an error.

        Raises:
            UserError: a wrong field of the config, or a checkpoint of another global batch.
        """
        self.job, self.settings = job, job.settings
        self.head = Head(job)
        self.shard = Shard(processes.world_size(), processes.rank(), self.settings.gradient_accumulate_steps)
        self.epoch = self.position = 0  # of the next global batch
        self._notes: list[Any] = []  # of items dropped since the last log
        self._failures = 0  # global batches in a row that were of no use
        self._stop_requested = 0  # the signal that asked for it
        self._logged_loss = float("nan")
        self.checkpoint, self._where = checkpoint, where

    def run(self) -> None:
        """Train to `total_steps`, then report where everything is.

        Raises:
            Terminated: SIGTERM, SIGUSR1 or Ctrl-C came; the state is saved.
            UserError: nothing to train on, or batches that fail one after the other.
        """
        job = self.job
        if self.checkpoint is not None:
            self._restore(self.checkpoint)
        if self.head.step >= self.settings.total_steps:
            self._say(f"[Runner] Already trained to step {self.head.step}: nothing left to do.")
            return
        leader = processes.is_leader()
        if leader:
            set_aside(job.expdir, newer_than=None if self.checkpoint is None else self.head.step)
        distributed.copy_from_leader(job.models.values())
        loader = job.loader(self.settings.train_dataloader)
        check_train_loader(loader)
        self._epoch_updates = updates_per_epoch(loader, self.shard)
        if leader:
            self._say("\n".join(summary.opening(job, loader, self.shard, self._epoch_updates)))
        processes.wait()  # the leader may have measured a corpus to describe it
        for model in job.trained.values():
            model.train()
        self._start_randomness()
        stream = training_batches(loader, job.seed, self.epoch, self.position, self.shard, job.prepare)
        self.logger = report.MetricLogger(job.expdir if leader else None, self.head.step)
        try:
            with self._listening_for_termination(), closing(stream):
                self._loop(stream)
        finally:
            self.logger.close()
        if leader:
            self._say(summary.closing(job, self.head))

    def _start_randomness(self) -> None:
        states = (self.checkpoint or {}).get("Random")
        if states and len(states) == self.shard.world_size:
            with checkpoints.usable("Random", self._where):
                set_random_state(states[self.shard.rank])
        else:  # processes draw different dropout masks
            seed_generators(self.job.seed + self.shard.rank)

    def _loop(self, stream: Iterator[Loaded]) -> None:
        total = self.settings.total_steps
        bar = progress.Progress(
            total, "train", "updates", done=self.head.step, shown=processes.is_leader(), on_stdout=True,
            line=self._progress_line,
        )  # fmt: skip
        while self.head.step < total:
            if not self._update(stream):
                continue
            step = self.head.step
            last = step == total
            if last or step % self.settings.log_step == 0:
                self._log(bar)
            bar.update()
            names = []
            evaluating = last or step % self.settings.eval_step == 0
            if evaluating:
                with bar.paused():
                    names = self._evaluate()
            saving = last or step % self.settings.save_step == 0 or self._stop_requested > 0
            if evaluating or saving:
                with bar.paused():
                    self._save(names, saving)
            if self._stop_requested and not last:
                self._say(f"[Runner] Asked to stop: saved step {step}. The same command with -a continues.")
                raise Terminated(self._stop_requested)
        bar.close()

    def _update(self, stream: Iterator[Loaded]) -> bool:
        """One optimizer update from one global batch; False when that was of no use and is skipped."""
        loss: Tensor | None = None
        dropped, failed = 0.0, ""
        marks = self.head.marks()
        while True:
            loaded = next(stream)
            weight = loaded.key.weight / self.shard.accumulate
            dropped += weight * (1 - loaded.kept)
            if loaded.notes:
                self.job.note_dropped(loaded.notes)
                self._notes.extend(loaded.notes)
            if loaded.batch is not None and not failed:
                try:
                    with self.job.autocast():
                        encoded = self.job.encode(loaded.batch)
                    part = self.head.backward(encoded, weight * loaded.kept)
                    loss = part if loss is None else loss + part
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    failed = self.job.describe_latest()
            if loaded.key.last:
                break
        self._advance(loaded.key)
        if failed:
            self._skip_after_out_of_memory(failed, marks)
            return False
        skipped = self.head.counters["nan_gradients"]
        if not self.head.apply(loss, dropped):
            self._count_failure("could not be read", "config.downstream_expert names the data.")
            return False
        self._failures = 0
        if self.head.counters["nan_gradients"] > skipped:
            self._say(
                f"[Runner] Gradients that are not finite at step {self.head.step}: update skipped, "
                f"{self.head.counters['nan_gradients']} so far."
            )
        return True

    def _advance(self, key: MicroBatch) -> None:
        """To the next global batch, of the next epoch when this was the epoch's last."""
        self.epoch, self.position = key.epoch, key.position + 1
        if self._epoch_updates is not None and self.position >= self._epoch_updates:
            self.epoch, self.position = self.epoch + 1, 0

    def _skip_after_out_of_memory(self, what: str, marks: dict[str, int]) -> None:
        self.head.counters["out_of_memory"] += 1
        self.head.forget(marks)
        if self.job.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.shard.world_size > 1:
            raise UserError(f"Process {self.shard.rank} ran out of memory at {what}. {ADVICE}")
        self._count_failure("ran out of memory", f"This one was {what}. {ADVICE}")
        print(
            f"[Runner] Out of memory at step {self.head.step + 1} ({what}): batch skipped, "
            f"{self.head.counters['out_of_memory']} so far.",
            flush=True,
        )

    def _count_failure(self, what: str, advice: str) -> None:
        self._failures += 1
        if self._failures >= min(self._epoch_updates or MOST_FAILURES, MOST_FAILURES):
            raise UserError(f"The last {self._failures} batches all {what}. {advice}")

    def _log(self, bar: progress.Progress) -> None:
        """Let the job report the records of all processes since the last log; then add the loop's own."""
        split = self.settings.train_dataloader
        records, losses, norms = self.head.take_logs()
        own = {key: [checkpoints.plain(value) for value in values] for key, values in records.items()}
        gathered = processes.gather((own, losses, self._notes))
        self._notes = []
        if not processes.is_leader():
            return
        merged: dict[str, list] = defaultdict(list)
        for part, _, _ in gathered:
            for key, values in part.items():
                merged[key].extend(values)
        losses = [value for _, values, _ in gathered for value in values]
        step = self.head.step
        self.job.report_dropped(split, [note for _, _, notes in gathered for note in notes])
        steps = list(range(step - len(gathered[0][1]), step))
        self.job.report(split, merged, self.logger, step, steps, self._epoch_updates)
        values = {"loss": sum(losses) / len(losses), "learning-rate": self.head.learning_rate()}
        if norms:
            values["gradient-norm"] = sum(norms) / len(norms)
        for name, value in {**values, **self.head.counters}.items():
            self.logger.add_scalar(f"runner/{name}", value, global_step=step)
        metrics = self.logger.take(split)
        self.logger.write(step, split, metrics)
        self._logged_loss = values["loss"]
        bar.log(loss=f"{values['loss']:.3g}")
        if self.job.verbose and not bar.on_terminal:
            self._say(f"step {step} {split}: {report.format_metrics(metrics)}")

    def _progress_line(self, pace: list[str]) -> str:
        """For a log file; the loss is that of the latest log or, between logs, of this process since then."""
        losses = self.head.losses or [self._logged_loss]
        place = f"step {self.head.step}/{self.settings.total_steps} {self.settings.train_dataloader}"
        parts = [f"loss {sum(losses) / len(losses):.4g}", *pace]
        if self.job.device.type == "cuda":
            parts.append(f"GPU peak {torch.cuda.max_memory_allocated(self.job.device) / 2**30:.1f} GiB")
        return f"[Runner] {place}: {' | '.join(parts)}"

    def _evaluate(self) -> list[str]:
        """Evaluate every split; names of checkpoints to save."""
        names, step = [], self.head.step
        for split in self.settings.eval_dataloaders:
            start = progress.clock()
            names += evaluate(self.job, split, self.logger, step)
            metrics = self.logger.take(split)
            self.logger.write(step, split, metrics)
            self._say(
                f"[Runner] step {step}/{self.settings.total_steps} {split}: "
                f"{report.format_metrics(metrics)} ({progress.clock() - start:.1f} s)"
            )
        return names

    def _save(self, names: list[str], states: bool) -> None:
        """Write best checkpoints first: a run killed between the two repeats this evaluation when resumed."""
        distributed.copy_from_leader(self.job.trained.values(), buffers_only=True)
        records = (checkpoints.plain(dict(self.head.records)), self.head.losses)
        gathered = processes.gather((random_state(), records))
        if not processes.is_leader():
            return
        if states:
            names = [*names, f"states-{self.head.step}.ckpt"]
        if not names:
            return
        self.logger.flush()
        saved = checkpoints.save(self._state(gathered), self.job.expdir, names)
        if states:
            checkpoints.prune(self.job.expdir, self.settings.max_keep)
        self._say("[Runner] Saved " + ", ".join(str(path) for path in saved))

    def _state(self, gathered: list[tuple]) -> dict[str, Any]:
        return self.head.state() | {
            "Epoch": self.epoch,
            "Position": self.position,
            "WorldSize": self.shard.world_size,
            "Accumulate": self.shard.accumulate,
            "Random": checkpoints.plain([state for state, _ in gathered]),
            "Records": [records for _, records in gathered],
            "Journals": journal_sizes(self.job.expdir),
            **checkpoints.plain(self.job.settings_to_save()),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        checkpoints.check_entries(state, self._where, checkpoints.RESUMED)
        self._check_global_batch(state)
        records = state.get("Records") or []
        own = records[self.shard.rank] if len(records) == self.shard.world_size else None
        self.head.restore(state, own, self._where)
        self.epoch = state["Epoch"]
        self.position = state.get("Position", state.get("Window", 0))  # "Window" before version 1.0
        if processes.is_leader() and "Journals" in state:
            with checkpoints.usable("Journals", self._where):
                rewind_journals(self.job.expdir, state["Journals"])
        self._say(f"[Runner] Continues at step {self.head.step} (epoch {self.epoch})")

    def _check_global_batch(self, state: dict[str, Any]) -> None:
        before, shard = state.get("WorldSize") or 1, self.shard
        accumulated = state.get("Accumulate") or resume.saved_accumulation(state, shard.accumulate)
        if before * accumulated == shard.parts:
            return
        if before == shard.world_size:
            raise UserError(
                f"config.runner.gradient_accumulate_steps: the run has {accumulated}, now it is "
                f"{shard.accumulate}, which changes the global batch. Leave it at {accumulated}, or keep the "
                "product of processes and gradient_accumulate_steps."
            )
        raise UserError(
            f"The run was trained by {before} process(es), now there are {shard.world_size}, which "
            f"changes the global batch. Launch {before} (torchrun --nproc_per_node {before}), or keep "
            "the product of processes and gradient_accumulate_steps with "
            '-o "config.runner.gradient_accumulate_steps=…".'
        )

    @contextmanager
    def _listening_for_termination(self) -> Iterator[None]:
        """Save before ending when the cluster warns or somebody types Ctrl-C; a second Ctrl-C ends at once.

        Several processes could not agree on a step.
        """
        if self.shard.world_size > 1 or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, _: Any) -> None:
            if number == signal.SIGINT:
                if self._stop_requested == signal.SIGINT:
                    raise KeyboardInterrupt
                os.write(2, STOPPING)  # print may be in the middle of a line
            self._stop_requested = number

        signals = [signal.SIGTERM, signal.SIGUSR1]
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
            signals.append(signal.SIGINT)
        before = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @staticmethod
    def _say(text: str) -> None:
        if processes.is_leader():
            progress.say(text)
