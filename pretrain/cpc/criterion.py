"""The contrastive loss of CPC: the true next frame against frames from elsewhere in the batch (InfoNCE)."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError
from s3prl.utility.typed import at_least

from .predictors import HEADS, FeedForwardPredictor, LinearPredictor, TransformerPredictor

DROPOUT = 0.5  # of predictions, where `dropout` asks for it


@dataclass(frozen=True)
class CriterionSettings:
    """The section `criterion` of a model's configuration, by the names of CPC_audio."""

    nPredicts: Annotated[int, at_least(1)] = 12  # frames ahead
    negativeSamplingExt: Annotated[int, at_least(1)] = 128  # wrong frames for each position
    rnnMode: Literal["transformer", "linear", "ffd"] = "transformer"
    dropout: bool = False


class Contrast(NamedTuple):
    """What the criterion finds in a batch."""

    loss: Tensor  # scalar, the mean over steps, positions and utterances; log(1 + negatives) by chance
    accuracy: Tensor  # [step]: how often the true frame scores higher than every wrong one


class Criterion(nn.Module):
    """Predictors of the next frames, and how well they tell them from others."""

    def __init__(
        self, settings: CriterionSettings, context: int, encoded: int, frames: int, reverse: bool = False
    ) -> None:
        """
        Args:
            context, encoded: dimensions of the recurrent network and the encoder.
            frames: of a cut.
            reverse: predict the frames before instead.

        Raises:
            UserError: a cut has too few frames, or dimensions do not suit the transformer.
        """
        super().__init__()
        if frames <= settings.nPredicts:
            raise UserError(
                f"criterion.nPredicts: a cut of {frames} frames leaves no position from which to predict "
                f"{settings.nPredicts} ahead. Lower it, or raise task.sizeWindow (160 samples a frame)."
            )
        self.settings, self.reverse = settings, reverse
        self.wPrediction = _predictor(settings, context, encoded, frames)

    def forward(self, context: Tensor, encoded: Tensor) -> Contrast:
        """Context and encoded frames, [batch, frames, dim] each."""
        if self.reverse:
            context, encoded = context.flip(1), encoded.flip(1)
        steps = self.settings.nPredicts
        predicted = self.wPrediction(context[:, :-steps])  # [step, batch, position, dim]
        if self.settings.dropout:
            predicted = F.dropout(predicted, DROPOUT, self.training)
        predicted = predicted.permute(1, 2, 0, 3)  # [batch, position, step, dim]
        right = encoded[:, 1:].unfold(1, steps, 1).transpose(2, 3)  # [batch, position, step, dim]
        right_scores = (predicted * right).mean(3)
        wrong_scores = torch.matmul(predicted, self._others(encoded).transpose(2, 3)) / encoded.size(2)
        scores = torch.cat([right_scores.unsqueeze(3), wrong_scores], 3)  # [batch, position, step, candidate]
        loss = -scores.float().log_softmax(3)[..., 0].mean()
        return Contrast(loss, (right_scores > wrong_scores.amax(3)).float().mean((0, 1)).detach())

    def _others(self, encoded: Tensor) -> Tensor:
        """Wrong frames for every position: [batch, position, negative, dim].

        All steps of a position share them. Each is any frame of the batch except the position's own, which is
        why some are right by accident, as in the original.
        """
        batch, frames, dim = encoded.shape
        positions, negatives = frames - self.settings.nPredicts, self.settings.negativeSamplingExt
        shape, device = (batch, positions, negatives), encoded.device
        utterance = torch.randint(batch, shape, device=device)
        shift = torch.randint(1, frames, shape, device=device)
        frame = (torch.arange(positions, device=device)[:, None] + shift) % frames
        return F.embedding(utterance * frames + frame, encoded.reshape(batch * frames, dim))


def _predictor(settings: CriterionSettings, context: int, encoded: int, frames: int) -> nn.Module:
    steps = settings.nPredicts
    if settings.rnnMode == "linear":
        return LinearPredictor(steps, context, encoded)
    if settings.rnnMode == "ffd":
        return FeedForwardPredictor(steps, context, encoded)
    if context != encoded or encoded % HEADS:
        raise UserError(
            f"criterion.rnnMode: a transformer predicts where model.hiddenGar ({context}) and "
            f"model.hiddenEncoder ({encoded}) are the same multiple of {HEADS}. Change them, or choose "
            "linear or ffd."
        )
    return TransformerPredictor(steps, encoded, frames)
