"""Attention with dropout on a CPU, in training.

PyTorch's fused attention has no dropout on a CPU: there it falls back to whole [frames, frames] matrices,
some ten of them per head, each written to memory and read again. Here a part of an utterance is worked on
at a time, in buffers that stay in the cache; the backward pass computes them again from what was dropped, a
byte for each weight. The padding of shorter utterances is left out.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CELLS = 2**19  # of a buffer, 2 MB: 350 rows of 1500 frames, or several heads of a short utterance
LEVELS = 2**16  # the probability of dropout is a multiple of 1 / LEVELS
DRAWN = 4  # numbers of 16 bits in one of 64


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention, [batch, heads, frames, dim] of all.

    Args:
        mask: boolean [batch, 1, 1, frames], True for the valid frames of each utterance, at least one, with
            the padding behind them; or what else scaled_dot_product_attention takes; None when there is no
            padding.
        dropout: probability of dropping an attention weight.

    Returns:
        [batch, heads, frames, dim]; padded frames have no meaning.
    """
    plain = query.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    batch, _, frames, _ = query.shape
    padding = mask is None or (mask.dtype == torch.bool and mask.shape == (batch, 1, 1, frames))
    if not (dropout and query.device.type == "cpu" and plain and padding):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    lengths = [frames] * batch if mask is None else mask.sum(-1).flatten().tolist()
    return _DroppedAttention.apply(query, key, value, lengths, dropout)


class _Piece(NamedTuple):
    """Some rows of the attention of some heads of one utterance."""

    seen: tuple[int, slice, slice]  # indexes the valid frames of the heads
    rows: tuple[int, slice, slice]  # indexes those of them that look
    shape: tuple[int, int, int]  # heads, rows, frames seen


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], dropout: float
    ) -> Tensor:
        threshold = round(dropout * LEVELS)
        kept = 1.0 - threshold / LEVELS
        query = query * query.size(-1) ** -0.5
        result, masks = torch.zeros_like(query), []
        buffer = query.new_empty(_size(lengths))
        for piece in _pieces(lengths, query.size(1)):
            weights = _weights(query, key, piece, buffer)
            masks.append(_keep(piece.shape, threshold))
            weights.mul_(masks[-1])
            torch.bmm(weights, value[piece.seen], out=result[piece.rows])
        ctx.save_for_backward(query, key, value, result.div_(kept))
        ctx.masks, ctx.lengths, ctx.kept = masks, lengths, kept
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, result = ctx.saved_tensors
        mean = (gradient * result).sum(-1, keepdim=True)  # of the gradients of a row's weights
        gradient = gradient / ctx.kept
        to_query, to_key, to_value = (torch.zeros_like(tensor) for tensor in (query, key, value))
        buffers = query.new_empty(2, _size(ctx.lengths))
        for piece, mask in zip(_pieces(ctx.lengths, query.size(1)), ctx.masks, strict=True):
            weights = _weights(query, key, piece, buffers[0])
            scores = _view(buffers[1], piece.shape)
            torch.bmm(gradient[piece.rows], value[piece.seen].mT, out=scores)
            scores.mul_(mask).sub_(mean[piece.rows]).mul_(weights)
            weights.mul_(mask)
            to_value[piece.seen].baddbmm_(weights.mT, gradient[piece.rows])
            to_key[piece.seen].baddbmm_(scores.mT, query[piece.rows])
            torch.bmm(scores, key[piece.seen], out=to_query[piece.rows])
        return to_query.mul_(query.size(-1) ** -0.5), to_key, to_value, None, None


def _pieces(lengths: Sequence[int], heads: int) -> Iterator[_Piece]:
    for utterance, frames in enumerate(lengths):
        rows = min(frames, max(CELLS // frames, 1))
        together = min(heads, max(CELLS // (rows * frames), 1))
        for head in range(0, heads, together):
            some = slice(head, min(head + together, heads))
            for start in range(0, frames, rows):
                stop = min(start + rows, frames)
                shape = (some.stop - some.start, stop - start, frames)
                yield _Piece((utterance, some, slice(frames)), (utterance, some, slice(start, stop)), shape)


def _size(lengths: Sequence[int]) -> int:
    """Of a buffer for the largest piece."""
    return max(CELLS, *lengths)


def _weights(query: Tensor, key: Tensor, piece: _Piece, buffer: Tensor) -> Tensor:
    """The attention weights of a piece, in the buffer."""
    scores = _view(buffer, piece.shape)
    torch.bmm(query[piece.rows], key[piece.seen].mT, out=scores)
    return torch.softmax(scores, -1, out=scores)


def _keep(shape: Sequence[int], threshold: int) -> Tensor:
    """True for the weights that stay. Drawn 16 bits each: ten times as fast as Bernoulli draws."""
    bits = torch.empty(-(-math.prod(shape) // DRAWN), dtype=torch.int64).random_(-(2**63), None)
    return _view(bits.view(torch.int16), shape) >= threshold - LEVELS // 2


def _view(buffer: Tensor, shape: Sequence[int]) -> Tensor:
    return buffer[: math.prod(shape)].view(*shape)
