"""Learning-rate schedules by the names of the 2021 configs: a linear warm-up, then the named decay.

Each multiplies the base rate, is stepped once per update, and is a function of the step alone.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError

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
    extra = list(inspect.signature(DECAYS[name]).parameters)[3:]
    fields = {key: value for key, value in config.items() if key != "name"}
    check_fields(fields, [*extra, "num_warmup_steps", "last_epoch"], f"scheduler ({name})")
    if "num_warmup_steps" not in fields:
        raise UserError(
            f"scheduler ({name}) needs num_warmup_steps: the updates of its warm-up (0 for none)."
        )
    values = {key: as_number(value, f"scheduler.{key}") for key, value in fields.items()}
    warmup = int(values.pop("num_warmup_steps"))
    last_epoch = int(values.pop("last_epoch", -1))
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    decay = DECAYS[name](total_steps, warmup, optimizer.param_groups[0]["initial_lr"], **values)

    # A function, not a callable object: LambdaLR would put an object's fields into the checkpoint.
    def multiplier(step: int) -> float:
        return step / warmup if step < warmup else decay(step)

    return LambdaLR(optimizer, multiplier, last_epoch)


def as_number(value: object, field: str) -> float:
    """`value` as a number; text such as `1e-3`, which YAML 1.1 leaves as it is, counts. Raises UserError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise UserError(
            f"{field} is {value!r}, which is not a number. Write for example {field}: 1e-3."
        ) from None


def _progress(step: int, warmup: int, total: int) -> float:
    """0 at the end of the warm-up, 1 at `total`."""
    return (step - warmup) / max(1, total - warmup)
