"""The compiled part of the search on a CPU; importing it needs numba."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from .options import SMALLEST_RANGE

# What a value stands for, with a distance d: d, or 1 - d, or 1 - d where exp(d) - 1 is the distance.
DISTANCE, SIMILARITY, EXP = 0, 1, 2
# exp(1 - s) for s in [-1, 1] as a polynomial, highest power first; off by less than 1e-7. (Without Intel's
# library of vector functions, calls of `exp` would take longer than all the rest of the recursion.)
POLYNOMIAL = np.polynomial.Chebyshev.interpolate(lambda s: np.exp(1 - s), 8)
EXP_TERMS = tuple(np.float32(term) for term in POLYNOMIAL.convert(kind=np.polynomial.Polynomial).coef[::-1])
FLAGS = {"nnan", "nsz", "arcp", "contract", "reassoc"}  # infinities are costs where no path leads
ROWS, DIMENSIONS = 16, 64  # that `summer`'s functions take at a time

Array = np.ndarray


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with a cache on disk, or without where no folder for it can be written."""
    options = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@compiled
def exp_of(s: float) -> float:
    """exp(1 - s) of a similarity -1 <= s <= 1."""
    c = EXP_TERMS
    high = (((c[0] * s + c[1]) * s + c[2]) * s + c[3]) * s + c[4]
    return (((high * s + c[5]) * s + c[6]) * s + c[7]) * s + c[8]


@compiled
def distance_of(value: float, kind: int, one: float) -> float:
    """The distance that a value stands for."""
    if kind == SIMILARITY:
        return one - value
    if kind == EXP:
        return exp_of(value) - one
    return value


@compiled
def extremes(bits: Array, lowest: Array, highest: Array) -> None:
    """Least and greatest value of each row, all as the bits of float32 [rows, columns], [rows] and [rows].

    Unlike floats, integers are compared many at a time. With the other bits of negative floats flipped, their
    order as integers is their order as floats.
    """
    for r in range(bits.shape[0]):
        low = high = bits[r, 0] ^ ((bits[r, 0] >> 31) & 0x7FFFFFFF)
        for j in range(bits.shape[1]):
            ordered = bits[r, j] ^ ((bits[r, j] >> 31) & 0x7FFFFFFF)
            low, high = min(low, ordered), max(high, ordered)
        lowest[r] = low ^ ((low >> 31) & 0x7FFFFFFF)
        highest[r] = high ^ ((high >> 31) & 0x7FFFFFFF)


@compiled
def step_asymmetric(row: Array, kind: int, base: float, scale: float, before: Array, after: Array) -> None:
    """The next query frame: the path stays at its document frame or goes on by one or two.

    Its costs are (distance - base) * scale.
    """
    one = row.dtype.type(1)
    for j in range(row.size):
        least = min(min(before[j + 2], before[j + 1]), before[j])
        after[j + 2] = least + (distance_of(row[j], kind, one) - base) * scale


@compiled
def step_symmetric(
    row: Array,
    kind: int,
    base: float,
    scale: float,
    before: Array,
    after: Array,
    diagonal: float,
    first: bool,
) -> None:
    """The next query frame: the path goes on in query, document, or both at `diagonal` times the cost."""
    one = row.dtype.type(1)
    for j in range(row.size):
        cost = (distance_of(row[j], kind, one) - base) * scale
        if first:
            after[j + 2] = cost + (after[j + 1] if j else 0 * one)
        else:
            after[j + 2] = min(
                after[j + 1] + cost, min(before[j + 2] + cost, before[j + 1] + diagonal * cost)
            )


@compiled
def begin(costs: Array, symmetric: bool, subsequence: bool) -> None:
    """Costs ahead of a query's first frame; the first two cells lie before the document's frames."""
    costs[:] = np.inf
    if subsequence:
        costs[0, 2:] = 0
    elif not symmetric:
        costs[0, 0] = 0  # out of the reach of all document frames but the first


@compiled
def advance(
    values: Array, limits: tuple, start: int, queries: tuple, settings: tuple, coarse: tuple, costs: Array,
    farthest: Array, scores: Array, doubtful: Array,
) -> None:  # fmt: skip
    """Take the search over one document through some rows of the concatenated queries.

    Args:
        values: [rows, document frames], of a kind named above.
        limits: [rows] least and greatest value of each row.
        start: which row of the concatenated queries the first one is.
        queries: the query of each row of all queries, and each query's first row and number of rows.
        settings: kind of the values, minmax, subsequence, weight of a symmetric pattern's diagonal step (0:
            the pattern is asymmetric).
        coarse: a row makes its query doubtful if its range is below coarse[0] * (coarse[1] + its maximum).
        costs: [2, 2 + document frames] of the last two rows, kept between calls; in the type of the values.
        farthest: [queries] sum of the largest distances so far, kept between calls.
        scores, doubtful: [queries] written where a query ends, and where it is found to be doubtful.
    """
    owner, begins, lengths = queries
    kind, minmax, subsequence, diagonal = settings
    one = values.dtype.type(1)
    for r in range(values.shape[0]):
        query = owner[start + r]
        at = start + r - begins[query]
        if at == 0:
            begin(costs, diagonal > 0, subsequence)
            farthest[query] = 0
        near, far = distance_of(limits[0][r], kind, one), distance_of(limits[1][r], kind, one)
        near, far = min(near, far), max(near, far)  # a great similarity is a small distance
        spread = far - near
        base, scale = one - one, one
        if minmax:
            base, scale = near, one / max(spread, values.dtype.type(SMALLEST_RANGE))
            if spread < coarse[0] * (coarse[1] + far) or far == np.inf:
                doubtful[query] = True
        farthest[query] += (far - base) * scale
        before, after = costs[at & 1], costs[1 - (at & 1)]
        if diagonal:
            weight = values.dtype.type(diagonal)
            step_symmetric(values[r], kind, base, scale, before, after, weight, at == 0)
        else:
            step_asymmetric(values[r], kind, base, scale, before, after)
        if at == 0:
            costs[0, :2] = np.inf
        if at == lengths[query] - 1:
            total = after[2:].min() if subsequence else after[after.size - 1]
            frames = lengths[query] + (values.shape[1] if diagonal else 0)
            scores[query] = -total / frames if total < np.inf else -farthest[query] / lengths[query]


@compiled
def part(difference: float, squared: bool) -> float:
    """What the difference in one dimension adds to a distance."""
    return difference * difference if squared else abs(difference)


def summer(squared: bool) -> Callable[[Array, Array, Array, Array], None]:
    """One function for each value of `squared`: a choice in the innermost loop would double its time."""

    @compiled
    def add(rows: Array, columns: Array, partial: Array, sums: Array) -> None:
        """Add the distances of [rows, dim] and [dim, columns] to [rows, columns].

        The innermost loop is over columns, many at a time; four dimensions of them, then in the cache, are
        for `ROWS` rows in turn. One float32 sum over 1024 dimensions would be off by 1e-5 of a score:
        `partial` [ROWS, columns] holds sums over a few of them.

        Args:
            columns: may be more than those of `sums`; dim is a multiple of 4.
        """
        for start in range(0, rows.shape[0], ROWS):
            some = rows[start : start + ROWS]
            for first in range(0, rows.shape[1], DIMENSIONS):
                partial[:] = 0
                for k in range(first, min(first + DIMENSIONS, rows.shape[1]), 4):
                    for i in range(some.shape[0]):
                        a, b, c, d = some[i, k], some[i, k + 1], some[i, k + 2], some[i, k + 3]
                        for j in range(columns.shape[1]):
                            partial[i, j] += (
                                part(a - columns[k, j], squared)
                                + part(b - columns[k + 1, j], squared)
                                + part(c - columns[k + 2, j], squared)
                                + part(d - columns[k + 3, j], squared)
                            )
                for i in range(some.shape[0]):
                    for j in range(sums.shape[1]):
                        sums[start + i, j] += partial[i, j]

    return add


add_cityblock, add_sqeuclidean = summer(squared=False), summer(squared=True)


def compile_all() -> None:
    """Compile what the search calls (or load it from the cache), so that its threads need not."""
    one, flags, sums = np.ones(1, dtype=np.int64), np.zeros(1, dtype=bool), np.zeros(1)
    for dtype in (np.float32, np.float64):
        values, costs = np.ones((1, 1), dtype=dtype), np.zeros((2, 3), dtype=dtype)
        limits, queries = (values[0], values[0]), (0 * one, 0 * one, one)
        settings, coarse = (DISTANCE, False, False, 0), (0.0, 0.0)
        advance(values, limits, 0, queries, settings, coarse, costs, sums, sums, flags)
    bits = np.ones((1, 1), dtype=np.int32)
    extremes(bits, bits[0], bits[0])
    for add in (add_cityblock, add_sqeuclidean):
        add(*np.ones((4, 4, 4), dtype=np.float32))
