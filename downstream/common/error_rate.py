"""Error rates as NIST sclite counts them: edits over a whole split, divided by the reference length."""

from collections.abc import Sequence

import editdistance


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions that turn the hypothesis into the reference."""
    return editdistance.eval(hypothesis, reference)


def error_rate(errors: Sequence[int], lengths: Sequence[int], whole: float = 100.0) -> float:
    """Percent errors: the sum of `errors` over the sum of the reference `lengths` of all utterances.

    With `whole=1.0` a fraction. Above `whole` when there are more insertions than matches; infinite when all
    references are empty but not all hypotheses.
    """
    total, length = sum(errors), sum(lengths)
    if length == 0:
        return 0.0 if total == 0 else float("inf")
    return whole * total / length
