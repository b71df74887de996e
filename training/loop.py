"""Training: optimizer updates in an order that a resumed run repeats exactly; logs, evaluation, saving."""

import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl.downstream.assembly import trainable
from s3prl.training import checkpoint as checkpoints
from s3prl.training import report
from s3prl.training.expdir import journal_sizes, rewind_journals, set_aside
from s3prl.training.optimizers import get_optimizer
from s3prl.training.randomness import random_state, seed_everything, set_random_state
from s3prl.training.sampling import (
    MicroBatch,
    Share,
    check_train_loader,
    training_stream,
    windows_per_epoch,
)
from s3prl.training.schedulers import get_scheduler
from s3prl.upstream.interfaces import SAMPLE_RATE
from s3prl.utility import processes
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import UserError

from . import distributed

if TYPE_CHECKING:
    from s3prl.downstream.runner import Runner

MOST_FAILURES = 100  # updates in a row that may run out of memory
TERMINATED = 128 + signal.SIGTERM


class Training:
    """One training run: the state that a checkpoint holds, and the loop that advances it."""

    def __init__(self, runner: "Runner") -> None:
        self.runner, self.args, self.settings = runner, runner.args, runner.settings
        self.models = trainable(runner.args, runner.models)
        config = runner.expanded
        self.optimizer = get_optimizer(
            list(self.models.values()), self.settings.total_steps, config["optimizer"]
        )
        self.scheduler = None
        if config.get("scheduler"):
            self.scheduler = get_scheduler(self.optimizer, self.settings.total_steps, config["scheduler"])
        self.scaler = torch.amp.GradScaler(
            runner.device.type, enabled=self.settings.fp16 and runner.device.type == "cuda"
        )
        self.parameters = [p for model in self.models.values() for p in model.parameters() if p.requires_grad]
        self.share = Share(processes.world_size(), processes.rank(), self.settings.gradient_accumulate_steps)
        self.step = self.epoch = self.window = 0  # of the next update; `window` is its place in the epoch
        self.records: dict[str, list] = defaultdict(list)  # since the last log
        self.losses: list[float] = []  # of the updates since the last log
        self.gradient_norms: list[float] = []
        self.counters = {"nan_gradients": 0, "out_of_memory": 0}
        self._failures = 0  # updates in a row that ran out of memory
        self._stop_signal = False

    def run(self) -> None:
        """Train to `total_steps`, then report where everything is."""
        runner = self.runner
        if runner.resume:
            self._restore(runner.checkpoint)
        if self.step >= self.settings.total_steps:
            self._say(f"[Runner] Already trained to step {self.step}: nothing left to do.")
            return
        if processes.is_leader():
            set_aside(runner.expdir, newer_than=self.step if runner.resume else None)
        distributed.copy_from_leader(runner.models.values())
        loader = runner.downstream.get_dataloader(self.settings.train_dataloader)
        check_train_loader(loader)
        self._epoch_windows = windows_per_epoch(loader, self.share)
        for model in self.models.values():
            model.train()
        self._catch_termination()
        self._start_randomness()
        leader = processes.is_leader()
        self.logger = report.MetricLogger(runner.expdir, self.step) if leader else None
        stream = training_stream(loader, self.args.seed, self.epoch, self.window, self.share)
        self._loop(stream)
        if leader:
            self.logger.close()
            self._say_where()

    def _start_randomness(self) -> None:
        states = self.runner.checkpoint.get("Random") if self.runner.resume else None
        if states and len(states) == self.share.world_size:
            set_random_state(states[self.share.rank])
        else:  # processes draw different dropout masks
            seed_everything(self.args.seed + self.share.rank)

    def _loop(self, stream: Iterator[tuple[MicroBatch, Any]]) -> None:
        total = self.settings.total_steps
        bar = tqdm(
            total=total, initial=self.step, desc="train", dynamic_ncols=True,
            disable=not (sys.stderr.isatty() and processes.is_leader()),
        )  # fmt: skip
        while self.step < total:
            if not self._update(stream):
                continue
            bar.update()
            last = self.step == total
            if last or self.step % self.settings.log_step == 0:
                self._log(bar)
            names = []
            evaluating = last or self.step % self.settings.eval_step == 0
            if evaluating:
                names = self._evaluate()
            saving = last or self.step % self.settings.save_step == 0 or self._stop_signal
            if evaluating or saving:
                self._save(names, saving)
            if self._stop_signal and not last:
                self._say(
                    f"[Runner] Asked to stop: saved step {self.step}. The same command with -a continues."
                )
                sys.exit(TERMINATED)
        bar.close()

    def _update(self, stream: Iterator[tuple[MicroBatch, Any]]) -> bool:
        """One optimizer update from one window; False when it ran out of memory and was skipped."""
        loss_of_window, failed = None, None
        marks = {key: len(values) for key, values in self.records.items()}
        while True:
            key, (wavs, *others) = next(stream)
            if failed is None:
                try:
                    loss = self._forward_backward(key, wavs, others)
                    loss_of_window = loss if loss_of_window is None else loss_of_window + loss
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    failed = f"{len(wavs)} utterances of up to {max(map(len, wavs)) / SAMPLE_RATE:.1f} s"
            if key.last:
                break
        self._advance_position(key)
        if failed is not None:
            self._skip_window(failed, marks)
            return False
        self._failures = 0
        self._apply(loss_of_window)
        return True

    def _forward_backward(self, key: MicroBatch, wavs: list, others: list) -> Tensor:
        with self.runner.autocast():
            features = self.runner.features(wavs, augment=True)
            loss = self.runner.downstream(
                self.settings.train_dataloader, features, *others, records=self.records
            )
        share = loss * (key.weight / self.share.accumulate)
        self.scaler.scale(share).backward()
        return share.detach()

    def _advance_position(self, key: MicroBatch) -> None:
        """The next window, in the next epoch when this was the epoch's last."""
        self.epoch, self.window = key.epoch, key.window + 1
        if self._epoch_windows is not None and self.window >= self._epoch_windows:
            self.epoch, self.window = self.epoch + 1, 0

    def _skip_window(self, what: str, marks: dict[str, int]) -> None:
        self.counters["out_of_memory"] += 1
        self._failures += 1
        self.optimizer.zero_grad(set_to_none=True)
        for key, values in self.records.items():
            del values[marks.get(key, 0) :]
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()
        advice = (
            "Lower the training batch size (config.downstream_expert), and raise gradient_accumulate_steps."
        )
        if self.share.world_size > 1:
            raise UserError(f"Process {self.share.rank} ran out of memory at {what}. {advice}")
        if self._failures >= min(self._epoch_windows or MOST_FAILURES, MOST_FAILURES):
            raise UserError(
                f"The last {self._failures} batches all ran out of memory, this one at {what}. {advice}"
            )
        print(
            f"[Runner] Out of memory at step {self.step + 1} ({what}): batch skipped, "
            f"{self.counters['out_of_memory']} so far.",
            flush=True,
        )

    def _apply(self, loss: Tensor) -> None:
        """Clip, step and schedule; an update with NaN or infinite gradients is skipped but counts."""
        distributed.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clipping)
        norm, loss = torch.stack([norm.detach().float(), loss.float()]).tolist()
        self.step += 1
        finite = norm == norm and norm not in (float("inf"), float("-inf"))
        if finite:
            self.gradient_norms.append(norm)
        else:
            self.counters["nan_gradients"] += 1
            self._say(
                f"[Runner] Gradient norm {norm} at step {self.step}: update skipped, "
                f"{self.counters['nan_gradients']} so far."
            )
        if finite or self.scaler.is_enabled():  # the scaler skips the step itself and lowers its scale
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None:
            self.scheduler.step()
        self.losses.append(loss)

    def _log(self, bar: tqdm) -> None:
        """Let the task log the records of all processes since the last log; then add the runner's figures."""
        split = self.settings.train_dataloader
        own = {key: [checkpoints.plain(value) for value in values] for key, values in self.records.items()}
        gathered = processes.gather((own, self.losses))
        gradient_norms = self.gradient_norms
        self.records, self.losses, self.gradient_norms = defaultdict(list), [], []
        if not processes.is_leader():
            return
        merged: dict[str, list] = defaultdict(list)
        for records, _ in gathered:
            for key, values in records.items():
                merged[key].extend(values)
        losses = [value for _, values in gathered for value in values]
        self.runner.downstream.log_records(
            split, records=merged, logger=self.logger, global_step=self.step,
            batch_ids=list(range(self.step - len(gathered[0][1]), self.step)),
            total_batch_num=self._epoch_windows,
        )  # fmt: skip
        own_figures = {
            "loss": sum(losses) / len(losses),
            "learning-rate": self._learning_rate(),
        }
        if gradient_norms:
            own_figures["gradient-norm"] = sum(gradient_norms) / len(gradient_norms)
        for name, value in {**own_figures, **self.counters}.items():
            self.logger.add_scalar(f"runner/{name}", value, global_step=self.step)
        metrics = self.logger.take(split)
        self.logger.write(self.step, split, metrics)
        bar.set_postfix(loss=f"{own_figures['loss']:.3g}")
        if self.args.verbose and bar.disable:
            self._say(f"step {self.step} {split}: {report.format_metrics(metrics)}")

    def _learning_rate(self) -> float:
        """The rate of the next update, of an optimizer that schedules itself too."""
        if hasattr(self.optimizer, "get_lr"):
            return self.optimizer.get_lr()[0]
        return self.optimizer.param_groups[0]["lr"]

    def _evaluate(self) -> list[str]:
        """Evaluate every split on the leader, while the others wait; names of checkpoints to save."""
        names = []
        if processes.is_leader():
            for split in self.settings.eval_dataloaders:
                start = time.monotonic()
                wanted, metrics = self.runner.evaluate(split, self.logger, self.step)
                names += wanted
                self.logger.write(self.step, split, metrics)
                self._say(
                    f"[Runner] step {self.step}/{self.settings.total_steps} {split}: "
                    f"{report.format_metrics(metrics)} ({time.monotonic() - start:.1f} s)"
                )
        processes.wait()
        return names

    def _save(self, names: list[str], states: bool) -> None:
        """Write best checkpoints first: a run killed between the two repeats this evaluation when resumed."""
        random_states = processes.gather(random_state())
        distributed.copy_from_leader(self.models.values(), buffers_only=True)
        records = processes.gather((checkpoints.plain(dict(self.records)), self.losses))
        if not processes.is_leader():
            return
        if states:
            names = [*names, f"states-{self.step}.ckpt"]
        if not names:
            return
        self.logger.flush()
        saved = checkpoints.save(self._state(random_states, records), self.runner.expdir, names)
        if states:
            checkpoints.prune(self.runner.expdir, self.settings.max_keep)
        self._say("[Runner] Saved " + ", ".join(str(path) for path in saved))

    def _state(self, random_states: list[dict], records: list[tuple]) -> dict[str, Any]:
        state = {name: checkpoints.plain(model.state_dict()) for name, model in self.models.items()}
        state |= {
            "Optimizer": checkpoints.plain(self.optimizer.state_dict()),
            "Scaler": self.scaler.state_dict(),
            "Step": self.step,
            "Epoch": self.epoch,
            "Window": self.window,
            "WorldSize": self.share.world_size,
            "Accumulate": self.share.accumulate,
            "Args": checkpoints.plain(vars(self.args)),
            "Config": checkpoints.plain(self.runner.config),
            "Random": checkpoints.plain(random_states),
            "Records": records,
            "GradientNorms": self.gradient_norms,
            "Counters": self.counters,
            "Journals": journal_sizes(self.runner.expdir),
        }
        if self.scheduler is not None:
            state["Scheduler"] = checkpoints.plain(self.scheduler.state_dict())
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        """Take everything but the models' weights, which are loaded already, from a checkpoint."""
        self._check_share(state)
        self.optimizer.load_state_dict(state["Optimizer"])
        if self.scheduler is not None and state.get("Scheduler"):
            self.scheduler.load_state_dict(state["Scheduler"])
        if state.get("Scaler"):
            self.scaler.load_state_dict(state["Scaler"])
        self.step, self.epoch, self.window = state["Step"], state["Epoch"], state.get("Window", 0)
        records = state.get("Records") or []
        if len(records) == self.share.world_size:
            own, self.losses = records[self.share.rank]
            self.records = defaultdict(list, own)
        self.gradient_norms = list(state.get("GradientNorms", []))
        self.counters |= state.get("Counters", {})
        if processes.is_leader() and "Journals" in state:
            rewind_journals(self.runner.expdir, state["Journals"])
        self._say(f"[Runner] Continues at step {self.step} (epoch {self.epoch})")

    def _check_share(self, state: dict[str, Any]) -> None:
        before = state.get("WorldSize") or 1
        if before * state.get("Accumulate", self.share.accumulate) != self.share.parts:
            raise UserError(
                f"The run was trained by {before} process(es), now there are {self.share.world_size}, which "
                f"changes the global batch. Launch {before} (torchrun --nproc_per_node {before}), or keep "
                "the product of processes and gradient_accumulate_steps with "
                '-o "config.runner.gradient_accumulate_steps=…".'
            )

    def _catch_termination(self) -> None:
        """Save before ending when the cluster warns. Several processes could not agree on a step."""
        if self.share.world_size > 1:
            return

        def stop(*_: Any) -> None:
            self._stop_signal = True

        for name in ("SIGTERM", "SIGUSR1"):
            signal.signal(getattr(signal, name), stop)

    def _say_where(self) -> None:
        folder: Path = self.runner.expdir
        kept = sorted(path.name for path in folder.glob("*.ckpt"))
        skipped = ", ".join(
            f"{count} {name.replace('_', ' ')}" for name, count in self.counters.items() if count
        )
        self._say(
            f"[Runner] Trained to step {self.step}. Curves: tensorboard --logdir {folder} (figures in "
            f"{folder / report.JSONL}). Checkpoints in {folder}: {', '.join(kept)}."
            + (f" Skipped updates: {skipped}." if skipped else "")
        )

    @staticmethod
    def _say(text: str) -> None:
        if processes.is_leader():
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
