"""Cuts of one size from recordings, and batches of cuts of one speaker.

The batch decides which frames the contrastive loss has for negatives. If they are all of one speaker, what
tells a frame from its negatives is what was said, not who said it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import at_least

from ..common.data import DataRc, Utterances, collate, training_loader


@dataclass(frozen=True)
class TaskSettings:
    """The section `task` of a model's configuration, by the names of CPC_audio."""

    sizeWindow: Annotated[int, at_least(1)] = 20480  # samples of a cut
    samplingType: Literal["samespeaker", "samesequence", "uniform"] = "samespeaker"  # what a batch shares
    speaker_level: Annotated[int, at_least(1)] = 1  # folders from that of the set down to that of a speaker


class Cuts(Utterances):
    """As many cuts of a recording as fit: it is divided into equal parts, with a cut anywhere in each.

    An item is a cut; `files` and `lengths` are of the recordings. `owners` has the number of the recording of
    each cut: an array, for a thousand hours have millions of cuts, and each loading worker would copy a list.
    """

    noun = "cuts"

    def __init__(self, recordings: Utterances, samples: int) -> None:
        """
        Args:
            recordings: none shorter than a cut.
            samples: of a cut.
        """
        files = list(zip(recordings.files, recordings.lengths, strict=True))
        super().__init__(files, samples, recordings.shift, recordings.shortest)
        self.dropped = recordings.dropped
        self.counts = np.array(self.lengths) // samples  # cuts of each recording
        self.owners = np.repeat(np.arange(len(files)), self.counts)
        self._first = np.cumsum(self.counts) - self.counts

    @property
    def seconds(self) -> float:
        """Of audio in an epoch."""
        return len(self) * self.crop / SAMPLE_RATE

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> tuple[Recording]:
        owner = self.owners[index]
        part, samples = int(index - self._first[owner]), self.lengths[owner] / int(self.counts[owner])
        bounds = (round(edge * samples) / SAMPLE_RATE for edge in (part, part + 1))
        return (Recording(str(self.files[owner]), *bounds).randomly_cropped(self.crop / SAMPLE_RATE),)


class GroupedBatches(Sampler[list[int]]):
    """Batches of items of one group in random order; every item comes once in an epoch.

    The items of a group are divided evenly: 9 make batches of 5 and 4 where 8 is the most, not of 8 and 1.
    """

    def __init__(self, groups: Sequence[Sequence[int]], most: int) -> None:
        """
        Args:
            groups: the items of each, by index.
            most: items in a batch.
        """
        self.groups, self.most = [torch.tensor(group) for group in groups], most

    def __len__(self) -> int:
        return sum(-(-len(group) // self.most) for group in self.groups)

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for group in self.groups:
            shuffled = group[torch.randperm(len(group))]
            batches += shuffled.tensor_split(-(-len(group) // self.most))
        return iter([batches[place].tolist() for place in torch.randperm(len(batches)).tolist()])


def cut_loader(datarc: DataRc, task: TaskSettings) -> DataLoader:
    """Batches of cuts: lists of waves [sizeWindow], float32 at 16 kHz. Shorter recordings are left out.

    Raises:
        UserError: no recordings of use, or folders that do not name speakers where these are asked for.
    """
    if not datarc.libri_root:
        raise UserError(
            "config.pretrain_expert.datarc.libri_root: CPC learns from waves. Name the folder of your "
            "recordings."
        )
    loader = training_loader(datarc, task.sizeWindow, shortest=task.sizeWindow)
    cuts = Cuts(loader.dataset, task.sizeWindow)
    return DataLoader(
        cuts,
        batch_sampler=GroupedBatches(_groups(cuts, datarc, task), datarc.train_batch_size),
        num_workers=loader.num_workers,
        collate_fn=collate,
        pin_memory=loader.pin_memory,
    )


def _groups(cuts: Cuts, datarc: DataRc, task: TaskSettings) -> list[Sequence[int]]:
    """The cuts that may be in one batch, for each group."""
    if task.samplingType == "uniform":
        return [range(len(cuts))]
    owners: Sequence = range(len(cuts.files))  # what the cuts of each recording belong to
    if task.samplingType == "samespeaker":
        root = find_path(datarc.libri_root)
        base = root if datarc.sets else root.resolve().parent
        owners = [speaker_of(path.relative_to(base), task.speaker_level) for path in cuts.files]
    groups: dict[Any, list[int]] = {}
    first = 0
    for owner, count in zip(owners, cuts.counts.tolist(), strict=True):
        groups.setdefault(owner, []).extend(range(first, first + count))
        first += count
    return list(groups.values())


def speaker_of(path: Path, level: int) -> str:
    """The folder of the speaker of a recording, such as train-clean-100/1044.

    Args:
        path: from the folder of the set on.
        level: folders from that of the set down to that of a speaker.

    Raises:
        UserError: the path is not that deep.
    """
    if len(path.parts) <= level + 1:
        raise UserError(
            f"config.upstream_config.task.samplingType is samespeaker, but no folder names the speaker of "
            f"{path} (speaker_level: {level}). Set it to samesequence (batches of one "
            "recording) or uniform (any)."
        )
    return str(Path(*path.parts[: level + 1]))
