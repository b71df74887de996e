"""Classification losses for embeddings that are compared by their angle.

Each takes embeddings [batch, dim] and the numbers of their speakers [batch], and returns losses [batch].
Arguments and parameters are named as in the public S3PRL.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl.utility.typed import above, at_least

Scale = Annotated[float, above(0)]
Margin = Annotated[float, at_least(0)]


class SoftmaxLoss(nn.Module):
    """Cross entropy of a linear layer."""

    def __init__(self, hidden_dim: int, speaker_num: int) -> None:
        super().__init__()
        self.fc = nn.Linear(hidden_dim, speaker_num)

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(embeddings).float(), speakers, reduction="none")


class AMSoftmaxLoss(nn.Module):
    """Additive margin (Wang et al., 2018): cross entropy of `s` times the cosines, the true one less `m`."""

    def __init__(self, hidden_dim: int, speaker_num: int, s: Scale = 30.0, m: Margin = 0.4) -> None:
        """
        Args:
            s: scale of the cosines.
            m: by how much the cosine with the true speaker must exceed the others.
        """
        super().__init__()
        self.s, self.m = s, m
        self.W = nn.Parameter(torch.empty(hidden_dim, speaker_num))
        nn.init.xavier_normal_(self.W)

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        cosine = (F.normalize(embeddings.float(), dim=1) @ F.normalize(self.W, dim=0)).float()
        margin = self.m * F.one_hot(speakers, cosine.size(1))
        return F.cross_entropy(self.s * (cosine - margin), speakers, reduction="none")


class AAMSoftmaxLoss(nn.Module):
    """Additive angular margin (ArcFace, Deng et al., 2019): the angle to the true speaker counts `m` more."""

    def __init__(
        self,
        hidden_dim: int,
        speaker_num: int,
        s: Scale = 15.0,
        m: Margin = 0.3,
        easy_margin: bool = False,
    ) -> None:
        """
        Args:
            s: scale of the cosines.
            m: the margin, in radians.
            easy_margin: leave utterances alone that are further than 90 degrees from their speaker.
        """
        super().__init__()
        self.s, self.m, self.easy_margin = s, m, easy_margin
        self.weight = nn.Parameter(torch.empty(speaker_num, hidden_dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(embeddings.float()), F.normalize(self.weight)).float()
        true = cosine.gather(1, speakers[:, None])
        sine = (1 - true.square()).clamp(min=1e-12).sqrt()  # whose gradient is infinite at 0
        widened = true * math.cos(self.m) - sine * math.sin(self.m)  # cos(angle + m)
        if self.easy_margin:
            widened = torch.where(true > 0, widened, true)
        else:  # beyond angle + m = 180 degrees the cosine would rise again: a line goes on falling
            turn = math.cos(math.pi - self.m)
            widened = torch.where(true > turn, widened, true - self.m * math.sin(math.pi - self.m))
        logits = self.s * cosine.scatter(1, speakers[:, None], widened)
        return F.cross_entropy(logits, speakers, reduction="none")


LOSSES = {"AMSoftmaxLoss": AMSoftmaxLoss, "AAMSoftmaxLoss": AAMSoftmaxLoss, "SoftmaxLoss": SoftmaxLoss}
