"""Small heads that tasks share: frame level, utterance level, and two ways of pooling over time.

The heads on frames give every utterance the same output in any batch: they do not see what is behind its end.

Tasks written for the public S3PRL say `from ..model import *`; names, arguments and parameter names are
the ones they expect. Every head takes `([batch, frames, dim], lengths)` and returns `(output, lengths)`.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.typed import at_least, choice, typed, within

Size = Annotated[int, at_least(1)]
Probability = Annotated[float, within(0, 1)]

STATISTICS_EPSILON = 1e-8  # of a variance: the gradient of a standard deviation is infinite at 0


def valid_frames(lengths: Tensor | Sequence[int], frames: int, device: torch.device) -> Tensor:
    """Mask of the frames that are not padding: lengths [batch] -> bool [batch, frames]."""
    lengths = torch.as_tensor(lengths, device=device)
    return torch.arange(frames, device=device) < lengths[:, None]


def activation_named(name: str) -> nn.Module:
    """PyTorch's activation function of that name; raises a UserError where it has none."""
    known = sorted(set(nn.modules.activation.__all__) - {"MultiheadAttention", "Threshold"})
    return getattr(nn, choice(name, known, "activation"))()


class FrameLevel(nn.Module):
    """An optional MLP, then a linear layer, on every frame: [..., input_dim] -> [..., output_dim]."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hiddens: Sequence[int] | None = None,
        activation: str = "ReLU",
        **kwargs: object,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        dim = input_dim
        for hidden in hiddens or ():
            layers += [nn.Linear(dim, hidden), activation_named(activation)]
            dim = hidden
        self.hiddens = nn.Sequential(*layers)
        self.linear = nn.Linear(dim, output_dim)

    def forward(
        self, hidden_state: Tensor, features_len: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return self.linear(self.hiddens(hidden_state)), features_len


class FramelevelConcat(nn.Module):
    """A linear layer on a frame and its neighbours: [batch, frames, input_dim] -> [.., frames, output_dim].

    The first and the last frame of an utterance stand for the neighbours that it does not have. The weight is
    that of a layer on the concatenated frames, the earliest first: [output_dim, concat_n_frames * input_dim].
    """

    def __init__(self, input_dim: int, output_dim: int, concat_n_frames: Size = 9) -> None:
        """
        Args:
            concat_n_frames: an odd number above 1, the frame itself included.

        Raises:
            UserError: it is none.
        """
        super().__init__()
        if concat_n_frames < 3 or concat_n_frames % 2 == 0:
            raise UserError(f"concat_n_frames must be an odd number above 1, not {concat_n_frames}.")
        self.concat_n_frames = concat_n_frames
        self.linear = nn.Linear(concat_n_frames * input_dim, output_dim)

    def forward(
        self, hidden_state: Tensor, features_len: Tensor | Sequence[int]
    ) -> tuple[Tensor, Tensor | Sequence[int]]:
        reach, frames, dim = self.concat_n_frames // 2, hidden_state.size(1), hidden_state.size(2)
        lengths = torch.as_tensor(features_len, device=hidden_state.device)
        place = torch.arange(-reach, frames + reach, device=hidden_state.device)
        place = place.clamp(min=0).minimum(lengths[:, None] - 1)  # [batch, frames + 2 * reach]
        around = hidden_state.gather(1, place[..., None].expand(-1, -1, dim))
        # A convolution, since the concatenated frames would take concat_n_frames times the memory.
        weight = self.linear.weight.view(-1, self.concat_n_frames, dim).transpose(1, 2)
        return F.conv1d(around.transpose(1, 2), weight, self.linear.bias).transpose(1, 2), features_len


class Framelevel1Hidden(nn.Module):
    """A hidden layer with dropout and ReLU, then a linear layer, on every frame."""

    def __init__(
        self, input_dim: int, output_dim: int, hidden_size: Size = 768, dropout: Probability = 0.0
    ) -> None:
        super().__init__()
        self.in_linear = nn.Linear(input_dim, hidden_size)
        self.drop = nn.Dropout(dropout)
        self.out_linear = nn.Linear(hidden_size, output_dim)

    def forward(
        self, hidden_state: Tensor, features_len: Tensor | Sequence[int]
    ) -> tuple[Tensor, Tensor | Sequence[int]]:
        return self.out_linear(self.drop(self.in_linear(hidden_state)).relu()), features_len


class ConvBank(nn.Module):
    """A hidden layer, convolutions of several widths side by side, and a linear layer on what they give."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernels: Sequence[int] = (3, 5, 7),
        cnn_size: Size = 32,
        hidden_size: Size = 64,
        dropout: Probability = 0.5,
    ) -> None:
        """
        Args:
            kernels: frames that each convolution sees, odd numbers.
            cnn_size: outputs of each.
            dropout: behind the hidden layer and behind the convolutions, in training.

        Raises:
            UserError: `kernels` has an even number, or is empty.
        """
        super().__init__()
        if not kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise UserError(f"kernels must be a list of odd numbers, not {list(kernels)}.")
        self.in_linear = nn.Linear(input_dim, hidden_size)
        self.cnns = nn.ModuleList(
            nn.Conv1d(hidden_size, cnn_size, kernel, padding=kernel // 2) for kernel in kernels
        )
        self.drop = nn.Dropout(dropout)
        self.out_linear = nn.Linear(cnn_size * len(kernels), output_dim)

    def forward(
        self, hidden_state: Tensor, features_len: Tensor | Sequence[int]
    ) -> tuple[Tensor, Tensor | Sequence[int]]:
        hidden = self.drop(self.in_linear(hidden_state).relu())
        valid = valid_frames(features_len, hidden.size(1), hidden.device)
        hidden = hidden.masked_fill(~valid[..., None], 0).transpose(1, 2)
        found = torch.cat([cnn(hidden) for cnn in self.cnns], dim=1).transpose(1, 2)
        return self.out_linear(self.drop(found.relu())), features_len


class MeanPooling(nn.Module):
    """Average over the valid frames: ([batch, frames, dim], [batch]) -> ([batch, dim], ones [batch])."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__()

    def forward(
        self, feature_BxTxH: Tensor, features_len: Tensor | Sequence[int], **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        frames, device = feature_BxTxH.size(1), feature_BxTxH.device
        if not isinstance(features_len, Tensor) and min(features_len) == frames > 0:  # nothing is padding
            ones = torch.ones(len(features_len), dtype=torch.long, device=device)
            return (feature_BxTxH.squeeze(1) if frames == 1 else feature_BxTxH.sum(1) / frames), ones
        valid = valid_frames(features_len, frames, device)
        total = feature_BxTxH.masked_fill(~valid[..., None], 0).sum(1)
        count = valid.sum(1)
        return total / count.clamp(min=1)[:, None], torch.ones_like(count)


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over valid frames: [batch, frames, dim] -> ([batch, 2 * dim], ones).

    The deviation is that of a sample (divided by frames - 1), as in the public S3PRL; of one frame it is 0.
    """

    expands = 2

    def __init__(self, **kwargs: object) -> None:
        super().__init__()

    def forward(
        self, feature_BxTxH: Tensor, features_len: Tensor | Sequence[int], **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        valid = valid_frames(features_len, feature_BxTxH.size(1), feature_BxTxH.device)[..., None]
        count = valid.sum(1).clamp(min=1)  # [batch, 1]
        mean = feature_BxTxH.masked_fill(~valid, 0).sum(1) / count
        squares = (feature_BxTxH - mean[:, None]).masked_fill(~valid, 0).square().sum(1)
        deviation = (squares / (count - 1).clamp(min=1) + STATISTICS_EPSILON).sqrt()
        return torch.cat([mean, deviation], dim=-1), torch.ones_like(count[:, 0])


class AttentivePoolingModule(nn.Module):
    """Weights over time from a one-layer scorer; padding gets weight zero."""

    def __init__(self, input_dim: int, activation: str = "ReLU", **kwargs: object) -> None:
        super().__init__()
        self.W_a = nn.Linear(input_dim, input_dim)
        self.W = nn.Linear(input_dim, 1)
        self.act_fn = activation_named(activation)

    def weights(self, batch_rep: Tensor, valid: Tensor) -> Tensor:
        """Of each frame, [batch, frames]; their sum is 1."""
        scores = self.W(self.act_fn(self.W_a(batch_rep))).squeeze(-1)
        return scores.masked_fill(~valid, float("-inf")).softmax(dim=-1)

    def forward(self, batch_rep: Tensor, valid: Tensor) -> Tensor:
        weights = self.weights(batch_rep, valid)
        return (batch_rep.masked_fill(~valid[..., None], 0) * weights[..., None]).sum(1)


class AttentivePooling(nn.Module):
    """Self-attentive average over valid frames: ([batch, frames, dim], [batch]) -> ([batch, dim], ones)."""

    def __init__(self, input_dim: int, activation: str = "ReLU", **kwargs: object) -> None:
        super().__init__()
        self.sap_layer = AttentivePoolingModule(input_dim, activation)

    def forward(
        self, feature_BxTxH: Tensor, features_len: Tensor | Sequence[int], **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        valid = valid_frames(features_len, feature_BxTxH.size(1), feature_BxTxH.device)
        return self.sap_layer(feature_BxTxH, valid), valid.new_ones(len(valid), dtype=torch.long)


class UtteranceLevel(nn.Module):
    """Optional net on frames, pooling over valid frames, head: [batch, frames, D] -> [batch, output_dim]."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        pooling: str = "MeanPooling",
        activation: str = "ReLU",
        pre_net: dict | None = None,
        post_net: dict | None = None,
        after_cmvn: dict | None = None,
        **kwargs: object,
    ) -> None:
        """
        Args:
            after_cmvn: fields that replace those above where the upstream normalises every utterance; the
                task does so (see utterance.py).
        """
        super().__init__()
        self.pre_net = get_downstream_model(input_dim, input_dim, pre_net) if pre_net else None
        pool = POOLINGS[choice(pooling, POOLINGS, "pooling")]
        self.pooling = pool(input_dim=input_dim, activation=activation)
        pooled_dim = input_dim * getattr(pool, "expands", 1)
        self.post_net = get_downstream_model(pooled_dim, output_dim, post_net or {"select": "FrameLevel"})

    def forward(
        self, hidden_state: Tensor, features_len: Tensor | Sequence[int]
    ) -> tuple[Tensor, Tensor | None]:
        if self.pre_net is not None:
            hidden_state, features_len = self.pre_net(hidden_state, features_len)
        pooled, features_len = self.pooling(hidden_state, features_len)
        return self.post_net(pooled, features_len)


def reads_mean(head: nn.Module) -> bool:
    """Whether a head's output depends on its input only through the input's mean over the valid frames."""
    if type(head) is not UtteranceLevel or type(head.pooling) is not MeanPooling:
        return False
    return head.pre_net is None or (type(head.pre_net) is FrameLevel and not len(head.pre_net.hiddens))


def linear_layers(head: nn.Module) -> list[nn.Linear] | None:
    """The layers of a head that is nothing but a mean over time and linear layers; None for another one."""
    if not reads_mean(head) or type(head.post_net) is not FrameLevel or len(head.post_net.hiddens):
        return None
    return [*([head.pre_net.linear] if head.pre_net is not None else []), head.post_net.linear]


def folded(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one linear layer that linear layers in a row make.

    Computing it costs less than applying the layers one by one where there are fewer outputs than inputs in
    the batch, since only the first of them sees the batch.
    """
    *earlier, last = layers
    weight, bias = last.weight, last.bias
    for layer in reversed(earlier):
        bias = torch.addmv(bias, weight, layer.bias)
        weight = weight @ layer.weight
    return weight, bias


def get_downstream_model(input_dim: int, output_dim: int, config: dict) -> nn.Module:
    """Build the head that `config["select"]` names, with the arguments under `config[<that name>]`.

    Raises:
        UserError: no such head, or an argument that it does not take.
    """
    name = choice(config.get("select"), HEADS, "select")
    return typed(HEADS[name], config.get(name), name, input_dim, output_dim)


def check_head(config: dict) -> None:
    """Find mistakes in the config of a head, without building it at its size.

    Raises:
        UserError: see `get_downstream_model`.
    """
    with torch.device("meta"):
        get_downstream_model(1, 1, config)


POOLINGS: dict[str, type[nn.Module]] = {
    "MeanPooling": MeanPooling,
    "StatisticsPooling": StatisticsPooling,
    "AttentivePooling": AttentivePooling,
}
HEADS: dict[str, type[nn.Module]] = {
    "FrameLevel": FrameLevel,
    "FramelevelConcat": FramelevelConcat,
    "Framelevel1Hidden": Framelevel1Hidden,
    "ConvBank": ConvBank,
    "UtteranceLevel": UtteranceLevel,
}
