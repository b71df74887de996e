"""Random waves with random labels: a data set that needs no files, so the example runs anywhere."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

SAMPLE_RATE = 16000  # Hz


class RandomDataset(Dataset):
    """`size` waves of Gaussian noise, drawn anew at every access from torch's random state.

    The runner seeds that state for every utterance and epoch, so a run can be repeated exactly.
    """

    def __init__(self, size: int, seconds: tuple[float, float], classes: int) -> None:
        self.size = size
        self.min_samples, self.max_samples = (round(bound * SAMPLE_RATE) for bound in seconds)
        self.classes = classes

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A wave [samples] at 16 kHz and its label."""
        samples = int(torch.randint(self.min_samples, self.max_samples + 1, ()))
        return torch.randn(samples), int(torch.randint(self.classes, ()))

    @staticmethod
    def collate_fn(items: list[tuple[Tensor, int]]) -> tuple[list[Tensor], list[int]]:
        """What the runner expects of every batch: first the list of waves, then anything else."""
        wavs, labels = zip(*items, strict=True)
        return list(wavs), list(labels)
