"""What an evaluation has written of every utterance, as one score each: right or wrong, errors, accuracy."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import editdistance

from s3prl.utility.commands import command_line
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.weights import listed

PREDICTED, TRUTH, ACCURACY = "_predict.txt", "_truth.txt", "_acc.txt"
RECOGNISED, REFERENCE = "-hyp.ark", "-ref.ark"
UNITS = ("word", "char")
SCORE = re.compile(r"-?\d+\.\d+")  # of a trial

Lines = dict[str, str]  # utterance -> the rest of its line


@dataclass(frozen=True)
class Scores:
    """A score for every utterance of a split.

    Attributes:
        what: what is scored, such as `accuracy` or `word errors`.
        values: by utterance.
        right: whether all of an utterance is right; None where that means nothing.
        lengths: units in the reference of every utterance, where the values are errors; else empty.
        truth: what was to be found, where it is known, so that two evaluations can be told apart.
    """

    what: str
    values: dict[str, float]
    right: dict[str, bool] | None
    lengths: dict[str, int]
    truth: Lines

    def summary(self) -> str:
        """The score of the whole split: `accuracy 0.9123`, `word errors 12.34 %`."""
        total = sum(self.values.values())
        if self.lengths:
            return f"{self.what} {100 * total / max(sum(self.lengths.values()), 1):.2f} %"
        return f"mean {self.what} {total / len(self.values):.4f}"


def read_scores(folder: Path, split: str, unit: str = UNITS[0]) -> Scores:
    """The scores of an evaluation, from the files that it has left in the folder of its run.

    - `<split>-hyp.ark` and `<split>-ref.ark`: errors (insertions, deletions, substitutions) of an utterance.
    - `<split>_acc.txt`: the accuracy of its frames.
    - `<split>_predict.txt` and `<split>_truth.txt`: 1 where its class is right, else 0.

    Args:
        folder: of the run.
        split: as the files have it: `test`, `test_fold1`, `test-clean-noLM`.
        unit: of errors, one of UNITS; characters include the blanks between words.

    Raises:
        UserError: there are no such files, or they are damaged or hold scores of trials.
    """
    if (folder / f"{split}{RECOGNISED}").is_file():
        return _errors(folder, split, unit)
    if (folder / f"{split}{ACCURACY}").is_file():
        return _accuracies(folder, split)
    if (folder / f"{split}{PREDICTED}").is_file():
        return _classes(folder, split)
    found = splits_in(folder)
    hint = f" It has those of {', '.join(found)} (-t).{nearest(split, found)}" if found else ""
    raise UserError(
        f"{folder} has no predictions of '{split}': no {split}{PREDICTED}, {split}{ACCURACY} or "
        f"{split}{RECOGNISED}.{hint} The evaluation of a classifier or recogniser writes them: "
        f"`{command_line('evaluate')} -t SPLIT -e CKPT`."
    )


def splits_in(folder: Path) -> list[str]:
    """The splits of which a folder holds predictions."""
    found = [
        path.name.removesuffix(ending)
        for ending in (PREDICTED, RECOGNISED)
        for path in folder.glob(f"*{ending}")
    ]
    return sorted(set(found))


def _errors(folder: Path, split: str, unit: str) -> Scores:
    found, truth = _pair(folder, split, RECOGNISED, REFERENCE)
    parts = str.split if unit == "word" else _characters
    units = {name: (parts(truth[name]), parts(found[name])) for name in truth}
    errors = {name: float(editdistance.eval(*pair)) for name, pair in units.items()}
    return Scores(
        f"{unit} errors",
        errors,
        {name: count == 0 for name, count in errors.items()},
        {name: len(reference) for name, (reference, _) in units.items()},
        truth,
    )


def _characters(text: str) -> list[str]:
    return list(" ".join(text.split()))


def _accuracies(folder: Path, split: str) -> Scores:
    path = folder / f"{split}{ACCURACY}"
    try:
        values = {name: float(rest.split()[-1]) for name, rest in _lines(path).items()}
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is damaged ({error}). Evaluate again.") from error
    # The truth is a label for each frame, of which two upstreams may have different numbers.
    return Scores("accuracy", values, None, {}, {})


def _classes(folder: Path, split: str) -> Scores:
    found, truth = _pair(folder, split, PREDICTED, TRUTH)
    if set(truth.values()) <= {"0", "1"} and all(map(SCORE.fullmatch, found.values())):
        raise UserError(
            f"{folder / f'{split}{PREDICTED}'} holds the scores of trials, which are neither right nor wrong "
            f"without a threshold. `{command_line('score')} eer` gives their equal error rate."
        )
    right = {name: found[name] == truth[name] for name in truth}
    return Scores("accuracy", {name: float(hit) for name, hit in right.items()}, right, {}, truth)


def _pair(folder: Path, split: str, predicted: str, true: str) -> tuple[Lines, Lines]:
    """What was found and what is true, of the same utterances."""
    paths = [folder / f"{split}{ending}" for ending in (predicted, true)]
    if not paths[1].is_file():
        raise UserError(f"{paths[0]} needs {paths[1].name} beside it. Evaluate again.")
    found, truth = map(_lines, paths)
    if found.keys() != truth.keys():
        odd = listed(sorted(found.keys() ^ truth.keys()))
        raise UserError(
            f"{paths[0]} and {paths[1].name} do not have the same utterances: {odd}. Evaluate again."
        )
    return found, truth


def _lines(path: Path) -> Lines:
    """The lines by their first words; where names have blanks, words that occur again are numbered.

    Lines are sorted by name, so that in two files with the same names the same lines get the same number.
    """
    lines: Lines = {}
    seen: Counter[str] = Counter()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged (no UTF-8 at byte {error.start}). Evaluate again.") from error
    for line in filter(None, map(str.strip, text.split("\n"))):  # a text may hold other breaks, as U+2028
        name, _, rest = line.partition(" ")
        seen[name] += 1
        lines[name if seen[name] == 1 else f"{name} ({seen[name]})"] = rest.strip()
    if not lines:
        raise UserError(f"{path} is empty. Evaluate again.")
    return lines


def check_same(one: Scores, other: Scores, names: Sequence[str]) -> None:
    """Refuse scores that are not of the same utterances with the same truth, or not of the same kind.

    Args:
        names: of the two runs, for messages.

    Raises:
        UserError: names the first utterances that differ.
    """
    if one.what != other.what:
        raise UserError(
            f"{names[0]} has {one.what} and {names[1]} {other.what}: they cannot be compared. Name two runs "
            "of one task."
        )
    odd = sorted(one.values.keys() ^ other.values.keys())
    if odd:
        raise UserError(
            f"{names[0]} and {names[1]} were not evaluated on the same utterances; only one of them has "
            f"{listed(odd)}. Evaluate both on the same data."
        )
    changed = sorted(
        name for name in one.truth.keys() & other.truth.keys() if one.truth[name] != other.truth[name]
    )
    if changed:
        raise UserError(
            f"What is true differs between {names[0]} and {names[1]}, for {listed(changed)}. Evaluate both "
            "on the same data."
        )
