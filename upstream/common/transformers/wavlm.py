"""WavLM's attention by the fused kernel, which the transformers library does not use for it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .library import transformers


def fuse_attention(model: transformers.PreTrainedModel) -> None:
    """Let every attention of a WavLM model use the fused kernel; its weights stay where they are."""
    for layer in model.encoder.layers:
        layer.attention.__class__ = FusedAttention


class FusedAttention(transformers.models.wavlm.modeling_wavlm.WavLMAttention):
    """Attention with a gated relative position bias (WavLM, Chen et al., JSTSP 2022)."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None, Tensor]:
        """
        Args:
            hidden_states: [batch, frames, dim].
            attention_mask: [batch, 1, 1, frames], True outside padding.
            position_bias: [heads, frames, frames], as the first layer returned it; that one gets None.

        Returns:
            Output [batch, frames, dim], no attention weights, `position_bias`.
        """
        if position_bias is None:
            position_bias = self.compute_bias(hidden_states.size(1), hidden_states.size(1))
        heads = hidden_states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        bias = self._gate(heads) * position_bias  # [batch, heads, frames, frames]
        if attention_mask is not None:
            bias = bias.masked_fill_(~attention_mask, float("-inf"))
        query, key, value = (
            projection(hidden_states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype), dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None, position_bias

    def compute_bias(self, query_length: int, key_length: int) -> Tensor:
        """Position bias [heads, queries, keys], in this order also in memory: every layer reads all of it."""
        distances = torch.arange(1 - query_length, key_length, device=self.rel_attn_embed.weight.device)
        values = self.rel_attn_embed(self._relative_positions_bucket(distances))  # of a key from a query
        return values.T.contiguous().unfold(1, key_length, 1).flip(1).contiguous()

    def _gate(self, heads: Tensor) -> Tensor:
        """How far each query listens to its position: [batch, heads, frames, dim of a head] -> [..., 1]."""
        update, reset = self.gru_rel_pos_linear(heads).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, -1)
        return update * (reset * self.gru_rel_pos_const - 1.0) + 2.0
