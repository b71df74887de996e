"""Small heads that tasks share: frame level, utterance level, and two ways of pooling over time.

Tasks written for the public S3PRL say `from ..model import *`; names, arguments and parameter names are
the ones they expect. Every head takes `([batch, frames, dim], lengths)` and returns `(output, lengths)`.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from s3prl.utility.typed import choice, typed


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


class AttentivePoolingModule(nn.Module):
    """Weights over time from a one-layer scorer; padding gets weight zero."""

    def __init__(self, input_dim: int, activation: str = "ReLU", **kwargs: object) -> None:
        super().__init__()
        self.W_a = nn.Linear(input_dim, input_dim)
        self.W = nn.Linear(input_dim, 1)
        self.act_fn = activation_named(activation)

    def forward(self, batch_rep: Tensor, valid: Tensor) -> Tensor:
        scores = self.W(self.act_fn(self.W_a(batch_rep))).squeeze(-1)  # [batch, frames]
        weights = scores.masked_fill(~valid, float("-inf")).softmax(dim=-1)
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
        **kwargs: object,
    ) -> None:
        super().__init__()
        self.pre_net = get_downstream_model(input_dim, input_dim, pre_net) if pre_net else None
        pool = POOLINGS[choice(pooling, POOLINGS, "pooling")]
        self.pooling = pool(input_dim=input_dim, activation=activation)
        self.post_net = get_downstream_model(input_dim, output_dim, post_net or {"select": "FrameLevel"})

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


POOLINGS: dict[str, type[nn.Module]] = {"MeanPooling": MeanPooling, "AttentivePooling": AttentivePooling}
HEADS: dict[str, type[nn.Module]] = {"FrameLevel": FrameLevel, "UtteranceLevel": UtteranceLevel}
