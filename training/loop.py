"""The training loop: updates in an order that a resumed run repeats; logs, evaluation, checkpoints.

One learner trains in it or several: on batches that are loaded and encoded once, each as it would alone.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import torch

from s3prl.utility import processes, progress
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import Terminated, UserError

from . import distributed, summary
from .evaluation import Judged, evaluate_together
from .job import Job
from .learner import Learner
from .plan import MicroBatch
from .sampling import Loaded, check_train_loader, training_batches, updates_per_epoch

MOST_FAILURES = 100  # global batches in a row that may be of no use
STOPPING = b"\n[Runner] Stops after this step and saves it; Ctrl-C once more ends at once.\n"
ADVICE = "Lower the training batch size ({}), and raise gradient_accumulate_steps."


class Training:
    """A training run: the stream of batches, and the loop that gives them to the learners."""

    def __init__(
        self,
        job: Job,
        checkpoint: dict[str, Any] | None = None,
        where: str = "the checkpoint",
        beside: Sequence[Learner] = (),
    ) -> None:
        """
        Args:
            job: what is trained; with several learners its loader and its `encode` serve them all.
            checkpoint: what to continue from, whose weights the models have already; None starts anew.
            where: how to name the checkpoint in an error.
            beside: more learners, whose jobs differ in nothing that data and encoding depend on. They may
                have been saved at other steps: each waits for the batch that is its next.

        Raises:
            UserError: a wrong field of the config, or a checkpoint of another global batch.
        """
        self.job, self.settings = job, job.settings
        if self.settings.fp16 and job.device.type == "cpu":
            raise UserError(
                "config.runner.fp16 is for GPUs: on a CPU losses would not be scaled, and updates take many "
                "times as long. Use -o config.runner.fp16=False, or bf16 in its place."
            )
        self.learners = [Learner(job, checkpoint, where), *beside]
        if beside:
            for learner in self.learners:
                learner.beside_others()
        self.shard = self.learners[0].shard
        self._failures = 0  # global batches in a row that were of no use
        self._stop_requested = 0  # the signal that asked for it

    def run(self) -> None:
        """Train to `total_steps`; a run with one learner then reports where everything is.

        Raises:
            Terminated: SIGTERM, SIGUSR1 or Ctrl-C came; the state is saved.
            UserError: nothing to train on, or batches that fail one after the other.
        """
        for learner in self.learners:
            learner.restore()
            if learner.is_done:
                learner.say(f"Already trained to step {learner.head.step}: nothing left to do.")
        left = [learner for learner in self.learners if not learner.is_done]
        if not left:
            return
        for learner in left:
            learner.set_aside()
        distributed.copy_from_leader(dict.fromkeys(m for one in left for m in one.job.models.values()))
        stream = self._open_stream(min(learner.place for learner in left))
        for learner in left:
            learner.start()
        try:
            with self._listening_for_termination(), closing(stream):
                self._loop(stream)
        finally:
            for learner in left:
                learner.close()
        if processes.is_leader() and len(self.learners) == 1:
            self._say(summary.closing(self.job, self.learners[0].head))

    def _open_stream(self, place: tuple[int, int]) -> Iterator[Loaded]:
        """The micro-batches of this process from a place on; what they consist of is told first."""
        job = self.job
        loader = job.loader(self.settings.train_dataloader)
        check_train_loader(loader)
        self._epoch_updates = updates_per_epoch(loader, self.shard)
        if processes.is_leader():
            self._say("\n".join(summary.opening(job, loader, self.shard, self._epoch_updates)))
        processes.wait()  # the leader may have measured a corpus to describe it
        job.get_ready(loader)
        ready = job.ready(self.settings.train_dataloader)
        return training_batches(loader, job.seed, *place, self.shard, job.prepare, ready)

    def _loop(self, stream: Iterator[Loaded]) -> None:
        total = self.settings.total_steps
        bar = progress.Progress(
            total, "train", "updates", done=self._step(), shown=processes.is_leader(), on_stdout=True,
            line=self._progress_line,
        )  # fmt: skip
        while (before := self._step()) < total:
            updated = self._update(stream)
            if not updated:
                continue
            if logging := [learner for learner in updated if learner.is_due(self.settings.log_step)]:
                for learner in logging:
                    learner.log(self._epoch_updates, printed=self.job.verbose and not bar.on_terminal)
                bar.log(loss=" ".join(f"{learner.latest_loss:.3g}" for learner in self.learners))
            if (more := self._step() - before) > 0:
                bar.update(more)
            with bar.paused():
                self._evaluate_and_save(updated)
            if self._stop_requested and self._step() < total:
                saved = f"saved step {self._step()}"
                self._say(f"[Runner] Asked to stop: {saved}. The same command with -a continues.")
                raise Terminated(self._stop_requested)
        bar.close()

    def _step(self) -> int:
        """Updates that every learner has done."""
        return min(learner.head.step for learner in self.learners)

    def _update(self, stream: Iterator[Loaded]) -> list[Learner]:
        """One optimizer update from one global batch, of every learner whose next batch it is.

        Returns:
            The learners that have been updated; none where the batch was of no use and is skipped.
        """
        active: list[Learner] = []
        dropped, failed = 0.0, ""
        while True:
            loaded = next(stream)
            active = active or self._begin(loaded.key)
            weight = loaded.key.weight / self.shard.accumulate
            dropped += weight * (1 - loaded.kept)
            if loaded.notes:
                for learner in active:
                    learner.note(loaded.notes)
            if loaded.batch is not None and active and not failed:
                failed = self._backward(active, loaded, weight)
            if loaded.key.last:
                break
        for learner in active:
            learner.advance(loaded.key, self._epoch_updates)
        if failed:
            self._skip_after_out_of_memory(active, failed)
            return []
        updated = [learner for learner in active if learner.apply(dropped)]
        if updated:
            self._failures = 0
        elif active:
            self._count_failure("could not be read", f"{self.job.data_section} names the data.")
        return updated

    def _begin(self, key: MicroBatch) -> list[Learner]:
        """The learners that have not seen this global batch yet, ready for it."""
        place = (key.epoch, key.position)
        active = [one for one in self.learners if not one.is_done and one.place <= place]
        for learner in active:
            learner.begin()
        return active

    def _backward(self, active: Sequence[Learner], loaded: Loaded, weight: float) -> str:
        """Add the gradients of a micro-batch; what it was where memory ran out, else an empty text."""
        try:
            for learner in active:
                with learner.randomness:
                    if learner is active[0]:
                        with self.job.autocast():
                            encoded = self.job.encode(loaded.batch)
                    learner.backward(encoded, weight * loaded.kept)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return self.job.describe_latest()
        return ""

    def _skip_after_out_of_memory(self, active: Sequence[Learner], what: str) -> None:
        for learner in active:
            learner.forget()
        if self.job.device.type == "cuda":
            torch.cuda.empty_cache()
        advice = ADVICE.format(self.job.data_section)
        if self.shard.world_size > 1:
            raise UserError(f"Process {self.shard.rank} ran out of memory at {what}. {advice}")
        self._count_failure("ran out of memory", f"This one was {what}. {advice}")
        head = active[0].head
        print(
            f"[Runner] Out of memory at step {head.step + 1} ({what}): batch skipped, "
            f"{head.counters['out_of_memory']} so far.",
            flush=True,
        )

    def _count_failure(self, what: str, advice: str) -> None:
        self._failures += 1
        if self._failures >= min(self._epoch_updates or MOST_FAILURES, MOST_FAILURES):
            raise UserError(f"The last {self._failures} batches all {what}. {advice}")

    def _progress_line(self, pace: list[str]) -> str:
        """For a log file; the losses are those of `Learner.mean_loss`."""
        losses = [f"{learner.label}{learner.mean_loss():.4g}" for learner in self.learners]
        place = f"step {self._step()}/{self.settings.total_steps} {self.settings.train_dataloader}"
        parts = [f"loss {', '.join(losses)}", *pace]
        if self.job.device.type == "cuda":
            parts.append(f"GPU peak {torch.cuda.max_memory_allocated(self.job.device) / 2**30:.1f} GiB")
        return f"[Runner] {place}: {' | '.join(parts)}"

    def _evaluate_and_save(self, updated: Sequence[Learner]) -> None:
        """Do both for those learners for which it is time."""
        settings = self.settings
        evaluated = [learner for learner in updated if learner.is_due(settings.eval_step)]
        names: list[list[str]] = [[] for _ in evaluated]
        for split in settings.eval_dataloaders if evaluated else ():
            start = progress.clock()
            judged = [Judged(learner.job, learner.logger, learner.head.step) for learner in evaluated]
            for learner, own, more in zip(evaluated, names, evaluate_together(judged, split), strict=True):
                own += more
                learner.note_evaluation(split, progress.clock() - start)
        for learner in updated:
            states = learner.is_due(settings.save_step) or self._stop_requested > 0
            if learner in evaluated or states:
                own = names[evaluated.index(learner)] if learner in evaluated else []
                learner.save(own, states)

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
