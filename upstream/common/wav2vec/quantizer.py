"""Quantizers of vq-wav2vec: from frames to codes by a Gumbel softmax or by k-means, per group of channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..group_norm import Block, Float32GroupNorm

WIDENING = 2  # hidden units of the Gumbel logits' network, per input


class _Codebook(nn.Module):
    """What both quantizers share: `groups` codes per frame, from one codebook or from one per group."""

    def __init__(self, entries: int, groups: int, shared: bool) -> None:
        super().__init__()
        self.entries = entries
        self.groups = groups
        self.books = 1 if shared else groups

    def look_up(self, books: Tensor, codes: Tensor) -> Tensor:
        """([books, entries, dim], [batch, frames, groups]) -> [batch, frames, groups * dim]."""
        first = torch.arange(self.groups, device=codes.device) % self.books * self.entries
        return F.embedding(codes + first, books.flatten(0, 1)).flatten(2)


class GumbelQuantizer(_Codebook):
    """The entry with the largest logit; in training one drawn by the straight-through Gumbel softmax."""

    def __init__(
        self,
        channels: int,
        entries: int,
        groups: int,
        shared: bool,
        dim: int,
        depth: int,
        temperature: float,
        activation: nn.Module,
    ) -> None:
        """
        Args:
            entries: vectors in a codebook.
            shared: one codebook for all groups.
            dim: of all groups together.
            depth: linear layers that make the logits.
        """
        super().__init__(entries, groups, shared)
        self.temperature = temperature
        widths = [channels] + [channels * WIDENING] * (depth - 1)
        hidden = [nn.Sequential(nn.Linear(width, channels * WIDENING), activation) for width in widths[:-1]]
        last = nn.Linear(widths[-1], groups * entries)
        self.weight_proj = nn.Sequential(*hidden, last) if hidden else last
        self.vars = nn.Parameter(torch.rand(1, self.books * entries, dim // groups))

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[batch, channels, frames] -> codewords [batch, dim, frames], codes [batch, frames, groups].

        Args:
            valid: not used, as every frame is on its own.
        """
        logits = self.weight_proj(frames.transpose(1, 2)).unflatten(2, (self.groups, self.entries))
        books = self.vars.view(self.books, self.entries, -1)
        if not self.training:
            codes = logits.argmax(-1)
            return self.look_up(books, codes).transpose(1, 2), codes
        drawn = F.gumbel_softmax(logits, tau=self.temperature, hard=True)
        each = books.expand(self.groups, -1, -1)
        codewords = torch.einsum("btge,ged->btgd", drawn, each).flatten(2)
        return codewords.transpose(1, 2), drawn.argmax(-1)


class KmeansQuantizer(_Codebook):
    """The nearest entry by Euclidean distance; gradients pass straight through to the frames."""

    def __init__(self, channels: int, entries: int, groups: int, shared: bool, dim: int) -> None:
        """See GumbelQuantizer; `dim` must be `channels`."""
        super().__init__(entries, groups, shared)
        self.embedding = nn.Parameter(0.01 * torch.randn(entries, self.books, dim // groups))
        self.projection = Block(
            nn.Conv1d(channels, dim, 1, groups=groups, bias=False), Float32GroupNorm(groups, dim)
        )

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[batch, channels, frames] -> codewords [batch, dim, frames], codes [batch, frames, groups].

        Args:
            valid: [batch, 1, frames], True where frames count in the norm; None counts all, as published.
        """
        projected = self.projection(frames, valid).transpose(1, 2)  # [batch, frames, dim]
        books = self.embedding.transpose(0, 1)  # [books, entries, dim / groups]
        codes = self._nearest(projected.detach().unflatten(2, (self.groups, -1)), books.detach())
        codewords = self.look_up(books, codes)
        if self.training:
            codewords = codewords + (projected - projected.detach())
        return codewords.transpose(1, 2), codes

    def _nearest(self, points: Tensor, books: Tensor) -> Tensor:
        # |x - e|^2 / 2 without what all entries share, |x|^2 / 2, so that no [..., entries, dim] is built.
        products = torch.einsum("btgd,ged->btge", points, books.expand(self.groups, -1, -1))
        return (books.square().sum(-1) / 2 - products).argmin(-1)
