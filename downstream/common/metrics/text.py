"""Error rates of texts, `(references, hypotheses) -> fraction`: edits of all utterances by reference length.

0.25 is one edit in four symbols; above 1 there are more edits than symbols in the references.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..error_rate import edits, error_rate

Texts = Sequence[str]


class TextMetric(NamedTuple):
    """What a config names a metric of texts by."""

    function: Callable[[Texts, Texts], float]
    lower_is_better: bool


def wer(references: Texts, hypotheses: Texts) -> float:
    """Word error rate; words are separated by blanks."""
    return _rate([text.split() for text in references], [text.split() for text in hypotheses])


def cer(references: Texts, hypotheses: Texts) -> float:
    """Character error rate; the blank between words is a character."""
    return _rate(references, hypotheses)


def per(references: Texts, hypotheses: Texts) -> float:
    """Phone error rate; phones are separated by blanks."""
    return wer(references, hypotheses)


def _rate(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> float:
    errors = [edits(*pair) for pair in zip(references, hypotheses, strict=True)]
    return error_rate(errors, [len(reference) for reference in references], whole=1.0)


METRICS = {name: TextMetric(function, True) for name, function in (("wer", wer), ("cer", cer), ("per", per))}
