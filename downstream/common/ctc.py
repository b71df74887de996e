"""Connectionist temporal classification (Graves et al., 2006): the loss and greedy decoding of a batch."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def ctc_loss(
    log_probs: Tensor,
    lengths: Sequence[int],
    targets: Sequence[np.ndarray],
    blank: int = 0,
    zero_infinity: bool = True,
) -> Tensor:
    """CTC loss of every utterance, divided by its target length: [batch].

    Args:
        log_probs: [batch, frames, symbols], log probabilities in float32.
        lengths: valid frames of each utterance.
        targets: symbols of each utterance, int64 [target length], blank excluded.
        blank: number of the blank symbol.
        zero_infinity: whether a target that cannot fit into its frames (see `frames_needed`) has
            loss and gradient zero instead of infinity.
    """
    target_lengths = torch.tensor([len(target) for target in targets])
    losses = F.ctc_loss(
        log_probs.transpose(0, 1),  # [frames, batch, symbols]
        torch.from_numpy(np.concatenate(targets)).to(log_probs.device),
        torch.as_tensor(lengths),
        target_lengths,
        blank=blank,
        reduction="none",
        zero_infinity=zero_infinity,
    )
    return losses / target_lengths.clamp(min=1).to(losses.device)


def frames_needed(target: np.ndarray) -> int:
    """The fewest frames that can emit a target: one each, and a blank between equal neighbours."""
    return len(target) + int((target[1:] == target[:-1]).sum())


def greedy_decode(log_probs: Tensor, lengths: Sequence[int], blank: int = 0) -> list[list[int]]:
    """Best symbol of every frame; repeats collapsed first, blanks dropped after.

    The order matters: `A blank A` is two letters, `A A` is one.
    """
    best = log_probs.argmax(dim=-1).cpu().numpy()  # [batch, frames]
    previous = np.pad(best, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    valid = np.arange(best.shape[1]) < np.asarray(lengths)[:, None]
    kept = (best != previous) & (best != blank) & valid
    return [row[mask].tolist() for row, mask in zip(best, kept, strict=True)]
