"""Scores of slot filling, as SUPERB counts them, on tagged strings: `PLAY B-artist THE BEATLES E-artist`.

Every function takes the references and the hypotheses of a split, one string per utterance each. Error rates
and the type F1 are fractions; the two edit F1 scores go from 0 to 100, as they are published.
"""

import re
from collections.abc import Callable, Sequence

from ..error_rate import edits
from .text import TextMetric, cer, wer

# The end needs no boundary behind it: a recogniser may write no blank between E-slot and the next word.
_SLOT = re.compile(r"B-(\S+) (.+?) E-\1")
_TAGS = (re.compile(r"B-\S+ "), re.compile(r" E-\S+"))

Slots = dict[str, list[str]]
Split = Callable[[str], Sequence[str]]


def slots_of(tagged: str) -> Slots:
    """The values of each slot type in a tagged string; tags inside a value are left out of it."""
    found: Slots = {}
    for slot, value in _SLOT.findall(" ".join(tagged.split())):
        for tag in _TAGS:
            value = tag.sub("", value)
        found.setdefault(slot, []).append(value)
    return found


def slot_type_f1(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Mean over the utterances of the F1 score between the sets of slot types, from 0 to 1.

    It is 1 where neither side has a slot and 0 where one side has none.
    """
    scores = [_set_f1(set(slots), set(found)) for slots, found in _pairs(references, hypotheses)]
    return sum(scores) / len(scores)


def slot_value_cer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Character error rate over all values of the references, as a fraction.

    Each is compared with the closest value of the same type, or with nothing where the type is missing.
    """
    return cer(*_closest_values(references, hypotheses, list))


def slot_value_wer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """As `slot_value_cer`, in words."""
    return wer(*_closest_values(references, hypotheses, str.split))


def slot_edit_f1_full(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """F1 score over all values, from 0 to 100; values of types that the reference lacks count as wrong."""
    return _edit_f1(references, hypotheses, superfluous_count=True)


def slot_edit_f1_part(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """As `slot_edit_f1_full`, over the types of the reference only."""
    return _edit_f1(references, hypotheses, superfluous_count=False)


def _pairs(references: Sequence[str], hypotheses: Sequence[str]) -> list[tuple[Slots, Slots]]:
    return [
        (slots_of(reference), slots_of(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]


def _set_f1(wanted: set[str], found: set[str]) -> float:
    if not wanted and not found:
        return 1.0
    return 2 * len(wanted & found) / (len(wanted) + len(found))


def _closest_values(
    references: Sequence[str], hypotheses: Sequence[str], units: Split
) -> tuple[list[str], list[str]]:
    """Every value of the references, and the value of the same type that is nearest to it."""
    wanted, nearest = [], []
    for slots, found in _pairs(references, hypotheses):
        for slot, values in slots.items():
            wanted += values
            nearest += [_nearest(value, found.get(slot, [""]), units) for value in values]
    return wanted, nearest


def _nearest(value: str, candidates: Sequence[str], units: Split) -> str:
    return min(candidates, key=lambda candidate: edits(units(value), units(candidate)))


def _edit_f1(references: Sequence[str], hypotheses: Sequence[str], superfluous_count: bool) -> float:
    right = missed = wrong = 0
    for slots, found in _pairs(references, hypotheses):
        for slot, values in slots.items():
            matches = sum(value in found.get(slot, []) for value in values)
            right += matches
            missed += len(values) - matches
            wrong += len(values) - matches if slot in found else 0  # a missing type is only missed
        if superfluous_count:
            wrong += sum(len(values) for slot, values in found.items() if slot not in slots)
    counted = 2 * right + missed + wrong
    return 100.0 * 2 * right / counted if counted else 100.0  # nothing to find and nothing found


METRICS = {
    "slot_type_f1": TextMetric(slot_type_f1, lower_is_better=False),
    "slot_value_cer": TextMetric(slot_value_cer, lower_is_better=True),
    "slot_value_wer": TextMetric(slot_value_wer, lower_is_better=True),
    "slot_edit_f1_full": TextMetric(slot_edit_f1_full, lower_is_better=False),
    "slot_edit_f1_part": TextMetric(slot_edit_f1_part, lower_is_better=False),
}
