"""The transformer of Mockingjay, TERA and Audio ALBERT, and its prediction head.

Liu et al., "Mockingjay: Unsupervised Speech Representation Learning with Deep Bidirectional Transformer
Encoders", ICASSP 2020; Liu et al., "TERA: Self-Supervised Learning of Transformer Encoder Representation for
Speech", TASLP 2021; Chi et al., "Audio ALBERT: A Lite BERT for Self-Supervised Learning of Audio
Representation", SLT 2021. The names of the parameters are those of the published checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError
from s3prl.utility.typed import DROPOUT, above, at_least, choice

from ...features.frames import valid_mask
from ..dropped_attention import attention

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "swish": F.silu}


@dataclass(frozen=True)
class TransformerConfig:
    """The block `transformer` of a configuration, with the defaults of the published models."""

    hidden_size: Annotated[int, at_least(1)] = 768
    num_hidden_layers: Annotated[int, at_least(1)] = 3
    num_attention_heads: Annotated[int, at_least(1)] = 12
    intermediate_size: Annotated[int, at_least(1)] = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: Annotated[float, DROPOUT] = 0.1
    attention_probs_dropout_prob: Annotated[float, DROPOUT] = 0.1
    initializer_range: Annotated[float, at_least(0)] = 0.02  # standard deviation of the initial weights
    layer_norm_eps: Annotated[float, above(0)] = 1e-12
    share_layer: bool = False  # one layer, used num_hidden_layers times
    pre_layer_norm: bool = False  # normalise before each sublayer instead of after it

    def __post_init__(self) -> None:
        """Refuse what no model can be built from.

        Raises:
            UserError: an activation that does not exist, or heads that do not divide the hidden size.
        """
        choice(self.hidden_act, ACTIVATIONS, "hidden_act")
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads "
                f"{self.num_attention_heads}."
            )


class TransformerModel(nn.Module):
    """Acoustic features [batch, frames, input_dim] -> layers + 1 states [batch, frames, hidden]."""

    def __init__(self, config: TransformerConfig, input_dim: int) -> None:
        super().__init__()
        self.config = config
        self.input_representations = InputRepresentations(config, input_dim)
        self.encoder = Encoder(config)
        initialise(self, config.initializer_range)

    def forward(self, features: Tensor, frames: Sequence[int] | None = None) -> list[Tensor]:
        """All states: the input representation, then the output of every layer.

        Args:
            features: [batch, frames, input_dim].
            frames: the valid frames of each utterance, at least 1; None when there is no padding. Valid
                frames do not see the padding; the states of padded frames have no meaning.
        """
        mask = None
        if frames is not None and min(frames) < features.size(1):
            mask = valid_mask(frames, features.size(1), features.device)[:, None, None, :, 0]
        return self.encoder(self.input_representations(features), mask)


class SpecPredictionHead(nn.Module):
    """Predicts the frames of a spectrogram: [batch, frames, hidden] -> [batch, frames, output_dim]."""

    def __init__(self, config: TransformerConfig, output_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.LayerNorm = _layer_norm(config)
        self.output = nn.Linear(config.hidden_size, output_dim)
        initialise(self, config.initializer_range)

    def forward(self, hidden: Tensor) -> Tensor:
        """The predicted frames, of the last hidden state."""
        return self.output(self.LayerNorm(self.activation(self.dense(hidden))))


def initialise(module: nn.Module, deviation: float) -> None:
    """Normal weights of this standard deviation and zero biases in all linear layers."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=deviation)
            nn.init.zeros_(part.bias)


def sinusoids(frames: int, dim: int) -> Tensor:
    """Position encodings [frames, dim]: a sine in even dimensions, a cosine in odd ones."""
    exponent = torch.arange(dim).div(2, rounding_mode="floor") * 2 / dim
    angle = torch.arange(frames, dtype=torch.float64)[:, None] / 10000 ** exponent.double()
    even = torch.arange(dim) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos()).float()


class InputRepresentations(nn.Module):
    """Projected features plus position encodings, normalised."""

    def __init__(self, config: TransformerConfig, input_dim: int) -> None:
        super().__init__()
        self.spec_transform = nn.Linear(input_dim, config.hidden_size)
        self.LayerNorm = _layer_norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.register_buffer("positions", sinusoids(0, config.hidden_size), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        frames = features.size(1)
        if frames > len(self.positions):
            self.positions = sinusoids(frames, self.positions.size(1)).to(self.positions)
        return self.dropout(self.LayerNorm(self.spec_transform(features) + self.positions[:frames]))


class Encoder(nn.Module):
    """A stack of layers, or one layer used several times."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        count = config.num_hidden_layers
        if config.share_layer:
            self.layer = nn.ModuleList([Layer(config)] * count)
        else:
            self.layer = nn.ModuleList(Layer(config) for _ in range(count))
        # with normalisation before the sublayers, nothing has normalised the states that are returned
        self.LayerNorm = (
            nn.ModuleList(_layer_norm(config) for _ in range(count + 1)) if config.pre_layer_norm else None
        )

    def forward(self, hidden: Tensor, mask: Tensor | None) -> list[Tensor]:
        states = [hidden]
        for layer in self.layer:
            states.append(layer(states[-1], mask))
        if self.LayerNorm is None:
            return states
        return [norm(state) for norm, state in zip(self.LayerNorm, states, strict=True)]


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Residual(config, config.intermediate_size)
        # in pre-norm files the one LayerNorm of a sublayer has two names
        self.LayerNorm = self.output.LayerNorm if config.pre_layer_norm else None

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention(hidden, mask)
        inner = hidden if self.LayerNorm is None else self.LayerNorm(hidden)
        return self.output(self.intermediate(inner), hidden)


class Attention(nn.Module):
    """The first sublayer of a layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Residual(config, config.hidden_size)
        self.LayerNorm = self.output.LayerNorm if config.pre_layer_norm else None

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        inner = hidden if self.LayerNorm is None else self.LayerNorm(hidden)
        return self.output(self.self(inner, mask), hidden)


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention, without its output projection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, frames, hidden], and a mask [batch, 1, 1, frames], True where a frame may be seen."""
        query, key, value = (
            project(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        seen = attention(query, key, value, mask, dropout)
        return seen.transpose(1, 2).flatten(-2)


class Intermediate(nn.Module):
    """The inner half of the feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        return self.activation(self.dense(hidden))


class Residual(nn.Module):
    """Projection, dropout and residual connection; then normalisation, unless that came before."""

    def __init__(self, config: TransformerConfig, input_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_dim, config.hidden_size)
        self.LayerNorm = _layer_norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pre_layer_norm = config.pre_layer_norm

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        total = residual + self.dropout(self.dense(hidden))
        return total if self.pre_layer_norm else self.LayerNorm(total)


def _layer_norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
