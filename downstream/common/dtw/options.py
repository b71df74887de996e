"""What decides a score, apart from queries and documents."""

from typing import NamedTuple

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

from .distances import DISTANCES

PATTERNS = ("asymmetric", "symmetric1", "symmetric2")

SMALLEST_RANGE = 1e-9  # of a row's distances; a row that is more constant than this is scaled as if it had it
# Where the range of a row is smaller than this, relative to its distances, min-max scaling would make more
# than 1e-5 of float32's rounding errors: the pair is computed in float64.
COARSE = 0.02


class Options(NamedTuple):
    """Fields as in `QueryIndex`."""

    distance: str
    minmax_norm: bool
    step_pattern: str
    subsequence: bool

    def check(self) -> None:
        """
        Raises:
            UserError: a name is unknown, or a subsequence is sought by a symmetric pattern.
        """
        for field, known in (("distance", DISTANCES), ("step_pattern", PATTERNS)):
            name = getattr(self, field)
            if name not in known:
                raise UserError(
                    f"The search has no {field} '{name}'.{nearest(name, known)} It has: {', '.join(known)}."
                )
        if self.subsequence and self.step_pattern != "asymmetric":
            raise UserError(
                f"A subsequence is found by the step_pattern asymmetric only, not by {self.step_pattern}: "
                "set one of `step_pattern: asymmetric` and `subsequence: false`."
            )
