"""A head with its place in the data, its random states, its logs and its checkpoints.

That is a whole training run but for the batches, which several learners can have in common.
"""

from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from s3prl.utility import processes, progress

from . import checkpoint as checkpoints
from . import distributed, report, resume
from .expdir import journal_sizes, rewind_journals, set_aside
from .head import Head
from .job import Job
from .plan import MicroBatch, Shard
from .randomness import OwnRandomness, random_state, seed_generators, set_random_state

Place = tuple[int, int]  # epoch, and position of a global batch in it


class Learner:
    """What a run would do alone with the batches that it is given."""

    def __init__(
        self, job: Job, checkpoint: dict[str, Any] | None = None, where: str = "the checkpoint"
    ) -> None:
        """
        Args:
            checkpoint: what to continue from, whose weights the models have already; None starts anew.
            where: how to name the checkpoint in an error.

        Raises:
            UserError: a wrong field of the config.
        """
        self.job, self.settings, self.head = job, job.settings, Head(job)
        self.shard = Shard(processes.world_size(), processes.rank(), self.settings.gradient_accumulate_steps)
        self.epoch = self.position = 0  # of the next global batch
        self.label = ""  # in front of its lines, where there are several learners
        self.randomness: AbstractContextManager = nullcontext()  # to be in while it computes
        self.latest_loss = float("nan")  # of the latest log
        self._checkpoint, self._where = checkpoint, where
        self._notes: list[Any] = []  # of items dropped since the last log
        self._loss: Tensor | None = None  # of the micro-batches since the last update
        self._marks: dict[str, int] = {}  # where the records of this update begin

    @property
    def place(self) -> Place:
        """Where its next global batch is."""
        return self.epoch, self.position

    @property
    def is_done(self) -> bool:
        """Whether it has made all its updates."""
        return self.head.step >= self.settings.total_steps

    def beside_others(self) -> None:
        """Keep its random states apart from now on, and its name in front of its lines."""
        self.label, self.randomness = f"{self.job.expdir.name}: ", OwnRandomness(self.job.device)

    def say(self, text: str) -> None:
        """Print a line of the log, once for all processes."""
        if processes.is_leader():
            progress.say(f"[Runner] {self.label}{text}")

    def restore(self) -> None:
        """Take everything but the models' weights from the checkpoint, if there is one.

        Raises:
            UserError: it cannot be continued, or only with another global batch.
        """
        state = self._checkpoint
        if state is None:
            return
        checkpoints.check_entries(state, self._where, checkpoints.RESUMED)
        resume.check_global_batch(state, self.shard)
        records = state.get("Records") or []
        own = records[self.shard.rank] if len(records) == self.shard.world_size else None
        self.head.restore(state, own, self._where)
        self.epoch = state["Epoch"]
        self.position = state.get("Position", state.get("Window", 0))  # "Window" before version 1.0
        if processes.is_leader() and "Journals" in state:
            with checkpoints.usable("Journals", self._where):
                rewind_journals(self.job.expdir, state["Journals"])
        self.say(f"Continues at step {self.head.step} (epoch {self.epoch})")

    def set_aside(self) -> None:
        """Move what an earlier run, or one that got further than the checkpoint, has left in the folder."""
        if processes.is_leader():
            set_aside(self.job.expdir, newer_than=None if self._checkpoint is None else self.head.step)

    def start(self) -> None:
        """Be ready for the first batch: models in training mode, random states set, logs open."""
        for model in self.job.trained.values():
            model.train()
        states = (self._checkpoint or {}).get("Random")
        with self.randomness:
            if states and len(states) == self.shard.world_size:
                with checkpoints.usable("Random", self._where):
                    set_random_state(states[self.shard.rank])
            else:  # processes draw different dropout masks
                seed_generators(self.job.seed + self.shard.rank)
        self._checkpoint = None  # its tensors are no longer needed
        self.logger = report.MetricLogger(self.job.expdir if processes.is_leader() else None, self.head.step)

    def note(self, notes: tuple) -> None:
        """Write down items that were dropped."""
        self.job.note_dropped(notes)
        self._notes.extend(notes)

    def begin(self) -> None:
        """Begin an update, which `forget` can undo."""
        self._marks, self._loss = self.head.marks(), None

    def backward(self, encoded: Any, weight: float) -> None:
        """Add the gradients of a micro-batch, its loss times `weight`; called inside of `randomness`."""
        part = self.head.backward(encoded, weight)
        self._loss = part if self._loss is None else self._loss + part

    def advance(self, key: MicroBatch, epoch_updates: int | None) -> None:
        """Go to the next global batch, of the next epoch when this was the epoch's last."""
        self.epoch, self.position = key.epoch, key.position + 1
        if epoch_updates is not None and self.position >= epoch_updates:
            self.epoch, self.position = self.epoch + 1, 0

    def apply(self, dropped: float) -> bool:
        """Finish the update; False when every item of the global batch was dropped (see `Head.apply`)."""
        skipped = self.head.counters["nan_gradients"]
        if not self.head.apply(self._loss, dropped):
            return False
        if self.head.counters["nan_gradients"] > skipped:
            self.say(
                f"Gradients that are not finite at step {self.head.step}: update skipped, "
                f"{self.head.counters['nan_gradients']} so far."
            )
        return True

    def forget(self) -> None:
        """Undo an update for which memory ran out."""
        self.head.counters["out_of_memory"] += 1
        self.head.forget(self._marks)

    def is_due(self, every: int) -> bool:
        """Whether what happens `every` so many updates, and at the end, happens now."""
        return self.is_done or self.head.step % every == 0

    def mean_loss(self) -> float:
        """Of the latest log or, between logs, of this process since then."""
        losses = self.head.losses or [self.latest_loss]
        return sum(losses) / len(losses)

    def log(self, epoch_updates: int | None, printed: bool) -> None:
        """Let the job report the records of all processes since the last log; then add the loop's own.

        Args:
            printed: whether the log is printed too.
        """
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
        with self.randomness:
            self.job.report(split, merged, self.logger, step, steps, epoch_updates)
        values = {"loss": sum(losses) / len(losses), "learning-rate": self.head.learning_rate()}
        if norms:
            values["gradient-norm"] = sum(norms) / len(norms)
        for name, value in {**values, **self.head.counters}.items():
            self.logger.add_scalar(f"runner/{name}", value, global_step=step)
        metrics = self.logger.take(split)
        self.logger.write(step, split, metrics)
        self.latest_loss = values["loss"]
        if printed:
            progress.say(f"{self.label}step {step} {split}: {report.format_metrics(metrics)}")

    def note_evaluation(self, split: str, seconds: float) -> None:
        """Write down and print the metrics of an evaluation that has just been made.

        Args:
            seconds: how long it took.
        """
        metrics, step = self.logger.take(split), self.head.step
        self.logger.write(step, split, metrics)
        self.say(
            f"step {step}/{self.settings.total_steps} {split}: "
            f"{report.format_metrics(metrics)} ({seconds:.1f} s)"
        )

    def save(self, names: list[str], states: bool) -> None:
        """Write best checkpoints first: a run killed between the two repeats this evaluation when resumed.

        Args:
            names: of the best checkpoints.
            states: whether to write `states-<step>.ckpt` too.
        """
        distributed.copy_from_leader(self.job.trained.values(), buffers_only=True)
        records = (checkpoints.plain(dict(self.head.records)), self.head.losses)
        with self.randomness:
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
        self.say("Saved " + ", ".join(str(path) for path in saved))

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

    def close(self) -> None:
        """Finish the logs."""
        self.logger.close()
