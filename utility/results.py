"""What runs say of themselves: metrics over the steps, evaluations, and the score that decides."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.get_best_dev import best_step, deciding_split, logged, lower_wins, read_log
from s3prl.utility.metric import Metric

JSONL = "metrics.jsonl"
BEST = "dev-best.ckpt"
LEARNING_RATE = "learning-rate"
RUNNERS_OWN = (LEARNING_RATE, "gradient-norm", "nan_gradients", "out_of_memory")

Points = dict[int, float]  # step -> value


@dataclass(frozen=True)
class Best:
    """The best score of the split that decides."""

    metric: Metric  # what decides
    step: int
    score: float
    declared: bool  # by the task; otherwise guessed from the names of metrics and splits


@dataclass
class Run:
    """One experiment folder.

    Attributes:
        curves: metric -> split -> step -> value, as in metrics.jsonl.
        evaluations: split -> content of the file that `-m evaluate` wrote for it.
        best: None where no development set has been evaluated.
    """

    folder: Path
    curves: dict[str, dict[str, Points]] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: Best | None = None

    @property
    def splits(self) -> list[str]:
        """In the order of their first lines in metrics.jsonl."""
        return list(dict.fromkeys(split for splits in self.curves.values() for split in splits))

    @property
    def training_splits(self) -> set[str]:
        """Those that have a learning rate."""
        return set(self.curves.get(LEARNING_RATE, ()))

    def metrics_at(self, split: str, step: int) -> dict[str, float]:
        """The metrics of a split that were logged at a step."""
        found = {name: splits.get(split, {}).get(step) for name, splits in self.curves.items()}
        return {name: value for name, value in found.items() if value is not None}

    def last_step(self, split: str) -> int:
        """The step of the split's latest line."""
        return max(step for splits in self.curves.values() for step in splits.get(split, ()))


def read_run(folder: Path) -> Run:
    """What is in an experiment folder, also while it trains."""
    run = Run(folder, best=best_of(folder))
    path = folder / JSONL
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for step, split, metrics in logged(text.splitlines()):
        for name, value in metrics.items():
            if math.isfinite(value):
                run.curves.setdefault(name, {}).setdefault(split, {})[step] = float(value)
    for path in sorted(folder.glob("result-*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            run.evaluations[content["split"]] = {**content, "step": int(content["step"])}
            dict(content["metrics"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error!r}). Remove it and evaluate again.") from error
    return run


def best_of(folder: Path) -> Best | None:
    """The best score of a run so far; None where no development set has been evaluated.

    Raises:
        UserError: the file that declares the metric is damaged.
    """
    headline = Metric.of(folder)
    try:
        log = read_log(folder / JSONL)
        split = deciding_split(log)
    except UserError:
        return None
    step, name = best_step(log, split), log.metrics[split]
    declared = headline is not None and (headline.name, headline.split) == (name, split)
    metric, score = Metric(name, lower_wins(log, name), split), float(log.scores[split][step])
    return Best(metric, step, score, declared)


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The experiment folders among and below `folders`, those below one in the order of their names.

    Raises:
        UserError: there is none.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder. Name the folder of a run, or one above several runs.")
        below = [folder] if _is_run(folder) else _runs_below(folder)
        if not below:
            raise UserError(
                f"{folder} holds no run: no {JSONL} of a training and no result of an evaluation. Train one "
                f"with `{command_line('train')}`, or evaluate a checkpoint with `{command_line('evaluate')} "
                "-t SPLIT -e CKPT`."
            )
        found += [one for one in below if one not in found]
    return found


def _is_run(folder: Path) -> bool:
    return (folder / JSONL).is_file() or next(folder.glob("result-*.json"), None) is not None


def _runs_below(folder: Path) -> list[Path]:
    """Without what a run has moved aside (`previous_<time>/`)."""
    runs = []
    for place, names, _ in os.walk(folder):
        here = [name for name in sorted(names) if not name.startswith((".", "previous_"))]
        runs += [Path(place, name) for name in here if _is_run(Path(place, name))]
        names[:] = [name for name in here if not _is_run(Path(place, name))]
    return sorted(runs)


def names_of(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its path below the folder that all have in common."""
    if len(runs) == 1:
        return [runs[0].folder.resolve().name]
    folders = [run.folder.resolve() for run in runs]
    common = os.path.commonpath([folder.parent for folder in folders])
    return [folder.relative_to(common).as_posix() for folder in folders]


def table(runs: Sequence[Run]) -> str:
    """The metrics of runs as text: rows for every split at its best and last step, a column per metric."""
    several, rows = len(runs) > 1, []
    for name, run in zip(names_of(runs), runs, strict=True):
        rows += [(name, *row) for row in _rows(run)]
    metrics = list(dict.fromkeys(metric for row in rows for metric in row[-1] if metric not in RUNNERS_OWN))
    texts = [["run", "split", "at", "step", *metrics]]
    for name, split, place, step, values in rows:
        found = [values.get(metric) for metric in metrics]
        texts.append([name, split, place, str(step), *("-" if v is None else f"{v:.4g}" for v in found)])
    left = 3  # columns of words
    if not several:
        texts, left = [text[1:] for text in texts], 2
    return aligned(texts, left)


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of a table as text, a line under the first; `left` columns are words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    title, *others = rows
    ruled = [title, ["-" * width for width in widths], *others]
    return "\n".join(_aligned(row, widths, left) for row in ruled)


def _rows(run: Run) -> Iterator[tuple[str, str, int, dict[str, float]]]:
    """(split, "best", "last" or nothing, step, metrics), from the training and from evaluations of it.

    The best step of every split is that of dev-best.ckpt.
    """
    best = None if run.best is None else run.best.step
    for split in dict.fromkeys([*run.splits, *run.evaluations]):
        last = run.last_step(split) if split in run.splits else None
        training = split in run.training_splits
        steps = {last} if training else {best, last}
        found = {step: run.metrics_at(split, step) for step in steps - {None}}
        if split in run.evaluations:
            step, metrics = run.evaluations[split]["step"], run.evaluations[split]["metrics"]
            found[step] = {**found.get(step, {}), **metrics}
        for step, metrics in sorted(found.items()):
            if metrics:
                place = "best" if step == best and not training else "last" if step == last else ""
                yield split, place, step, metrics


def _aligned(row: Sequence[str], widths: list[int], left: int) -> str:
    words = map(str.ljust, row[:left], widths[:left])
    return "  ".join([*words, *map(str.rjust, row[left:], widths[left:])])


def decision(run: Run) -> str:
    """What decided: `wer on dev-clean, lower is better: 6.767 at step 500, kept in dev-best.ckpt`."""
    best = run.best
    if best is None:
        return "nothing yet: no development set has been evaluated"
    better = "lower" if best.metric.lower_is_better else "higher"
    text = (
        f"{best.metric.name} on {best.metric.split}, {better} is better: {best.score:.4g} at step {best.step}"
    )
    if not best.declared:
        return f"{text} (guessed from the names: the task declares no metric)"
    return text + (f", kept in {BEST}" if (run.folder / BEST).is_file() else "")
