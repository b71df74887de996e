"""Mean and standard deviation over all frames of a corpus, of which only one utterance is in memory."""

import torch
from torch import Tensor

SMALLEST = 1e-9  # standard deviation, as in the public S3PRL


class Moments:
    """Mean and squared deviations of frames, in float64, combined as by Chan, Golub and LeVeque (1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, frames: Tensor) -> None:
        """Take frames [frames, dim] in; there may be none."""
        count = len(frames)
        if count == 0:
            return
        variance, mean = torch.var_mean(frames.double(), dim=0, correction=0)
        self.combine(count, mean.cpu(), count * variance.cpu())

    def combine(self, count: int, mean: Tensor | float, squares: Tensor | float) -> None:
        """Take frames in of which only these numbers are known."""
        if count == 0:
            return
        total, difference = self._count + count, mean - self._mean
        self._mean = self._mean + difference * (count / total)
        self._squares = self._squares + squares + difference**2 * (self._count * count / total)
        self._count = total

    def merge(self, other: "Moments") -> None:
        """Take in what others have taken in."""
        self.combine(other._count, other._mean, other._squares)

    def result(self, dim: int) -> Tensor:
        """[2, dim] float32: mean and standard deviation (of a sample, as `Tensor.std`), at least SMALLEST."""
        deviation = torch.as_tensor(self._squares / max(1, self._count - 1)).sqrt().clamp(min=SMALLEST)
        mean = torch.as_tensor(self._mean)
        return torch.stack([mean.expand(dim), deviation.expand(dim)]).float()
