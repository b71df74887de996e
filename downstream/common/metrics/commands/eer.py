"""Equal error rate and detection cost (minDCF) of a system that scores trials, as in speaker verification.

One file has a trial in every line: 1 (target) or 0, the two recordings, and the score.

    1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav 0.7312

Or two files name the trials by keys, as an evaluation of sv_voxceleb1 writes them: test_predict.txt with
lines `<key> <score>` and test_truth.txt with lines `<key> <1|0>`. A higher score speaks for a target trial.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from s3prl.utility.errors import UserError

LABELS = {"1": True, "0": False}


def add_options(parser: ArgumentParser) -> None:
    """The files, and the parameters of the detection cost."""
    parser.add_argument("scores", type=Path, metavar="SCORES", help="the scores of all trials")
    parser.add_argument(
        "truth", type=Path, nargs="?", metavar="TRUTH", help="labels of the trials, where SCORES has none"
    )
    for name, default, what in (
        ("p_target", 0.01, "prior probability of a target trial"),
        ("c_miss", 1.0, "cost of a miss"),
        ("c_fa", 1.0, "cost of a false alarm"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (default {default:g})")


def run(options: Namespace) -> None:
    """Print both metrics.

    Raises:
        UserError: a file that cannot be read or scored.
    """
    from ..eer import equal_error_rate, min_dcf

    if options.truth is None:
        scores, labels = _of_one_file(options.scores)
    else:
        scores, labels = _of_two(options.scores, options.truth)
    parameters = {name: getattr(options, name) for name in ("p_target", "c_miss", "c_fa")}
    rate, threshold = equal_error_rate(scores, labels)
    cost, cost_threshold = min_dcf(scores, labels, **parameters)
    said = ", ".join(f"{name} {value:g}" for name, value in parameters.items())
    print(f"trials  {len(labels):,}: {sum(labels):,} target, {len(labels) - sum(labels):,} nontarget")
    print(f"EER     {100 * rate:.4f} %  (threshold {threshold:.6g})")
    print(f"minDCF  {cost:.6f}  ({said}; threshold {cost_threshold:.6g})")


def _of_one_file(path: Path) -> tuple[list[float], list[bool]]:
    scores, labels = [], []
    for number, fields in _lines(path, 4, "<1|0> <recording> <recording> <score>"):
        labels.append(_label(path, number, fields[0]))
        scores.append(_score(path, number, fields[3]))
    return scores, labels


def _of_two(predicted: Path, truth: Path) -> tuple[list[float], list[bool]]:
    scored = [
        (fields[0], _score(predicted, number, fields[1]))
        for number, fields in _lines(predicted, 2, "<key> <score>")
    ]
    known = [
        (fields[0], _label(truth, number, fields[1])) for number, fields in _lines(truth, 2, "<key> <1|0>")
    ]
    if [key for key, _ in scored] != [key for key, _ in known]:
        by_key = _by_key(scored, predicted)
        _check_same(set(by_key), predicted, set(_by_key(known, truth)), truth)
        scored = [(key, by_key[key]) for key, _ in known]
    return [score for _, score in scored], [label for _, label in known]


def _by_key(pairs: list[tuple[str, float]], path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"{path} has two lines for the trial {key}. Remove one of them.")
        found[key] = value
    return found


def _check_same(scored: set[str], predicted: Path, known: set[str], truth: Path) -> None:
    for one, first, other, second in ((scored, predicted, known, truth), (known, truth, scored, predicted)):
        if lacking := sorted(one - other):
            raise UserError(
                f"{second} has no line for {len(lacking):,} of the {len(one):,} trials of {first}; the first "
                f"is {lacking[0]}. Both files must be of one evaluation."
            )


def _lines(path: Path, count: int, form: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of every line that is not empty, with its number."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"There is no file {path.absolute()}. Check its path.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}). It should have lines `{form}`.") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and len(fields) != count:
            other = (
                " Without a file TRUTH, labels are expected too." if (count, len(fields)) == (4, 2) else ""
            )
            raise UserError(f"{path}, line {number}: {line.strip()[:100]!r} is not `{form}`.{other}")
        if fields:
            yield number, fields


def _label(path: Path, number: int, text: str) -> bool:
    if text not in LABELS:
        raise UserError(f"{path}, line {number}: the label must be 1 or 0, not {text[:40]!r}.")
    return LABELS[text]


def _score(path: Path, number: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise UserError(f"{path}, line {number}: the score must be a finite number, not {text[:40]!r}.")
    return score
