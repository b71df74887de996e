"""One experiment, as a command describes it: arguments, config, checkpoint to start from; its folder."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from s3prl.utility.errors import UserError
from s3prl.utility.files import states_in
from s3prl.utility.launcher import say_once

from .expdir import write_new
from .past_run import check_readable, read_checkpoint


@dataclass
class Experiment:
    """Everything a job's runner needs."""

    args: argparse.Namespace
    config: dict[str, Any]
    checkpoint: dict[str, Any] | None  # to resume or to take weights from
    resume: bool  # whether step, optimizer and random states are taken too
    heads: list["Experiment"] = field(default_factory=list)  # of a sweep, which is trained in their folders


def unnamed(room: str) -> str:
    """What to say where an experiment has no folder.

    Args:
        room: of the results: `downstream`.
    """
    return f"Name the experiment with -n (folder result/{room}/NAME) or its folder with -p."


def settle_expdir(args: argparse.Namespace, room: str) -> None:
    """The folder that `-n` means, unless `-p` names one; see `unnamed` for `room`."""
    if args.expdir is None and args.expname is not None:
        args.expdir = str(Path("result") / room / args.expname)


def settle_auto_resume(args: argparse.Namespace) -> None:
    """With `-a`, the experiment's folder becomes the past run where it has checkpoints.

    Raises:
        UserError: the folder is not named or may not be read.
    """
    if not args.auto_resume or args.past_exp is not None:
        return
    if args.expdir is None:
        raise UserError("-a needs to know the experiment: add -n NAME or -p FOLDER.")
    check_readable(Path(args.expdir))
    if states_in(Path(args.expdir)):
        args.past_exp = args.expdir


def initial_weights(
    args: argparse.Namespace, check: Callable[[dict[str, Any], Path], None]
) -> dict[str, Any] | None:
    """The checkpoint that `-i` names, whose path `args.init_ckpt` becomes; None without `-i`.

    Args:
        check: raises a UserError for a checkpoint that has other weights.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if args.init_ckpt is None:
        return None
    path, state = read_checkpoint(args.init_ckpt, args.trust_checkpoint)
    check(state, path)
    say_once(f"[Experiment] Weights from {path} (step {state.get('Step', 0)})")
    args.init_ckpt = str(path)
    return state


def write_arguments(args: argparse.Namespace, expdir: Path) -> None:
    """Keep the arguments and the command of this launch in the experiment folder."""
    arguments = dict(sorted(vars(args).items()))
    arguments["command"] = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    write_new(expdir, "args", ".yaml", yaml_text(arguments))


def yaml_text(content: dict[str, Any]) -> str:
    """A nested value as YAML, its fields in their order; what YAML does not know is a path."""
    return yaml.safe_dump(_yaml_plain(content), sort_keys=False, allow_unicode=True)


def _yaml_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _yaml_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_yaml_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else os.fspath(value)
