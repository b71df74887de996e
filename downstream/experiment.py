"""From the command line to one checked experiment: arguments, config, checkpoint to start from, folder."""

import argparse
import os
import shlex
import shutil
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from s3prl.training.expdir import free_name, write_new
from s3prl.training.settings import runner_fields
from s3prl.utility.config import load_yaml, nearest
from s3prl.utility.errors import DamagedCheckpoint, UserError
from s3prl.utility.files import states_in
from s3prl.utility.override import apply_override
from s3prl.utility.paths import find_path

from .config_check import check_config

# -e takes every other argument from the checkpoint
KEPT_WITH_PAST_EXP = (
    "mode", "evaluate_split", "override", "backend", "local_rank", "past_exp", "device", "verbose",
    "auto_resume", "trust_checkpoint", "bad_audio", "disable_cudnn",
)  # fmt: skip
OPTIONAL_SECTIONS = ("scheduler", "specaug")


@dataclass
class Experiment:
    """Everything a Runner needs."""

    args: argparse.Namespace
    config: dict[str, Any]
    checkpoint: dict[str, Any] | None  # to resume or to take weights from
    resume: bool  # whether step, optimizer and random states are taken too


def tasks() -> list[str]:
    """Names of all downstream folders that hold an expert.py."""
    import s3prl.downstream

    folders = map(Path, s3prl.downstream.__path__)
    return sorted({path.parent.name for folder in folders for path in folder.glob("*/expert.py")})


def check_task(name: str | None) -> None:
    """Raise a UserError when there is no such downstream task."""
    if name is None:
        raise UserError(f"Name the downstream task with -d. Available: {', '.join(tasks())}.")
    if name not in tasks():
        raise UserError(
            f"There is no downstream task '{name}'.{nearest(name, tasks())} Available: {', '.join(tasks())}."
        )


def check_upstream(args: argparse.Namespace) -> None:
    """Raise a UserError when there is no such upstream or a file given for it is missing."""
    from s3prl import hub

    if args.upstream is None:
        raise UserError(f"Name the upstream model with -u. Available: {', '.join(hub.options())}.")
    if args.hub == "torch":
        hub.get(args.upstream)
    if args.upstream_model_config is not None:
        from s3prl.upstream.build import find_config  # loads PyTorch

        find_config(args.upstream_model_config, (args.launch_dir,))


def build(args: argparse.Namespace) -> Experiment:
    """Settle arguments, config and checkpoint in the order command line, checkpoint (-e), override (-o).

    Raises:
        UserError: whatever the user can mend, before any model is built.
    """
    if args.expdir is None and args.expname is not None:
        args.expdir = str(Path("result") / "downstream" / args.expname)
    if args.auto_resume and args.past_exp is None:
        args.past_exp = _states_folder(args)
    if args.past_exp is not None:
        args, config, checkpoint = _from_past_experiment(args)
    else:
        args, config, checkpoint = _from_command_line(args)
    optional = {"runner": runner_fields(), "": OPTIONAL_SECTIONS}
    apply_override(args.override, args, config, optional)
    check_task(args.downstream)
    check_upstream(args)
    if args.expdir is None:
        raise UserError("Name the experiment with -n (folder result/downstream/NAME) or its folder with -p.")
    check_config(config, args.mode)
    return Experiment(args, config, checkpoint, resume=args.past_exp is not None)


def _states_folder(args: argparse.Namespace) -> str | None:
    if args.expdir is None:
        raise UserError("-a needs to know the experiment: add -n NAME or -p FOLDER.")
    return args.expdir if states_in(Path(args.expdir)) else None


def _from_past_experiment(args: argparse.Namespace) -> tuple[argparse.Namespace, dict, dict]:
    from s3prl.training import checkpoint as checkpoints
    from s3prl.upstream.build import public_batch_of

    path = find_path(args.past_exp)
    if path.is_dir():
        path, state = checkpoints.load_latest(path, args.trust_checkpoint)
    else:
        state = _load_or_point_to_earlier(path, args)
    for key in ("Args", "Config"):
        if key not in state:
            raise UserError(
                f"{path} has no '{key}', so it is not a downstream checkpoint. To start from its weights "
                "only, use -i together with -u, -d and -n."
            )
    stored = state["Args"] if isinstance(state["Args"], dict) else vars(state["Args"])
    merged = argparse.Namespace(**vars(args))
    for name, value in stored.items():
        if name not in KEPT_WITH_PAST_EXP:
            setattr(merged, name, value)
    merged.launch_dir = stored.get("launch_dir") or str(Path.cwd())
    merged.upstream_public_batch = public_batch_of(stored)
    merged.init_ckpt = str(path)
    merged.expdir = str(path.parent)  # where the checkpoint is now, whatever folder the run was started from
    merged.upstream_refresh = False
    print(f"[Experiment] From {path} (step {state.get('Step', 0)})")
    return merged, deepcopy(state["Config"]), state


def _load_or_point_to_earlier(path: Path, args: argparse.Namespace) -> dict:
    from s3prl.training import checkpoint as checkpoints

    try:
        return checkpoints.load(path, args.trust_checkpoint)
    except DamagedCheckpoint as error:
        others = [str(other) for other in states_in(path.parent) if other != path]
        hint = f" Use the one before it: -e {others[0]}" if others else ""
        raise DamagedCheckpoint(f"{error}.{hint}") from error


def _from_command_line(args: argparse.Namespace) -> tuple[argparse.Namespace, dict, dict | None]:
    check_task(args.downstream)
    args.config = args.config or f"downstream/{args.downstream}/config.yaml"
    config = load_yaml(find_path(args.config), expand=False)
    args.launch_dir = str(Path.cwd())
    if args.init_ckpt is None:
        return args, config, None
    from s3prl.training import checkpoint as checkpoints

    path = find_path(args.init_ckpt)
    if path.is_dir():
        path, state = checkpoints.load_latest(path, args.trust_checkpoint)
    else:
        state = _load_or_point_to_earlier(path, args)
    args.init_ckpt = str(path)
    return args, config, state


def write_records(experiment: Experiment, expdir: Path) -> None:
    """Keep the command, arguments and effective config of this launch in the experiment folder."""
    from s3prl.upstream.build import find_config

    args = experiment.args
    arguments = dict(sorted(vars(args).items()))
    arguments["command"] = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    for stem, content in (("args", arguments), ("config", experiment.config)):
        text = yaml.safe_dump(_yaml_plain(content), sort_keys=False, allow_unicode=True)
        write_new(expdir, stem, ".yaml", text)
    model_config = find_config(args.upstream_model_config, (args.launch_dir,))
    if model_config is not None and "://" not in model_config and not experiment.resume:
        source = Path(model_config)
        shutil.copyfile(source, free_name(expdir, source.stem, source.suffix))


def _yaml_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _yaml_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_yaml_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else os.fspath(value)
