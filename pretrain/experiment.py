"""From the command line to one checked experiment: arguments, config, checkpoint to start from, folder."""

import argparse
from pathlib import Path
from typing import Any

from s3prl.training.config_check import check_arguments
from s3prl.training.expdir import write_new
from s3prl.training.experiment import (
    Experiment,
    initial_weights,
    settle_auto_resume,
    settle_expdir,
    unnamed,
    write_arguments,
    yaml_text,
)
from s3prl.training.past_run import overridden_fields
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.override import apply_override
from s3prl.utility.paths import find_path
from s3prl.utility.plugins import check_stored

from .config_check import MODEL, RUNNER_FIELDS, Arguments, check_config
from .methods import MODEL_FILE, RUNNER_FILE, check_method, default_config, named
from .past_run import PretrainRuns, check_weights

__all__ = ["Experiment", "build", "write_records"]

RESULTS = "pretrain"
RUNS = PretrainRuns()


def build(args: argparse.Namespace) -> Experiment:
    """Settle arguments, config and checkpoint in the order command line, checkpoint (-e), override (-o).

    Args:
        args: of the command line. `args.typed`, where there is one, tells the options that the user gave
            (see `parse_typed`); beside a past run, those must not contradict it.

    Raises:
        UserError: whatever the user can mend, before any model is built.
    """
    typed = vars(args).pop("typed", None)
    RUNS.check_override(args.override)
    args.upstream = named(args.upstream)
    settle_expdir(args, RESULTS)
    settle_auto_resume(args)
    if args.past_exp is not None:
        args, config, checkpoint = RUNS.take_over(args, typed)
        check_stored(args.upstream, args.past_exp, "-u")
    else:
        args, config, checkpoint = _from_command_line(args)
    apply_override(args.override, args, config, {"runner": RUNNER_FIELDS, "": ("scheduler",)})
    args.overridden = overridden_fields(args)
    args.upstream = named(args.upstream)
    check_arguments(Arguments, args)
    check_method(args.upstream)
    if args.expdir is None:
        raise UserError(unnamed(RESULTS))
    check_config(config)
    if args.past_exp is not None:
        RUNS.tell_changes(checkpoint, args, config)
    return Experiment(args, config, checkpoint, resume=args.past_exp is not None)


def _from_command_line(
    args: argparse.Namespace,
) -> tuple[argparse.Namespace, dict[str, Any], dict[str, Any] | None]:
    check_method(args.upstream)
    args.config = args.config or default_config(args.upstream, RUNNER_FILE, "-c")
    args.upstream_config = args.upstream_config or default_config(args.upstream, MODEL_FILE, "-g")
    config = load_yaml(find_path(args.config), expand=False)
    if MODEL in config:
        raise UserError(f"{args.config} has a section '{MODEL}', but -g names the file that holds it.")
    config[MODEL] = load_yaml(find_path(args.upstream_config), expand=False)
    args.launch_dir = str(Path.cwd())
    return args, config, initial_weights(args, check_weights)


def write_records(plan: Experiment, expdir: Path) -> None:
    """Keep command, arguments and effective config of this launch in the experiment folder.

    `config_runner.yaml` and `config_model.yaml` are what the run uses now; every launch has files with its
    date beside them.
    """
    write_arguments(plan.args, expdir)
    runner = {name: section for name, section in plan.config.items() if name != MODEL}
    for name, content in ((RUNNER_FILE, runner), (MODEL_FILE, plan.config[MODEL])):
        text = yaml_text(content)
        write_new(expdir, Path(name).stem, ".yaml", text)
        write_atomically(expdir / name, lambda file, text=text: file.write(text.encode("utf-8")))
