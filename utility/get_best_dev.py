"""Print the last checkpoint of an experiment, its best dev score, and the test score of the same step.

    python utility/get_best_dev.py result/downstream/ExpName/log.log [STOP_STEP]

Takes the log file or the experiment folder. Steps after STOP_STEP are ignored.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import states_in
from s3prl.utility.metric import Metric

# `dev at step 200: 0.95`, and `New best on dev at step 200: 0.95` behind it
SENTENCE = re.compile(r"(?P<best>new best on )?(?P<split>\S+) at step (?P<step>\d+): (?P<score>\S+)$", re.I)
# `best|libri_phone/dev-|step:200|acc:0.95`, the prefix only for a new best of that split
FIELDS = re.compile(
    r"(?P<best>best\|)?(?:.*/)?(?P<split>[^/|]+?)-?\|step:(?P<step>\d+)\|(?P<metric>\w+):(?P<score>\S+)$",
    re.I,
)
LOWER_IS_BETTER = {"loss", "wer", "cer", "per", "uer", "eer", "der", "mindcf"}
HEADLINES = ("acc", "wer", "per", "slot_type_f1", "eer", "der")  # before other metrics of one line, loss last


@dataclass
class Log:
    """Scores by split and step, as text, and what the run itself called its best."""

    path: Path
    headline: Metric | None = None  # what the task declares; None in folders of the public S3PRL
    scores: dict[str, dict[int, str]] = field(default_factory=dict)
    best_steps: dict[str, int] = field(default_factory=dict)  # split -> step of its latest `New best`
    metrics: dict[str, str] = field(default_factory=dict)  # split -> name of its score


def read_log(path: str | Path, stop_step: int | None = None) -> Log:
    """Read `log.log` (either format) or `metrics.jsonl`; of a folder the first of them that exists.

    Lines of step 0 are left out: evaluation of a checkpoint writes them behind those of the training.
    Raises UserError when there is no such file or it holds no score.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in ("log.log", "metrics.jsonl") if (path / name).is_file()]
        if not found:
            raise UserError(
                f"{path} holds no log.log and no metrics.jsonl. Name the folder of a training run."
            )
        path = found[0]
    if not path.is_file():
        raise UserError(f"{path} does not exist. Name the log.log of a training run, or its folder.")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    log = Log(path, Metric.of(path.parent))
    rows = (_from_json if path.suffix == ".jsonl" else _from_text)(lines, log.headline)
    for best, split, step, metric, score in rows:
        if step == 0 or (stop_step is not None and step > stop_step):
            continue
        log.scores.setdefault(split, {})[step] = score
        log.metrics[split] = metric
        if best:
            log.best_steps[split] = step
    if not log.scores:
        until = "" if stop_step is None else f" up to step {stop_step}"
        raise UserError(
            f"{path} holds no score{until}. Expected lines like `dev at step 200: 0.95`. "
            "A run writes them at its evaluations (config.runner.eval_step)."
        )
    return log


def best_step(log: Log, split: str, lower_is_better: bool | None = None) -> int:
    """The step of the best score of `split`: what the run itself called best last, else the first extreme."""
    if split not in log.scores:
        raise UserError(f"{log.path} has no score of '{split}', only of {', '.join(log.scores)}.")
    if lower_is_better is None and split in log.best_steps:
        return log.best_steps[split]
    lower = lower_wins(log, log.metrics[split]) if lower_is_better is None else lower_is_better
    scores = log.scores[split]
    return (min if lower else max)(sorted(scores), key=lambda step: float(scores[step]))


def lower_wins(log: Log, metric: str) -> bool:
    """What the task declares of a metric, else what its name says."""
    if log.headline is not None and log.headline.name == metric:
        return log.headline.lower_is_better
    return metric.lower() in LOWER_IS_BETTER


def deciding_split(log: Log) -> str:
    """The split whose best step counts: what the task declares, else the first development set of the log.

    Raises:
        UserError: the log has no score of a development set.
    """
    if log.headline is not None and log.headline.split in log.scores:
        return log.headline.split
    development = _of_kind(log, "dev", "valid")
    if not development:
        raise UserError(f"{log.path} has no dev score, only of {', '.join(log.scores)}.")
    return development[0]


def last_checkpoint(folder: Path) -> Path | None:
    """The `states-<step>.ckpt` of `folder` with the largest step."""
    return next(iter(states_in(folder)), None)


def report(log: Log, ranked: str, targets: list[str], lower_is_better: bool | None = None) -> str:
    """Two sentences: the last checkpoint; the best score of `ranked` and those of `targets` beside it."""
    step = best_step(log, ranked, lower_is_better)
    last = last_checkpoint(log.path.parent)
    beside = {name: log.scores[name][step] for name in targets if step in log.scores.get(name, {})}
    sentence = f"The best {ranked} score {log.scores[ranked][step]} at step {step}, "
    if not beside:
        sentence += f"without a {' or '.join(targets) or 'test'} score of that step in the log"
    elif len(beside) == 1:
        name, score = next(iter(beside.items()))
        sentence += f"accompanied by this {name} score {score}"
    else:
        sentence += "accompanied by these scores: " + ", ".join(f"{k} {v}" for k, v in beside.items())
    return f"The last ckpt: {last or f'none found in {log.path.parent}'}\n{sentence}"


def _from_text(lines: list[str], headline: Metric | None) -> Iterator[tuple[bool, str, int, str, str]]:
    unnamed = "acc" if headline is None else headline.name
    for line in lines:
        match = SENTENCE.match(line.strip()) or FIELDS.match(line.strip())
        if match and _is_number(match["score"]):
            metric = match.groupdict().get("metric", unnamed)
            # A resumed phone task has forgotten its best, so only the scores of that format are trusted.
            best = bool(match["best"]) and match.re is SENTENCE
            yield best, match["split"], int(match["step"]), metric, match["score"]


def _from_json(lines: list[str], headline: Metric | None) -> Iterator[tuple[bool, str, int, str, str]]:
    """One score per line, the headline metric."""
    first = HEADLINES if headline is None else (headline.name, *HEADLINES)
    for step, split, metrics in logged(lines):
        if metrics:
            metric = next((name for name in first if name in metrics), None)
            metric = metric or min(metrics, key=lambda name: name.lower() == "loss")
            yield False, split, step, metric, str(metrics[metric])


def logged(lines: Iterable[str]) -> Iterator[tuple[int, str, dict[str, float]]]:
    """Step, split and numbers of every line of metrics.jsonl; one that a kill cut off is passed over."""
    for line in lines:
        try:
            metrics = json.loads(line)
            step, split = int(metrics.pop("step")), str(metrics.pop("split"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield step, split, {name: value for name, value in metrics.items() if _is_score(value)}


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _of_kind(log: Log, *kinds: str) -> list[str]:
    return [split for split in log.scores if split.lower().startswith(kinds)]


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the best development score and the test scores of its step."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("log", help="log.log of an experiment, or its folder")
    parser.add_argument("stop_step", type=int, nargs="?", help="ignore what comes after this step")
    options = parser.parse_args(arguments)
    log = read_log(options.log, options.stop_step)
    print(report(log, deciding_split(log), _of_kind(log, "test") or ["test"]))


if __name__ == "__main__":
    sys.exit(main())
