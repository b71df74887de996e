"""Learning-rate schedules by the names of the 2021 configs: a linear warm-up, then the named decay.

Each multiplies the base rate, is stepped once per update, and is a function of the step alone.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError
from s3prl.utility.typed import checked, typed

NOAM_DIM = 768  # the width that the 2021 toolkit fixed, whatever the model's

# Each decay returns the multiplier from the end of the warm-up on, a function of the step;
# its own arguments, after the three that all share, are the extra fields of the YAML block.
Multiplier = Callable[[int], float]


def _linear(total: int, warmup: int, lr: float) -> Multiplier:
    return lambda step: max(0.0, 1.0 - _progress(step, warmup, total))


def _cosine(total: int, warmup: int, lr: float, num_cycles: float = 0.5) -> Multiplier:
    turn = 2.0 * math.pi * num_cycles
    return lambda step: max(0.0, 0.5 * (1.0 + math.cos(turn * _progress(step, warmup, total))))


def _cosine_with_hard_restarts(total: int, warmup: int, lr: float, num_cycles: float = 1) -> Multiplier:
    def multiplier(step: int) -> float:
        progress = _progress(step, warmup, total)
        return 0.5 * (1.0 + math.cos(math.pi * (num_cycles * progress % 1.0))) if progress < 1.0 else 0.0

    return multiplier


def _polynomial(total: int, warmup: int, lr: float, lr_end: float = 1e-7, power: float = 1.0) -> Multiplier:
    if not lr > lr_end:
        raise UserError(
            f"The polynomial schedule falls from lr {lr} to lr_end {lr_end}, which is not lower. "
            "Lower scheduler.lr_end or raise optimizer.lr."
        )

    def multiplier(step: int) -> float:
        left = max(0.0, 1.0 - _progress(step, warmup, total))
        return ((lr - lr_end) * left**power + lr_end) / lr

    return multiplier


def _sqrt(total: int, warmup: int, lr: float) -> Multiplier:
    return lambda step: max(step, warmup, 1) ** -0.5


def _constant(total: int, warmup: int, lr: float) -> Multiplier:
    return lambda step: 1.0


def _noam(total: int, warmup: int, lr: float) -> Multiplier:
    return lambda step: NOAM_DIM**-0.5 * min(max(step, 1) ** -0.5, step * max(warmup, 1) ** -1.5)


DECAYS: dict[str, Callable[..., Multiplier]] = {
    "linear_schedule_with_warmup": _linear,
    "cosine_schedule_with_warmup": _cosine,
    "cosine_with_hard_restarts_schedule_with_warmup": _cosine_with_hard_restarts,
    "polynomial_decay_schedule_with_warmup": _polynomial,
    "sqrt_decay_schedule_with_warmup": _sqrt,
    "constant_decay_schedule_with_warmup": _constant,
    "noam_decay_schedule_with_warmup": _noam,
}


@dataclass
class _Common:
    """The fields that every schedule has."""

    num_warmup_steps: int  # updates of the warm-up, 0 for none
    last_epoch: int = -1


def get_scheduler(optimizer: Optimizer, total_steps: int, config: dict[str, Any]) -> LambdaLR:
    """The schedule that the `scheduler` block of a config names, over `total_steps` updates.

    `config` holds `name`, `num_warmup_steps`, optionally `last_epoch` (-1), and the extra fields of
    the decay (`num_cycles`; `lr_end`, `power`). The state dict holds plain numbers only; the curve itself is
    rebuilt from the config. Raises UserError for an unknown name or field and for a value that is no number.
    """
    name = config.get("name")
    if name not in DECAYS:
        raise UserError(
            f"scheduler.name: there is no schedule '{name}'.{nearest(str(name), DECAYS)} "
            f"Valid names: {', '.join(DECAYS)}."
        )
    where = "scheduler"
    extra = list(inspect.signature(DECAYS[name]).parameters)[3:]
    given = {key: value for key, value in config.items() if key != "name"}
    check_fields(given, [*extra, *(field.name for field in fields(_Common))], where)
    common = typed(_Common, {key: value for key, value in given.items() if key not in extra}, where)
    own = {key: value for key, value in given.items() if key in extra}
    values, warmup = checked(DECAYS[name], own, where, skip=3), common.num_warmup_steps
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    decay = DECAYS[name](total_steps, warmup, optimizer.param_groups[0]["initial_lr"], **values)

    # A function, not a callable object: LambdaLR would put an object's fields into the checkpoint.
    def multiplier(step: int) -> float:
        return step / warmup if step < warmup else decay(step)

    return LambdaLR(optimizer, multiplier, common.last_epoch)


def _progress(step: int, warmup: int, total: int) -> float:
    """0 at the end of the warm-up, 1 at `total`."""
    return (step - warmup) / max(1, total - warmup)
