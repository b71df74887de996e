"""Arguments and sections of a config that every kind of training has: whether they can be."""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.typed import checked, within

Seed = Annotated[int, within(-(2**63), 2**63 - 1)]  # what PyTorch takes


def check_arguments(kind: type, args: argparse.Namespace) -> None:
    """Refuse arguments of the wrong kind, and turn numbers that stand as text into numbers, in place.

    Args:
        kind: a dataclass with the arguments that can be wrong.

    Raises:
        UserError: names the argument and its value.
    """
    for name, value in checked_arguments(kind, vars(args), "args").items():
        setattr(args, name, value)


def checked_arguments(kind: type, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Those of the arguments that `kind` knows, checked; see `check_arguments`."""
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in arguments.items()
    }
    return checked(kind, plain, where, ignore_unknown=True)


def check_sections(config: dict[str, Any], known: Sequence[str]) -> None:
    """Refuse a section whose name is nearly one of the known, and a known one that is none.

    Raises:
        UserError: names the section and the nearest known one.
    """
    for name in config:
        if not isinstance(name, str):
            raise UserError(f"The config has a section {name!r}, but the names of sections are text.")
        if name not in known and nearest(name, known):
            raise UserError(f"The config has a section '{name}'.{nearest(name, known)}")
    for name in known:
        if not isinstance(config.get(name), (dict, type(None))):
            raise UserError(f"config.{name} must be a section with fields, not {config[name]!r}.")


def check_optimizer(config: dict[str, Any]) -> None:
    """Raise a UserError unless the config names an optimizer."""
    if not (config.get("optimizer") or {}).get("name"):
        raise UserError("config.optimizer.name is missing. Example: -o \"+config.optimizer.name='AdamW'\".")
