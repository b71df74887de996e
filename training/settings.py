"""The sections of a config that belong to the runner: their fields, and whether the values make sense."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError

SECTIONS = ("runner", "optimizer", "scheduler", "specaug", "downstream_expert")


@dataclass
class RunnerSettings:
    """`runner:` of a config."""

    total_steps: int = 0  # optimizer updates; a task without training (QbE) has none
    gradient_clipping: float = 1.0  # largest total norm
    gradient_accumulate_steps: int = 1  # micro-batches per update
    log_step: int = 100  # updates between training logs
    eval_step: int = 1000  # updates between evaluations
    save_step: int = 1000  # updates between states-*.ckpt
    max_keep: int = 1  # states-*.ckpt to keep
    eval_dataloaders: list[str] = field(default_factory=lambda: ["dev"])
    train_dataloader: str = "train"
    fp16: bool = False  # autocast to float16 with loss scaling (GPU)
    bf16: bool = False  # autocast to bfloat16
    evaluate_ratio: float = 1.0  # part of every evaluation split to run

    @classmethod
    def from_config(cls, section: dict[str, Any] | None) -> "RunnerSettings":
        """Check and convert `runner:`; raises a UserError that names the field."""
        section = dict(section or {})
        check_fields(section, runner_fields(), "config.runner")
        for item in dataclasses.fields(cls):
            if section.get(item.name) is None:
                section.pop(item.name, None)
            else:
                section[item.name] = _converted(item.name, section[item.name], item.type)
        settings = cls(**section)
        if settings.fp16 and settings.bf16:
            raise UserError("config.runner: fp16 and bf16 exclude each other. Switch one off.")
        if not 0 < settings.evaluate_ratio <= 1:
            raise UserError(f"config.runner.evaluate_ratio must be in (0, 1], not {settings.evaluate_ratio}.")
        return settings


def runner_fields() -> tuple[str, ...]:
    """Names of all fields of `runner:`."""
    return tuple(item.name for item in dataclasses.fields(RunnerSettings))


def _converted(name: str, value: Any, kind: Any) -> Any:
    where = f"config.runner.{name}"
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 1:
            raise UserError(f"{where} must be a whole number of at least 1, not {value!r}.")
        return int(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise UserError(f"{where} must be a number above 0, not {value!r}.")
        return float(value)
    if kind is bool and not isinstance(value, bool):
        raise UserError(f"{where} must be true or false, not {value!r}.")
    if kind is str and not isinstance(value, str):
        raise UserError(f"{where} must be the name of a split, not {value!r}.")
    if name == "eval_dataloaders":
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(split, str) for split in names):
            raise UserError(f"{where} must be a list of split names such as [dev, test], not {value!r}.")
        return list(names)
    return value


def check_config(config: dict[str, Any], mode: str) -> None:
    """Refuse misspelt sections and, for training, missing ones, before any model is built.

    Sections of the task's own are allowed: the expert receives every top-level key by name.

    Raises:
        UserError: names the section or field and the nearest valid one.
    """
    for name in config:
        if name not in SECTIONS and nearest(name, SECTIONS):
            raise UserError(f"The config has a section '{name}'.{nearest(name, SECTIONS)}")
    for name in SECTIONS:
        if not isinstance(config.get(name), (dict, type(None))):
            raise UserError(f"config.{name} must be a section with fields, not {config[name]!r}.")
    settings = RunnerSettings.from_config(config.get("runner"))
    if mode == "train":
        if settings.total_steps < 1:
            raise UserError("config.runner.total_steps is missing: this config cannot train.")
        if not (config.get("optimizer") or {}).get("name"):
            raise UserError(
                "config.optimizer.name is missing. Example: -o \"+config.optimizer.name='AdamW'\"."
            )
