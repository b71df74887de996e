"""Networks that predict the next frames from the recurrent network's output, one for each step ahead.

The networks of all steps are computed together: their weights are stacked along the dimension `step`.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 8  # of the transformer
FEEDFORWARD = 2048  # its inner size
DROPOUT = 0.1  # inside it


class StackedLinear(nn.Module):
    """One linear layer per step, as one product; each is initialised like nn.Linear."""

    def __init__(self, steps: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(steps, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(steps, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, inputs: Tensor) -> Tensor:
        """[positions, inputs], of all steps, or [step, positions, inputs] -> [step, positions, outputs]."""
        if inputs.dim() == 2:
            steps, outputs, _ = self.weight.shape
            bias = None if self.bias is None else self.bias.flatten()
            product = F.linear(inputs, self.weight.flatten(0, 1), bias)
            return product.unflatten(1, (steps, outputs)).transpose(0, 1)
        weight = self.weight.transpose(1, 2)
        if self.bias is None:
            return torch.bmm(inputs, weight)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, weight)  # a sum would be float32 in autocast


class StackedNorm(nn.Module):
    """One layer norm per step."""

    def __init__(self, steps: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(steps, 1, dim))
        self.bias = nn.Parameter(torch.zeros(steps, 1, dim))

    def forward(self, inputs: Tensor) -> Tensor:
        """[step, positions, dim] -> the same."""
        return F.layer_norm(inputs, inputs.shape[-1:]) * self.weight + self.bias


class LinearPredictor(nn.Module):
    """A matrix per step. Where the encoder is larger than the context, it starts as an identity in front."""

    def __init__(self, steps: int, context: int, encoded: int) -> None:
        super().__init__()
        self.project = StackedLinear(steps, context, encoded, bias=False)
        if encoded > context:
            with torch.no_grad():
                self.project.weight[:, :context] = torch.eye(context)

    def forward(self, context: Tensor) -> Tensor:
        """[batch, frames, context] -> [step, batch, frames, encoded]."""
        return self.project(context.flatten(0, 1)).unflatten(1, context.shape[:2])


class FeedForwardPredictor(nn.Module):
    """Two layers with ReLU between, per step."""

    def __init__(self, steps: int, context: int, encoded: int) -> None:
        super().__init__()
        self.inner = StackedLinear(steps, context, encoded)
        self.outer = StackedLinear(steps, encoded, encoded)

    def forward(self, context: Tensor) -> Tensor:
        """[batch, frames, context] -> [step, batch, frames, encoded]."""
        hidden = F.relu(self.inner(context.flatten(0, 1)))
        return self.outer(hidden).unflatten(1, context.shape[:2])


class TransformerPredictor(nn.Module):
    """A transformer layer per step: causal attention with relative positions, norms behind the residuals."""

    def __init__(self, steps: int, dim: int, longest: int) -> None:
        """
        Args:
            dim: of context and encoded frames alike, a multiple of 8 (heads).
            longest: frames that a cut has at most.
        """
        super().__init__()
        self.steps, self.size = steps, dim // HEADS
        self.attend = StackedLinear(steps, dim, 3 * dim)  # query, key, value
        self.lags = nn.Parameter(torch.empty(steps, self.size, longest))  # the last is 0, the one before 1, …
        bound = 1 / math.sqrt(self.size)
        nn.init.uniform_(self.lags, -bound, bound)
        self.merge = StackedLinear(steps, dim, dim)
        self.inner = StackedLinear(steps, dim, FEEDFORWARD)
        self.outer = StackedLinear(steps, FEEDFORWARD, dim)
        self.after_attention = StackedNorm(steps, dim)
        self.after_feedforward = StackedNorm(steps, dim)

    def forward(self, context: Tensor) -> Tensor:
        """[batch, frames, dim] -> [step, batch, frames, dim]."""
        attended = self.merge(self._attention(context).flatten(1, 2))
        hidden = self.after_attention(context.flatten(0, 1) + self._dropped(attended))
        inner = self._dropped(F.relu(self.inner(hidden)))
        return self.after_feedforward(hidden + self.outer(inner)).unflatten(1, context.shape[:2])

    def _attention(self, context: Tensor) -> Tensor:
        """[batch, frames, dim] -> [step, batch, frames, dim], before the heads are merged."""
        batch, frames, _ = context.shape
        parts = self.attend(context.flatten(0, 1)).view(self.steps, batch, frames, 3, HEADS, self.size)
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5)  # each [step, batch, head, frame, size]
        by_lag = torch.matmul(query, self.lags[:, None, None, :, -frames:])
        scores = (torch.matmul(query, key.transpose(3, 4)) + _by_frame(by_lag)) / math.sqrt(self.size)
        future = torch.ones(frames, frames, dtype=torch.bool, device=context.device).triu(1)
        chances = self._dropped(scores.masked_fill(future, -math.inf).softmax(-1))
        return torch.matmul(chances.to(value.dtype), value).transpose(2, 3).flatten(3)

    def _dropped(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, DROPOUT, self.training)


def _by_frame(by_lag: Tensor) -> Tensor:
    """Scores [..., query, n - 1 - lag] as [..., query, key], where lag = query - key; the future is anything.

    A column in front makes rows one longer than they are read again, which moves each by one more.
    """
    frames = by_lag.size(-1)
    padded = F.pad(by_lag, (1, 0))
    return padded.flatten(-2)[..., frames:].unflatten(-1, (frames, frames))
