"""The one-to-one assignment of greatest total gain (Hungarian algorithm), for matrices of tens of rows."""

import math

import numpy as np


def best_assignment(gains: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column), none of them twice, whose gains have the greatest sum; min(rows, columns) pairs.

    Each row in turn gets a column by the shortest augmenting path (Crouse, 2016), in O(n^3) altogether. Lists
    are faster than arrays at the few rows that speakers make.

    Args:
        gains: [rows, columns], finite; such as the seconds that two speakers have in common.

    Raises:
        ValueError: a gain is infinite or no number, or `gains` is no matrix.
    """
    gains = np.asarray(gains, dtype=np.float64)
    if gains.ndim != 2 or not np.isfinite(gains).all():
        raise ValueError("gains must be a matrix of finite numbers")
    if gains.shape[0] > gains.shape[1]:
        return sorted((row, column) for column, row in best_assignment(gains.T))
    rows, columns = gains.shape
    costs = (-gains).tolist()
    row_prices, column_prices = [0.0] * rows, [0.0] * columns
    row_of, column_of = [-1] * columns, [-1] * rows
    for row in range(rows):
        paths, before, free = _shortest_paths(costs, row, row_prices, column_prices, row_of)
        for column, length in paths.items():  # prices that make every assigned pair cost nothing
            step = paths[free] - length
            column_prices[column] -= step
            if column != free:
                row_prices[row_of[column]] += step
        row_prices[row] += paths[free]
        column, other = free, -1
        while other != row:
            other = before[column]
            row_of[column] = other
            column, column_of[other] = column_of[other], column
    return list(enumerate(column_of))


def _shortest_paths(
    costs: list[list[float]],
    row: int,
    row_prices: list[float],
    column_prices: list[float],
    row_of: list[int],
) -> tuple[dict[int, float], list[int], int]:
    """Dijkstra's paths from an unassigned row to columns, up to the nearest one that is free.

    Returns:
        The lengths of the paths by their columns; the row before each column; the free column.
    """
    lengths, before = [math.inf] * len(row_of), [-1] * len(row_of)
    paths: dict[int, float] = {}
    current, way, nearest = row, 0.0, -1
    while current >= 0:
        base = way - row_prices[current]
        nearest, way = -1, math.inf
        for column, cost in enumerate(costs[current]):
            if column in paths:
                continue
            length = base + cost - column_prices[column]
            if length < lengths[column]:
                lengths[column], before[column] = length, current
            if nearest < 0 or lengths[column] < way:
                nearest, way = column, lengths[column]
        paths[nearest] = way
        current = row_of[nearest]
    return paths, before, nearest
