"""The network of DeCoAR 2.0 (Ling and Liu, 2020, arXiv:2012.06659): wav2vec 2.0's encoder over log-mel."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from ..features.frames import valid_mask


@dataclass(frozen=True)
class Decoar2Config:
    """Sizes, named as in wav2vec 2.0; the defaults are those of the published checkpoint."""

    feature_dim: int = 80
    encoder_embed_dim: int = 768
    encoder_layers: int = 12
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    conv_pos: int = 128  # frames that the positional convolution spans
    conv_pos_groups: int = 16
    dropout: float = 0.1


class PositionalConvolution(nn.Sequential):
    """A wide grouped convolution that tells frames where they are (wav2vec 2.0)."""

    def __init__(self, config: Decoar2Config) -> None:
        size, width = config.encoder_embed_dim, config.conv_pos
        conv = nn.Conv1d(size, size, width, padding=width // 2, groups=config.conv_pos_groups)
        super().__init__(weight_norm(conv, dim=2), nn.GELU())

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, frames, size] -> [batch, frames, size]."""
        hidden = super().forward(inputs.transpose(1, 2))
        return hidden[..., : inputs.size(1)].transpose(1, 2)  # an even width gives one frame too many


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: Decoar2Config) -> None:
        super().__init__()
        size = config.encoder_embed_dim
        self.heads, self.dropout = config.encoder_attention_heads, config.dropout
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(size, size) for _ in range(4))

    def forward(self, inputs: Tensor, visible: Tensor | None) -> Tensor:
        """[batch, frames, size] -> [batch, frames, size]; `visible`: see `Layer`."""
        query, key, value = (
            project(inputs)
            .unflatten(-1, (self.heads, -1))
            .transpose(1, 2)  # [batch, heads, frames, head size]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(-2))


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each added to its input and then normalised (post-LN)."""

    def __init__(self, config: Decoar2Config) -> None:
        super().__init__()
        size = config.encoder_embed_dim
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.fc1 = nn.Linear(size, config.encoder_ffn_embed_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_embed_dim, size)
        self.final_layer_norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, inputs: Tensor, visible: Tensor | None) -> Tensor:
        """[batch, frames, size] -> [batch, frames, size].

        Args:
            visible: [batch, 1, 1, frames], False for padding; None where there is none.
        """
        hidden = self.self_attn_layer_norm(inputs + self.dropout(self.self_attn(inputs, visible)))
        return self.final_layer_norm(hidden + self.dropout(self.fc2(F.gelu(self.fc1(hidden)))))


class Encoder(nn.Module):
    """Positional convolution, LayerNorm, layers."""

    def __init__(self, config: Decoar2Config) -> None:
        super().__init__()
        self.pos_conv = PositionalConvolution(config)
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.encoder_layers))

    def forward(self, inputs: Tensor, valid: Tensor | None) -> list[Tensor]:
        """[batch, frames, size] -> the input of every layer and the output of the last.

        Args:
            valid: [batch, frames, 1], False for padding; None where there is none.
        """
        visible = None
        if valid is not None:
            inputs = inputs.masked_fill(~valid, 0.0)
            visible = valid.transpose(1, 2)[:, None]
        hidden = self.dropout(self.layer_norm(inputs + self.pos_conv(inputs)))
        hidden_states = [hidden]
        for layer in self.layers:
            hidden_states.append(layer(hidden_states[-1], visible))
        return hidden_states


class Decoar2(nn.Module):
    """A projection of the acoustic features, then a transformer encoder."""

    def __init__(self, config: Decoar2Config) -> None:
        super().__init__()
        self.post_extract_proj = nn.Linear(config.feature_dim, config.encoder_embed_dim)
        self.encoder = Encoder(config)

    def forward(self, features: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """The input of every layer and the output of the last.

        Args:
            features: [batch, frames, feature_dim].
            frames: the valid frames of each utterance.

        Returns:
            `encoder_layers` + 1 tensors [batch, frames, encoder_embed_dim].
        """
        padded = min(frames) < features.size(1)
        valid = valid_mask(frames, features.size(1), features.device) if padded else None
        return self.encoder(self.post_extract_proj(features), valid)
