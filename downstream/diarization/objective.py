"""The loss that does not know which output is which speaker, and the errors of frames.

Which output stands for which speaker is free: of all ways to match them, the one with the lowest loss counts
(Fujita et al., 2019: End-to-End Neural Speaker Diarization with Permutation-Free Objectives).
"""

from itertools import permutations
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Matched(NamedTuple):
    """The best match of outputs and speakers in each utterance."""

    losses: Tensor  # [batch]: binary cross entropy, a mean over outputs and a sum over frames
    truth: Tensor  # [batch, frames, speakers]: the labels in the order of the outputs


def permutation_free_loss(logits: Tensor, truth: Tensor, valid: Tensor) -> Matched:
    """The loss of each utterance under its best match.

    The cost of every pair of an output and a speaker is computed once, by one matrix product; a match is
    then a sum of such costs.

    Args:
        logits: float [batch, frames, speakers].
        truth: 0 or 1, [batch, frames, speakers].
        valid: bool [batch, frames], false on padding.
    """
    speakers = logits.size(-1)
    orders = torch.tensor(list(permutations(range(speakers))), device=logits.device)  # [orders, outputs]
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float().masked_fill(~valid[..., None], 0)
        wanted = (truth * valid[..., None]).float()
        silent = (F.softplus(logits) * valid[..., None]).sum(1)  # the cost of 0 everywhere: [batch, outputs]
        cost = silent[..., None] - logits.transpose(1, 2) @ wanted  # [batch, outputs, speakers]
        totals = cost[:, torch.arange(speakers, device=logits.device), orders].mean(-1)  # [batch, orders]
    losses, best = totals.min(dim=1)
    order = orders[best][:, None].expand_as(truth)
    return Matched(losses, truth.gather(2, order))


def frame_errors(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Counts over the frames of a batch, in which a speaker speaks where his logit is above 0.

    Args:
        logits, truth, valid: see `permutation_free_loss`; outputs and speakers are matched.

    Returns:
        int64 [6]: right decisions, all decisions (frames times speakers), frames in which speech is missed,
        invented, and given to the wrong speaker, and frames of speech; each speaker counts.
    """
    mask = valid[..., None]
    said, heard = truth.bool() & mask, (logits > 0) & mask
    speakers, found = said.sum(-1), heard.sum(-1)
    confused = torch.minimum(speakers, found) - (said & heard).sum(-1)
    return torch.stack(
        [
            ((said == heard) & mask).sum(),
            valid.sum() * truth.size(-1),
            (speakers - found).clamp(min=0).sum(),
            (found - speakers).clamp(min=0).sum(),
            confused.sum(),
            speakers.sum(),
        ]
    )
