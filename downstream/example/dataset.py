"""Beeps in noise, labelled by their pitch: a data set that needs no files, so the example runs anywhere."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from s3prl.utility.typed import above, at_least

from ..common.dataset import LoaderSettings
from ..common.task import split_of

SAMPLE_RATE = 16000  # Hz
Seconds = Annotated[float, above(0)]


@dataclass(kw_only=True)
class DataSettings(LoaderSettings):
    """The fields of `datarc` in config.yaml; those of LoaderSettings say how batches are made."""

    utterances: dict[str, Annotated[int, at_least(1)]]  # of every split
    seconds: tuple[Seconds, Seconds]
    classes: Annotated[int, at_least(1)]


class ExampleDataset(Dataset):
    """Utterances of a split: the same at every visit, and none that another split has too."""

    def __init__(self, split: str, settings: DataSettings) -> None:
        """
        Raises:
            UserError: the config has no such split.
        """
        self.split, self.settings = split, settings
        self.size = split_of(settings.utterances, split, "downstream_expert.datarc.utterances")

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A wave [samples] at 16 kHz and its label."""
        rng = np.random.default_rng([*self.split.encode(), index])
        label = index % self.settings.classes
        time = np.arange(round(SAMPLE_RATE * rng.uniform(*self.settings.seconds))) / SAMPLE_RATE
        pitch = 100 * 20 ** ((label + rng.uniform(-0.2, 0.2)) / self.settings.classes)  # Hz
        tone = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in (1, 2, 3))
        beeps = np.sin(2 * np.pi * (rng.uniform(2, 5) * time + rng.uniform())).clip(min=0)
        wave = rng.uniform(0.05, 0.3) * beeps * tone + rng.normal(0, 0.01, len(time))
        return torch.from_numpy(wave).float(), label


def collate(items: list[tuple[Tensor, int]]) -> tuple[list[Tensor], list[int]]:
    """What the runner expects of every batch: first the list of waves, then anything else."""
    wavs, labels = zip(*items, strict=True)
    return list(wavs), list(labels)
