"""How far predictions are from the layers of the teacher.

Chang et al., "DistilHuBERT: Speech Representation Learning by Layer-wise Distillation of Hidden-unit BERT",
ICASSP 2022, equation 2.
"""

from torch import Tensor
from torch.nn import functional as F


def reconstruction(prediction: Tensor, target: Tensor, kind: str) -> Tensor:
    """Mean over the dimensions of the absolute (`l1`) or squared (`l2`) difference.

    Args:
        prediction, target: [batch, frames, dim].

    Returns:
        [batch, frames].
    """
    distance = F.l1_loss if kind == "l1" else F.mse_loss
    return distance(prediction, target, reduction="none").mean(-1)


def dissimilarity(prediction: Tensor, target: Tensor) -> Tensor:
    """-log sigmoid of the cosine similarity: [batch, frames, dim] -> [batch, frames], 0.31 to 1.31."""
    return -F.logsigmoid(F.cosine_similarity(prediction, target, dim=-1))


def mean_over(values: Tensor, valid: Tensor) -> Tensor:
    """The mean of [batch, frames] values over the frames that are valid, [batch, frames] of booleans."""
    return values.masked_fill(~valid, 0.0).sum() / valid.sum()
