"""One learner: the trained models with their optimizer, schedule, records and counters."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from . import distributed, resume
from .checkpoint import plain, usable
from .job import Job, Records
from .optimizers import get_optimizer, hyperparameters
from .schedulers import get_scheduler


class Head:
    """What one update changes and one checkpoint holds, apart from the place in the data."""

    def __init__(self, job: Job) -> None:
        """
        Raises:
            UserError: a field of `optimizer` or `scheduler` is wrong.
        """
        self.job, total = job, job.settings.total_steps
        self.optimizer = get_optimizer(list(job.trained.values()), total, job.optimizer)
        self.scheduler = get_scheduler(self.optimizer, total, job.scheduler) if job.scheduler else None
        on_gpu = job.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(job.device.type, enabled=job.settings.fp16 and on_gpu)
        self.parameters = [p for model in job.trained.values() for p in model.parameters() if p.requires_grad]
        self.step = 0  # updates done
        self.records: Records = defaultdict(list)  # since the last log
        self.losses: list[float] = []  # of the updates since the last log
        self.gradient_norms: list[float] = []
        self.counters = {"nan_gradients": 0, "out_of_memory": 0}

    def backward(self, encoded: Any, weight: float) -> Tensor:
        """Add the gradients of a micro-batch, its loss times `weight`; returns that product, detached."""
        with self.job.autocast():
            loss = self.job.loss(self.job.settings.train_dataloader, encoded, self.records)
        part = loss if weight == 1 else loss * weight
        self.scaler.scale(part).backward()
        return part.detach()

    def apply(self, loss: Tensor | None, dropped: float) -> bool:
        """Average over processes, clip, step and schedule; False when every item of the batch was dropped.

        An update with NaN or infinite gradients is skipped but counts.

        Args:
            loss: the sum of what `backward` returned on this process.
            dropped: the weight of the items that this process dropped; its mean over processes is the part of
                the global batch that is missing.
        """
        dropped = distributed.average_gradients(self.parameters, dropped)
        if dropped > 1 - 1e-6:
            self._drop_gradients()
            return False
        self.scaler.unscale_(self.optimizer)
        loss = torch.zeros((), device=self.job.device) if loss is None else loss.float()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if dropped > 0:  # the mean over the items that are left
            torch._foreach_mul_(gradients, 1 / (1 - dropped))
            loss = loss / (1 - dropped)
        total = torch.nn.utils.get_total_norm(gradients)
        norm, loss = torch.stack([total.float(), loss]).tolist()
        most = self.job.settings.gradient_clipping
        if norm > most:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, most, total)
        self.step += 1
        finite = math.isfinite(norm)
        if finite:
            self.gradient_norms.append(norm)
        else:
            self.counters["nan_gradients"] += 1
        if finite or self.scaler.is_enabled():  # the scaler skips the step itself and lowers its scale
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self._drop_gradients()
        if self.scheduler is not None:
            self.scheduler.step()
        self.losses.append(loss)
        return True

    def marks(self) -> dict[str, int]:
        """How far the records go, for `forget`."""
        return {name: len(values) for name, values in self.records.items()}

    def forget(self, marks: dict[str, int]) -> None:
        """Undo an update that could not be finished: its gradients, and its records beyond `marks`."""
        self._drop_gradients()
        for name, values in self.records.items():
            del values[marks.get(name, 0) :]

    def _drop_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def take_logs(self) -> tuple[Records, list[float], list[float]]:
        """Records, losses and gradient norms since the last call."""
        taken = (self.records, self.losses, self.gradient_norms)
        self.records, self.losses, self.gradient_norms = defaultdict(list), [], []
        return taken

    def learning_rate(self) -> float:
        """The rate of the next update, of an optimizer that schedules itself too."""
        if hasattr(self.optimizer, "get_lr"):
            return self.optimizer.get_lr()[0]
        return self.optimizer.param_groups[0]["lr"]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of this process's head."""
        state = {name: plain(model.state_dict()) for name, model in self.job.trained.items()}
        state |= {
            "Optimizer": plain(self.optimizer.state_dict()),
            "Scaler": self.scaler.state_dict(),
            "Step": self.step,
            "GradientNorms": self.gradient_norms,
            "Counters": self.counters,
        }
        if self.scheduler is not None:
            state["Scheduler"] = plain(self.scheduler.state_dict())
        return state

    def restore(self, state: dict[str, Any], records: tuple[Records, list[float]] | None, where: str) -> None:
        """Take everything but the models' weights, which are loaded already, from a checkpoint.

        Where the config has changed since, it wins: its hyperparameters and its schedule, at the step of the
        checkpoint, on the checkpoint's moments.

        Args:
            records: of this process, where the checkpoint has them.
            where: how to name the checkpoint in an error.

        Raises:
            UserError: an entry cannot be used, or belongs to another optimizer than the config's.
        """
        job, changed = self.job, resume.changed_fields(state, self.job.settings_to_save())
        resume.check_moments_fit(self.optimizer, state["Optimizer"], changed, job.optimizer, where)
        configured = hyperparameters(self.optimizer)
        self.step = state["Step"]
        with usable("Optimizer", where):
            self.optimizer.load_state_dict(state["Optimizer"])
        if changed:
            for group, own in zip(self.optimizer.param_groups, configured, strict=True):
                group.update(own)
        if self.scheduler is not None:
            with usable("Scheduler", where):
                if changed or not state.get("Scheduler"):
                    resume.move_schedule(self.scheduler, self.step)
                else:
                    self.scheduler.load_state_dict(state["Scheduler"])
        if state.get("Scaler"):
            with usable("Scaler", where):
                self.scaler.load_state_dict(state["Scaler"])
        if records is not None:
            with usable("Records", where):
                own, losses = records
                self.records, self.losses = defaultdict(list, own), [float(loss) for loss in losses]
        with usable("GradientNorms", where):
            self.gradient_norms = [float(norm) for norm in state.get("GradientNorms", [])]
        with usable("Counters", where):
            self.counters |= {name: int(count) for name, count in state.get("Counters", {}).items()}
