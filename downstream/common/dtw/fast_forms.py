"""The distances in float32 on a CPU, in the form in which the compiled recursion takes them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .recursion import DISTANCE, EXP, ROWS, SIMILARITY, add_cityblock, add_sqeuclidean

# On one core, oneDNN multiplies matrices of these sizes a tenth faster than what `torch.mm` calls. This
# operation is for PyTorch's own compiler and has no public name: a later PyTorch may be without it.
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
LINE = 16  # values in a line of the cache; vectors across two lines take up to half as long again

Matrix = Callable[[Tensor], Tensor]  # [rows, dim] -> values [rows, document frames], contiguous


class Form(NamedTuple):
    """How the values of a distance are computed, and which kind of values they are."""

    kind: int  # DISTANCE, SIMILARITY or EXP
    matrix_of: Callable[[Tensor], Matrix]  # a document [frames, dim]


def fast_form(distance: str) -> Form:
    """Of a distance in `DISTANCES`, whose frames are prepared as it says."""
    direct = {"cityblock": _cityblock, "euclidean": _euclidean, "sqeuclidean": _sqeuclidean}
    if distance in direct:
        return Form(DISTANCE, direct[distance])
    return Form(EXP if distance == "cosine_exp" else SIMILARITY, _products)


def _products(document: Tensor) -> Matrix:
    if not ONEDNN:
        return lambda rows: rows @ document.T
    packed = document.to_mkldnn()
    return lambda rows: torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")


def _cityblock(document: Tensor) -> Matrix:
    return _differences(add_cityblock, document)


def _sqeuclidean(document: Tensor) -> Matrix:
    return _differences(add_sqeuclidean, document)


def _euclidean(document: Tensor) -> Matrix:
    squares = _sqeuclidean(document)
    return lambda rows: squares(rows).sqrt_()


def _differences(add: Callable[..., None], document: Tensor) -> Matrix:
    frames, dim = document.shape
    columns = pad(document.T, (0, -frames % LINE, 0, -dim % 4))  # zeros add nothing to a distance

    def values(rows: Tensor) -> Tensor:
        sums, partial = torch.zeros(len(rows), frames), torch.empty(ROWS, columns.shape[1])
        add(pad(rows, (0, -dim % 4)).numpy(), columns.numpy(), partial.numpy(), sums.numpy())
        return sums

    return values
