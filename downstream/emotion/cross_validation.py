"""Cross-validation of emotion recognition: the five folds, and the mean of their test accuracies.

python downstream/emotion/cross_validation.py -u fbank -n NAME    # and any option of run_downstream.py
python downstream/emotion/cross_validation.py -n NAME --report    # the table alone

Trains NAME/fold1 to NAME/fold5 one after the other. The same command again goes on where it was interrupted
and trains no finished fold twice. --report makes the table of folds that were trained one by one, such as by
five jobs with -v fold1 -n NAME/fold1 (or -n NAME_fold1) and so on, also while they train.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

if not __package__:  # a script: what Python put first is this folder, and the import name is two above it
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from s3prl.downstream.common.corpora.iemocap import FOLDS
from s3prl.downstream.experiment import UNNAMED, settle_expdir
from s3prl.utility.arguments import command_parser
from s3prl.utility.commands import COMMANDS, command_line
from s3prl.utility.errors import UserError, command, first_line
from s3prl.utility.files import write_atomically, write_json
from s3prl.utility.get_best_dev import best_step, deciding_split, read_log
from s3prl.utility.results import aligned, read_run

TEST = "test"
TABLE = "cross_validation"  # .txt and .json
REFUSED = {
    "downstream_variant": "-v names one fold, and here all are trained",
    "past_exp": "-e continues one run; the same command again continues all folds",
    "sweep_lr": "--sweep_lr makes several runs of each fold. Give each rate a name of its own",
}


class Fold(NamedTuple):
    """The result of a fold so far."""

    name: str
    folder: Path
    trained_to: int  # the latest step that was evaluated
    step: int  # the best one on the development set
    dev: float
    test: float | None  # at the best step; None where the test set was not evaluated there


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is left to train, then print and write the table; the exit code is that of a failed fold."""
    options, rest = _parse(arguments)
    settle_expdir(options)
    if options.expdir is None:
        raise UserError(UNNAMED)
    folder = Path(options.expdir)
    if not options.report and (code := train(folder, rest)):
        return code
    report(folder)
    return 0


def train(folder: Path, options: Sequence[str]) -> int:
    """Train every fold to its end, with options of run_downstream.py; returns the exit code of a failed one.

    Raises:
        UserError: several processes were started, which would not find each other for a second fold.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError(
            "Cross-validation runs in one process. With torchrun, start run_downstream.py for each fold "
            "(-v fold1 -n NAME/fold1), then make the table with --report."
        )
    run = importlib.import_module(COMMANDS["train"].module).main  # as `s3prl train` does
    for fold in FOLDS:
        print(f"[Cross-validation] {fold} of {len(FOLDS)}", flush=True)
        if code := run(
            ["-m", "train", "-a", "-d", "emotion", "-v", fold, "-p", str(folder / fold), *options]
        ):
            return code
    return 0


def report(folder: Path) -> None:
    """Print the table of the folds of `folder`, and write it to cross_validation.txt and .json there.

    Raises:
        UserError: there is no result yet, or a run is of another fold than its folder says.
    """
    found = [fold for name in FOLDS if (fold := _result(_folder_of(folder, name), name)) is not None]
    if not found:
        raise UserError(
            f"{folder} has no result of a fold yet (fold1 to fold5, or {folder.name}_fold1 to "
            f"{folder.name}_fold5 beside it). Train them with `{command_line('cross_validation')} "
            f"-u UPSTREAM -n NAME`, or one by one with `{command_line('train')} -u UPSTREAM -d emotion "
            "-v fold1 -n NAME/fold1`."
        )
    text = f"{table(found)}\n{_what_is_missing(found)}"
    print(text, end="")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{TABLE}.json", summary(found))
        write_atomically(folder / f"{TABLE}.txt", lambda file: file.write(text.encode()))
        print(f"Written to {folder / TABLE}.txt and .json")
    except OSError as error:
        print(f"warning: the table is not written to {folder} ({first_line(error)}).", file=sys.stderr)


def table(found: Sequence[Fold]) -> str:
    """A row for each fold, then the mean and the standard deviation of the test accuracies."""
    rows = [["fold", "trained to", "best step", "dev acc", "test acc"]]
    for fold in found:
        test = "-" if fold.test is None else f"{fold.test:.4f}"
        rows.append([fold.name, str(fold.trained_to), str(fold.step), f"{fold.dev:.4f}", test])
    content = summary(found)
    for name in ("mean", "std"):
        value = content[name]
        rows.append([name, "", "", "", "-" if value is None else f"{value:.4f}"])
    return aligned(rows, 1)


def summary(found: Sequence[Fold]) -> dict[str, Any]:
    """The table for programs; `std` is that of a sample (n - 1)."""
    tests = [fold.test for fold in found if fold.test is not None]
    return {
        "metric": "acc",
        "folds": {fold.name: {**fold._asdict(), "folder": str(fold.folder)} for fold in found},
        "complete": len(tests) == len(FOLDS),
        "mean": mean(tests) if tests else None,
        "std": stdev(tests) if len(tests) > 1 else None,
    }


def _parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those for run_downstream.py."""
    parser = command_parser("cross_validation", __doc__)
    parser.allow_abbrev = False
    add = parser.add_argument
    add("-n", "--expname", "--name", metavar="NAME", help="the folds are result/downstream/NAME/fold1, ...")
    add("-p", "--expdir", metavar="FOLDER", help="the folder of the folds itself; wins over -n")
    add("--report", action="store_true", help="train nothing, only make the table of what there is")
    for flags in (["-a", "--auto_resume"], ["-d", "--downstream"], ["-m", "--mode"],
                  ["-v", "--downstream_variant"], ["-e", "--past_exp"], ["--sweep_lr"]):  # fmt: skip
        add(*flags, action="store_true" if flags[0] == "-a" else "store", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args(arguments)
    for name, reason in REFUSED.items():
        if getattr(options, name) is not None:
            raise UserError(f"{reason}. Leave it out.")
    for flag, given, only in (("-d", options.downstream, "emotion"), ("-m", options.mode, "train")):
        if given not in (None, only):
            raise UserError(f"{flag} {given}: cross-validation has {flag} {only}. Leave it out.")
    return options, rest


def _folder_of(folder: Path, name: str) -> Path:
    """`NAME/fold1`, or `NAME_fold1` where only that is there."""
    beside = folder.with_name(f"{folder.name}_{name}")
    return beside if beside.is_dir() and not (folder / name).is_dir() else folder / name


def _result(folder: Path, name: str) -> Fold | None:
    """The result of a fold so far; None where no development set has been evaluated."""
    tested = [fold for fold in FOLDS if (folder / f"{TEST}_{fold}_truth.txt").is_file()]
    if tested and name not in tested:
        raise UserError(
            f"{folder} holds a run of {tested[0]}, not of {name}. Train it again with -v {name}, or "
            "rename it."
        )
    try:
        log = read_log(folder)
        dev = deciding_split(log)
    except UserError:
        return None
    step = best_step(log, dev)
    test = log.scores.get(TEST, {}).get(step)
    evaluated = read_run(folder).evaluations.get(TEST)
    if test is None and evaluated is not None and evaluated["step"] == step:
        test = evaluated["metrics"].get("acc")
    scores = log.scores[dev]
    return Fold(name, folder, max(scores), step, float(scores[step]), None if test is None else float(test))


def _what_is_missing(found: Sequence[Fold]) -> str:
    """A line on folds without a result; nothing where there is none."""
    lines = []
    if missing := [name for name in FOLDS if name not in {fold.name for fold in found}]:
        lines.append(f"No result yet of {', '.join(missing)}: the mean is that of the others.")
    lines += [
        f"{fold.name} has no test accuracy at step {fold.step}. Evaluate it: {command_line('evaluate')} "
        f"-t test -e {fold.folder / 'dev-best.ckpt'}"
        for fold in found
        if fold.test is None
    ]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
