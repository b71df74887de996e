"""Vector quantisation by Gumbel softmax (VQ-APC, Chung et al., Interspeech 2020), in groups of dimensions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError
from s3prl.utility.typed import above, at_least


@dataclass(frozen=True)
class VqConfig:
    """One code book per group, the groups being consecutive dimensions of the feature."""

    codebook_size: Sequence[Annotated[int, at_least(1)]]  # codes per group
    code_dim: Sequence[Annotated[int, at_least(1)]]  # dimensions per group; they add up to the feature's
    gumbel_temperature: Annotated[float, above(0)] = 1.0


class Codebook(nn.Module):
    """Replaces a vector by the best of `codes` learned ones."""

    def __init__(self, dim: int, codes: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.vq_logits = nn.Linear(dim, codes)
        self.codebook_CxE = nn.Linear(codes, dim, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]; the straight-through Gumbel estimate in training."""
        if self.training:
            # in float32: the noise is the logarithm of a draw that 16 bits often round to zero
            logits = self.vq_logits(vectors).float()
            return self.codebook_CxE(F.gumbel_softmax(logits, tau=self.temperature, hard=True))
        return F.embedding(self.best(vectors), self.codebook_CxE.weight.T)

    def best(self, vectors: Tensor) -> Tensor:
        """The number of the best code of every vector: [..., dim] -> [...]."""
        return self.vq_logits(vectors).argmax(-1)


def codebooks(config: VqConfig | None, dim: int) -> nn.ModuleList | None:
    """One Codebook per group for features of `dim`; None without a config.

    Raises:
        UserError: the groups do not make up the feature.
    """
    if config is None:
        return None
    if len(config.codebook_size) != len(config.code_dim) or sum(config.code_dim) != dim:
        raise UserError(
            f"vq: code_dim {list(config.code_dim)} must add up to the {dim} dimensions of the feature, with "
            f"one codebook_size per group, but that is {list(config.codebook_size)}."
        )
    return nn.ModuleList(
        Codebook(width, codes, config.gumbel_temperature)
        for width, codes in zip(config.code_dim, config.codebook_size, strict=True)
    )


def quantise(vectors: Tensor, groups: nn.ModuleList) -> Tensor:
    """[..., dim] -> [..., dim], each group of dimensions by its own code book."""
    return torch.cat([group(part) for group, part in _parts(vectors, groups)], -1)


def codes_used(vectors: Tensor, groups: nn.ModuleList) -> list[Tensor]:
    """How many different codes of each group are the best one of some vector.

    Args:
        vectors: [..., dim].

    Returns:
        one scalar per group, from 1 (the code book has collapsed) to the size of the code book.
    """
    counts = []
    for group, part in _parts(vectors, groups):
        used = torch.zeros(group.vq_logits.out_features, device=vectors.device)
        counts.append(used.index_fill_(0, group.best(part).flatten(), 1.0).sum())
    return counts


def _parts(vectors: Tensor, groups: nn.ModuleList) -> Iterator[tuple[Codebook, Tensor]]:
    widths = [group.vq_logits.in_features for group in groups]
    return zip(groups, vectors.split(widths, -1), strict=True)
