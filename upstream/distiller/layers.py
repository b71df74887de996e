"""Parts of the network of DistilHuBERT, which are those of wav2vec 2.0 (Baevski et al., NeurIPS 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.frames import valid_mask
from ..wav2vec.conv_layers import ConvLayer, frames_after
from .config import DistillerConfig


class ConvFeatureExtractor(nn.Module):
    """Strided convolutions: [batch, samples] -> [batch, channels, frames]; the first has a group norm."""

    def __init__(self, convolutions: Sequence[ConvLayer], dropout: float) -> None:
        super().__init__()
        self.first = convolutions[:1]
        self.conv_layers = nn.ModuleList()
        inputs = 1
        for channels, kernel, stride in convolutions:
            norm = [] if self.conv_layers else [nn.GroupNorm(channels, channels)]
            convolution = nn.Conv1d(inputs, channels, kernel, stride, bias=False)
            nn.init.kaiming_normal_(convolution.weight)
            self.conv_layers.append(nn.Sequential(convolution, nn.Dropout(dropout), *norm, nn.GELU()))
            inputs = channels

    def forward(self, wavs: Tensor, samples: Sequence[int] | None = None) -> Tensor:
        """
        Args:
            wavs: [batch, samples].
            samples: of each utterance, so that each is normalised over its own frames; None normalises over
                the padded batch.
        """
        (convolution, dropout, norm, activation), *others = self.conv_layers
        hidden = dropout(convolution(wavs[:, None]))
        if samples is None:
            hidden = norm(hidden)
        else:
            frames = [frames_after(length, self.first) for length in samples]
            hidden = _normalised_alone(hidden, frames, norm)
        hidden = activation(hidden)
        for layer in others:
            hidden = layer(hidden)
        return hidden


def _normalised_alone(hidden: Tensor, frames: Sequence[int], norm: nn.GroupNorm) -> Tensor:
    """Group norm of [batch, channels, frames], one channel per group, over the valid frames only."""
    valid = valid_mask(frames, hidden.size(2), hidden.device).transpose(1, 2)
    counts = valid.sum(2, keepdim=True)
    mean = hidden.masked_fill(~valid, 0.0).sum(2, keepdim=True) / counts
    centred = (hidden - mean).masked_fill(~valid, 0.0)
    variance = centred.square().sum(2, keepdim=True) / counts
    return centred * (variance + norm.eps).rsqrt() * norm.weight[:, None] + norm.bias[:, None]


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

    def __init__(self, config: DistillerConfig) -> None:
        super().__init__()
        dim = config.encoder_embed_dim
        self.pos_conv = nn.Sequential(PositionalConv(dim, config.conv_pos, config.conv_pos_groups), nn.GELU())
        self.layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layerdrop = config.encoder_layerdrop
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Outputs of all layers; one that layer drop leaves out passes its input on.

        Args:
            hidden: [batch, frames, dim], zero where padded.
            mask: [batch, 1, 1, frames], True where a frame may be seen; None when all may.
        """
        hidden = self.dropout(self.layer_norm(hidden + self.pos_conv(hidden)))
        states = []
        for layer in self.layers:
            if not (self.training and torch.rand(()) < self.layerdrop):
                hidden = layer(hidden, mask)
            states.append(hidden)
        return states


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each normalised after its residual connection."""

    def __init__(self, config: DistillerConfig) -> None:
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


class PredictionHeads(nn.Sequential):
    """One head per layer of the teacher: [batch, frames, dim] -> [heads, batch, frames, final_dim]."""

    def __init__(self, config: DistillerConfig) -> None:
        heads, inter_dim = config.n_tasks, config.inter_dim
        super().__init__(
            nn.Linear(config.encoder_embed_dim, heads * inter_dim),
            nn.GELU(),
            SplitLinear(inter_dim, config.final_dim, heads),
        )


class SplitLinear(nn.Module):
    """A linear layer of its own for each of several equal parts of the input."""

    def __init__(self, input_dim: int, output_dim: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        bound = input_dim**-0.5
        self.weight = nn.Parameter(torch.empty(parts, input_dim, output_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(1, 1, parts, output_dim).uniform_(-bound, bound))

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, frames, parts * input_dim] -> [parts, batch, frames, output_dim]."""
        parts = hidden.unflatten(-1, (self.parts, -1))
        return (torch.einsum("btpi,pio->btpo", parts, self.weight) + self.bias).permute(2, 0, 1, 3)
