"""Cosine scores of trials, from an embedding of each recording."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.errors import UserError

from ..common.corpora.voxceleb1_trials import Trial

AT_A_TIME = 4096  # trials, so that memory is bounded


def cosine_scores(embeddings: Tensor, enrol: Sequence[int], test: Sequence[int]) -> np.ndarray:
    """The cosine of the two embeddings of every trial.

    Args:
        embeddings: of the recordings, each of length 1, [recordings, dim].
        enrol, test: numbers of the recordings of each trial, [trials].

    Returns:
        float32 [trials], from -1 to 1.
    """
    first, second = torch.as_tensor(enrol), torch.as_tensor(test)
    parts = [
        (embeddings[one] * embeddings[other]).sum(-1)
        for one, other in zip(first.split(AT_A_TIME), second.split(AT_A_TIME), strict=True)
    ]
    return torch.cat(parts).float().numpy()


def score(trials: Sequence[Trial], embeddings: Mapping[str, Tensor]) -> tuple[list[Trial], np.ndarray]:
    """The trials both of whose recordings have an embedding, and their scores.

    Args:
        embeddings: [dim] of length 1, by the paths in the trials.

    Raises:
        UserError: there is no trial of one kind among them.
    """
    scored = [trial for trial in trials if trial.enrol in embeddings and trial.test in embeddings]
    if {trial.label for trial in scored} != {True, False}:
        raise UserError(
            f"Of the {len(trials):,} trials {len(scored):,} can be scored, and they are not of both kinds. "
            "Raise config.runner.evaluate_ratio, or mend the recordings that were skipped."
        )
    numbers = {name: number for number, name in enumerate(embeddings)}
    found = cosine_scores(
        torch.stack(list(embeddings.values())),
        [numbers[trial.enrol] for trial in scored],
        [numbers[trial.test] for trial in scored],
    )
    return scored, found
