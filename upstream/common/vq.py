"""Vector quantisation by Gumbel softmax (VQ-APC, Chung et al., Interspeech 2020), in groups of dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError


@dataclass(frozen=True)
class VqConfig:
    """One code book per group, the groups being consecutive dimensions of the feature."""

    codebook_size: Sequence[int]  # codes per group
    code_dim: Sequence[int]  # dimensions per group; their sum is that of the feature
    gumbel_temperature: float = 1.0


class Codebook(nn.Module):
    """Replaces a vector by the best of `codes` learned ones."""

    def __init__(self, dim: int, codes: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.vq_logits = nn.Linear(dim, codes)
        self.codebook_CxE = nn.Linear(codes, dim, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]; the straight-through Gumbel estimate in training."""
        logits = self.vq_logits(vectors)
        if self.training:
            return self.codebook_CxE(F.gumbel_softmax(logits, tau=self.temperature, hard=True))
        return F.embedding(logits.argmax(-1), self.codebook_CxE.weight.T)


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
    widths = [group.vq_logits.in_features for group in groups]
    parts = zip(groups, vectors.split(widths, -1), strict=True)
    return torch.cat([group(part) for group, part in parts], -1)
