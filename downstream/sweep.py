"""Several learning rates in one pass: `-n NAME --sweep_lr 1e-2,1e-3` trains NAME/lr1e-2 and NAME/lr1e-3.

Every rate has a head: the experiment that `-n NAME/lr1e-2 -o config.optimizer.lr=1e-2` describes. Upstream,
loader and encoded batches are those of all heads; everything else is its own, so it ends as it would alone.
"""

import argparse
import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from s3prl.utility.differences import differences, told
from s3prl.utility.errors import UserError
from s3prl.utility.files import states_in
from s3prl.utility.launcher import say_once
from s3prl.utility.override import parse_override, parse_value
from s3prl.utility.sweeps import folder_of, heads_in

from . import experiment

# PyTorch is imported inside of functions: mistakes of the command line are told before it is loaded.

RATE = "optimizer.lr"
IN_COMMON = (
    "seed", "downstream", "downstream_variant", "launch_dir", "hub", "upstream", "upstream_ckpt",
    "upstream_model_config", "upstream_feature_selection", "upstream_layer_selection",
    "upstream_feature_normalize", "upstream_alone", "upstream_public_batch", "cache", "cache_dtype",
)  # fmt: skip


def build(args: argparse.Namespace, sweep_lr: str) -> experiment.Experiment:
    """The experiment in the folder NAME, with one head for each rate.

    Args:
        args: of the command line, without `--sweep_lr`.
        sweep_lr: what was given with it.

    Raises:
        UserError: whatever the user can mend, before any model is built.
    """
    rates = parse_rates(sweep_lr)
    typed = vars(args).pop("typed", None)
    folder = _folder(args)
    _check(args, folder, rates)
    heads = []
    for rate in rates:
        own = argparse.Namespace(**vars(args))
        own.typed = None if typed is None else {name: typed[name] for name in typed.keys() - {"sweep_lr"}}
        own.expdir = str(folder_of(folder, rate))
        own.expname = None if args.expname is None else f"{args.expname}/{Path(own.expdir).name}"
        asked = [f"+config.{RATE}={rate}"]
        own.override = ",,".join([args.override, *asked] if parse_override(args.override) else asked)
        heads.append(experiment.build(own, tell_overrides=not heads))
    _check_common(heads)
    say_once(f"[Sweep] {len(heads)} learning rate(s) in one pass: {', '.join(h.args.expdir for h in heads)}")
    record = argparse.Namespace(**vars(heads[0].args))
    record.expname, record.expdir, record.override = args.expname, str(folder), args.override
    record.sweep_lr = sweep_lr
    config = deepcopy(heads[0].config)
    config["optimizer"]["lr"] = list(rates.values())
    return experiment.Experiment(record, config, None, any(head.resume for head in heads), heads)


def parse_rates(text: str) -> dict[str, float]:
    """The learning rates of `--sweep_lr`, by the text that names them.

    Raises:
        UserError: there is none, one is no positive number, or two are the same number.
    """
    rates: dict[str, float] = {}
    for name in filter(None, map(str.strip, text.split(","))):
        value = parse_value(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise UserError(
                f"--sweep_lr: '{name}' is no learning rate. Give positive numbers: 1e-2,1e-3,1e-4."
            )
        same = next((other for other in rates if rates[other] == value), None)
        if same is not None:
            raise UserError(f"--sweep_lr: {same} and {name} are the same learning rate. Give it once.")
        rates[name] = value
    if not rates:
        raise UserError("--sweep_lr names no learning rate. Give one or more: --sweep_lr 1e-2,1e-3,1e-4.")
    return rates


def _folder(args: argparse.Namespace) -> Path:
    experiment.settle_expdir(args)
    if args.expdir is None:
        raise UserError(experiment.UNNAMED)
    return Path(args.expdir)


def _check(args: argparse.Namespace, folder: Path, rates: dict[str, float]) -> None:
    """Refuse options that a sweep cannot have, and folders that belong to something else."""
    asked = {field.lstrip("+") for field, _ in parse_override(args.override)}
    if args.mode != "train":
        raise UserError(f"--sweep_lr is for training. Leave it out with -m {args.mode}.")
    if args.past_exp is not None:
        raise UserError(
            "-e continues one run, --sweep_lr trains several. Continue one head with -e and without "
            "--sweep_lr, or all heads with the command that began the sweep and -a."
        )
    if args.push_to_hf_hub:
        raise UserError(
            "--push_to_hf_hub shares one run, --sweep_lr trains several. Share the best one afterwards: "
            "-m train -e NAME/lrRATE --push_to_hf_hub."
        )
    if f"config.{RATE}" in asked:
        raise UserError(
            f"-o config.{RATE} sets one learning rate, --sweep_lr several. Leave one of them out."
        )
    if "args.expdir" in asked:
        raise UserError("-o args.expdir would put all heads of the sweep into one folder. Use -p.")
    if states_in(folder):
        raise UserError(f"{folder} holds a run without --sweep_lr. Choose another -n or -p for the sweep.")
    for name, value in heads_in(folder).items():
        same = next((rate for rate in rates if rates[rate] == value), None)
        if same is None:
            say_once(f"[Sweep] {folder_of(folder, name)} is of another rate: it is left alone.")
        elif same != name:
            raise UserError(
                f"--sweep_lr: {same} is the rate of {folder_of(folder, name)}. Write it as {name}."
            )


def _check_common(heads: Sequence[experiment.Experiment]) -> None:
    """Refuse heads that differ in more than the rate, as one that is continued and a new one can."""
    first = heads[0]
    for head in heads:
        if head.args.upstream_trainable:
            raise UserError(
                "-f trains the upstream, which the heads of --sweep_lr have in common. Leave one of them out."
            )
        found = {f"config.{name}": pair for name, pair in differences(first.config, head.config).items()}
        found.pop(f"config.{RATE}", None)
        for name in IN_COMMON:
            pair = getattr(first.args, name, None), getattr(head.args, name, None)
            if pair[0] != pair[1]:
                found[f"args.{name}"] = pair
        if found:
            name, (one, other) = next(iter(found.items()))
            raise UserError(
                f"The heads of a sweep may differ in their learning rate only, but {name} is {told(one)} in "
                f"{first.args.expdir} and {told(other)} in {head.args.expdir}. Give both the same with -o, "
                "or train the new rate under another -n."
            )


def train(sweep: experiment.Experiment) -> None:
    """Train all heads, from the start or from where each stopped; the best one is named at the end.

    Raises:
        UserError: see `Training.run`; or the upstream trains no head.
    """
    import torch

    from s3prl.training.learner import Learner
    from s3prl.training.loop import Training
    from s3prl.upstream.interfaces import traits_of
    from s3prl.utility import processes

    from .runner import Runner

    runners: list[Runner] = []
    threads = torch.get_num_threads()
    for head in sweep.heads:
        torch.set_num_threads(threads)  # as many as a runner finds alone: it lowers the number for its models
        beside = runners[0] if runners else None
        folder = Path(head.args.expdir)
        runners.append(Runner(head.args, head.config, head.checkpoint, head.resume, folder, beside))
    first, *others = runners
    if traits_of(first.upstream).survey is not None:
        raise UserError(
            f"The upstream '{first.args.upstream}' gathers statistics in training, and no learning rate "
            "counts. Leave --sweep_lr out."
        )
    for runner in runners:
        runner.write_metric()
    learners = [Learner(runner, *runner.start()) for runner in others]
    Training(first, *first.start(), beside=learners).run()
    if processes.is_leader():
        _close(Path(sweep.args.expdir), runners)


def _close(folder: Path, runners: Sequence) -> None:
    """Print and write the table of the heads, draw their curves, and say how to evaluate the best."""
    from s3prl.training import summary
    from s3prl.utility import sweeps
    from s3prl.utility.progress import say

    heads = [sweeps.head_of(runner.expdir) for runner in runners]
    say(sweeps.table(heads))
    lines = [f"Written to {sweeps.write(folder, heads)}."]
    if runners[0].settings.draw_curves:
        pictures = summary.draw_curves(folder, [runner.expdir for runner in runners])
        lines += [f"Curves: {', '.join(map(str, pictures))}."] if pictures else []
    best = sweeps.winner(heads)
    if best is not None:
        lines += summary.evaluation_advice(runners[heads.index(best)])
    say("\n".join(f"[Sweep] {line}" for line in lines))
