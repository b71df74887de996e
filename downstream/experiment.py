"""From the command line to one checked experiment: arguments, config, checkpoint to start from, folder."""

import argparse
import shutil
from pathlib import Path

from s3prl.training import experiment
from s3prl.training.config_check import check_arguments
from s3prl.training.expdir import free_name, write_new
from s3prl.training.experiment import (
    Experiment,
    initial_weights,
    settle_auto_resume,
    unnamed,
    write_arguments,
    yaml_text,
)
from s3prl.training.past_run import overridden_fields
from s3prl.training.settings import runner_fields
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.override import apply_override
from s3prl.utility.paths import find_path
from s3prl.utility.plugins import absolute, check_stored
from s3prl.utility.sweeps import heads_in

from .config_check import Arguments, check_config, settle_cache
from .past_run import DownstreamRuns, check_models
from .tasks import check_task, default_config, named, tasks

__all__ = ["Experiment", "build", "tasks", "write_records"]

UNNAMED = unnamed("downstream")
RUNS = DownstreamRuns()
OPTIONAL_SECTIONS = ("scheduler", "specaug")


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


def build(args: argparse.Namespace, tell_overrides: bool = True) -> Experiment:
    """Settle arguments, config and checkpoint in the order command line, checkpoint (-e), override (-o).

    Args:
        args: of the command line. `args.typed`, where there is one, tells the options that the user gave
            (see `parse_typed`); beside a past run, those must not contradict it.
        tell_overrides: whether what `-o` sets is printed.

    Raises:
        UserError: whatever the user can mend, before any model is built.
    """
    typed = vars(args).pop("typed", None)
    RUNS.check_override(args.override)
    _settle_folders(args)
    settle_expdir(args)
    settle_auto_resume(args)
    if args.past_exp is not None:
        args, config, checkpoint = RUNS.take_over(args, typed)
        check_stored(args.downstream, args.past_exp)
        if args.hub == "torch":
            check_stored(args.upstream, args.past_exp)
    else:
        args, config, checkpoint = _from_command_line(args)
    optional = {"runner": runner_fields(), "": OPTIONAL_SECTIONS}
    apply_override(args.override, args, config, optional, tell_overrides)
    args.overridden = overridden_fields(args)
    _settle_folders(args)
    args.evaluate_split = _splits_or_recordings(args.mode, args.evaluate_split)
    check_arguments(Arguments, args)
    settle_cache(args)
    check_task(args.downstream)
    check_upstream(args)
    if args.expdir is None:
        raise UserError(UNNAMED)
    if args.mode == "train" and args.past_exp is None and heads_in(Path(args.expdir)):
        raise UserError(
            f"{args.expdir} holds the heads of a sweep. Add --sweep_lr to go on with them, or choose "
            "another -n."
        )
    check_config(config, args.mode)
    if args.past_exp is not None:
        RUNS.tell_changes(checkpoint, args, config)
    return Experiment(args, config, checkpoint, resume=args.past_exp is not None)


def settle_expdir(args: argparse.Namespace) -> None:
    """The folder that `-n` means, unless `-p` names one."""
    experiment.settle_expdir(args, "downstream")


def _settle_folders(args: argparse.Namespace) -> None:
    """Absolute paths where `-d` and `-u` name folders of the user's, so that a checkpoint works anywhere."""
    args.downstream = named(args.downstream)
    if args.hub == "torch":
        args.upstream = absolute(args.upstream)


def _splits_or_recordings(mode: str, given: str | list[str]) -> str | list[str]:
    """What `-t` names: recordings or folders in inference, else one split."""
    names = [str(name) for name in given] if isinstance(given, list) else [str(given)]
    if mode == "inference":
        return names
    if len(names) > 1:
        raise UserError(f"-t {' '.join(names)}: -m {mode} takes one split. Start it once for each.")
    return names[0]


def _from_command_line(args: argparse.Namespace) -> tuple[argparse.Namespace, dict, dict | None]:
    check_task(args.downstream)
    args.config = args.config or default_config(args.downstream)
    config = load_yaml(find_path(args.config), expand=False)
    args.launch_dir = str(Path.cwd())
    return args, config, initial_weights(args, check_models)


def write_records(plan: Experiment, expdir: Path) -> None:
    """Keep the command, arguments and effective config of this launch in the experiment folder."""
    from s3prl.upstream.build import find_config

    args = plan.args
    write_arguments(args, expdir)
    write_new(expdir, "config", ".yaml", yaml_text(plan.config))
    model_config = find_config(args.upstream_model_config, (args.launch_dir,))
    if model_config is not None and "://" not in model_config and not plan.resume:
        source = Path(model_config)
        shutil.copyfile(source, free_name(expdir, source.stem, source.suffix))
