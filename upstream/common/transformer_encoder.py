"""The transformer encoder of wav2vec 2.0 (Baevski et al., NeurIPS 2020), that of DistilHuBERT and DeCoAR 2.0.

The names of the parameters are those of fairseq.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.typed import at_least, within

Count = Annotated[int, at_least(1)]
Probability = Annotated[float, within(0, 1)]


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and dropout, by fairseq's names, with the values of the base model."""

    encoder_layers: Count = 12
    encoder_embed_dim: Count = 768
    encoder_ffn_embed_dim: Count = 3072
    encoder_attention_heads: Count = 12
    encoder_layerdrop: Probability = 0.0
    conv_pos: Count = 128  # kernel of the positional convolution, in frames
    conv_pos_groups: Count = 16
    dropout: Probability = 0.1
    attention_dropout: Probability = 0.1
    activation_dropout: Probability = 0.1


class PositionalConv(nn.Module):
    """Grouped convolution over time whose weight has a learned norm at each place of the kernel."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups, self.kernel = groups, kernel
        self.bias = nn.Parameter(torch.zeros(dim))
        direction = torch.randn(dim, dim // groups, kernel) * (4 / (kernel * dim)) ** 0.5
        self.weight_v = nn.Parameter(direction)
        self.weight_g = nn.Parameter(direction.norm(dim=(0, 1), keepdim=True))

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, frames, dim] -> [batch, frames, dim]."""
        frames = hidden.size(1)
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        hidden = F.conv1d(
            hidden.transpose(1, 2), weight, self.bias, padding=self.kernel // 2, groups=self.groups
        )
        return hidden[..., :frames].transpose(1, 2)  # an even kernel gives one frame too many


class Encoder(nn.Module):
    """Positional convolution and transformer layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.encoder_embed_dim
        self.pos_conv = nn.Sequential(PositionalConv(dim, config.conv_pos, config.conv_pos_groups), nn.GELU())
        self.layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layerdrop = config.encoder_layerdrop
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The input of the first layer, then the output of every layer; one that layer drop leaves out passes
        its input on.

        Args:
            hidden: [batch, frames, dim], zero where padded.
            mask: [batch, 1, 1, frames], True where a frame may be seen; None when all may.
        """
        hidden = self.dropout(self.layer_norm(hidden + self.pos_conv(hidden)))
        states = [hidden]
        for layer in self.layers:
            if not (self.training and torch.rand(()) < self.layerdrop):
                hidden = layer(hidden, mask)
            states.append(hidden)
        return states


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each normalised after its residual connection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim, inner_dim = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.self_attn = SelfAttention(dim, config.encoder_attention_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, inner_dim)
        self.fc2 = nn.Linear(inner_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.self_attn_layer_norm(hidden + self.dropout(self.self_attn(hidden, mask)))
        inner = self.activation_dropout(F.gelu(self.fc1(hidden)))
        return self.final_layer_norm(hidden + self.dropout(self.fc2(inner)))


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(seen.transpose(1, 2).flatten(-2))
