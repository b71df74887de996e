"""The sections of a downstream config: whether they exist, before anything is built."""

from typing import Any

from s3prl.training.settings import RunnerSettings
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

SECTIONS = ("runner", "optimizer", "scheduler", "specaug", "downstream_expert")


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
