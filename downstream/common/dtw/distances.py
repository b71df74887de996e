"""Distances between all frames of two utterances, by the names that a config gives them.

`cosine`, `correlation`, `cityblock`, `euclidean` and `sqeuclidean` are those of scipy's `cdist`; `cosine_exp`
is exp(cosine distance) - 1, and `cosine_neg_log` is -log(1 - cosine distance). A frame of zeros has no
direction: its cosine distance to any frame is 1, as between frames that have nothing in common.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_SIMILARITY = 2.0**-53  # the least by which a double below 1 differs from 1; its -log is 36.7


class Distance(NamedTuple):
    """One distance, as tensor operations of any precision on any device."""

    prepare: Callable[[Tensor], Tensor]  # of frames [frames, dim], once per utterance
    matrix: Callable[[Tensor, Tensor], Tensor]  # prepared [rows, dim] and [columns, dim] -> [rows, columns]
    offset: float = 0.0  # an error of float32 is in proportion to offset + distance
    needs_double: bool = False  # float32 is too coarse for it everywhere


def _as_is(frames: Tensor) -> Tensor:
    return frames


def unit(frames: Tensor) -> Tensor:
    """Frames of length 1; frames of zeros stay."""
    return torch.nn.functional.normalize(frames, dim=-1, eps=torch.finfo(frames.dtype).tiny)


def _centred(frames: Tensor) -> Tensor:
    return unit(frames - frames.mean(-1, keepdim=True))


def _cosine(rows: Tensor, columns: Tensor) -> Tensor:
    return 1 - rows @ columns.T


def _cosine_exp(rows: Tensor, columns: Tensor) -> Tensor:
    return _cosine(rows, columns).expm1()


def _cosine_neg_log(rows: Tensor, columns: Tensor) -> Tensor:
    return -(rows @ columns.T).clamp(min=SMALLEST_SIMILARITY).log()


def _cityblock(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.cdist(rows, columns, p=1.0)


def _euclidean(rows: Tensor, columns: Tensor) -> Tensor:
    # By a matrix product, frames that are nearly equal would have the distance of its rounding errors.
    return torch.cdist(rows, columns, p=2.0, compute_mode="donot_use_mm_for_euclid_dist")


def _sqeuclidean(rows: Tensor, columns: Tensor) -> Tensor:
    return _euclidean(rows, columns).square()


DISTANCES = {
    "cosine": Distance(unit, _cosine, offset=1.0),
    "cosine_exp": Distance(unit, _cosine_exp, offset=1.0),
    "cosine_neg_log": Distance(unit, _cosine_neg_log, needs_double=True),
    "correlation": Distance(_centred, _cosine, offset=1.0),
    "cityblock": Distance(_as_is, _cityblock),
    "euclidean": Distance(_as_is, _euclidean),
    "sqeuclidean": Distance(_as_is, _sqeuclidean),
}
