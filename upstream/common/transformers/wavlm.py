"""WavLM's attention by the fused kernel, which the transformers library does not use for it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .library import transformers

LARGEST_BIAS = 2**21  # numbers per thread: 8 MB of float32, computed at a time on a CPU


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
        gate = self._gate(heads)
        query, key, value = (
            projection(hidden_states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        attended = []
        for some in self._queries(gate):
            bias = gate[:, :, some] * position_bias[:, some]  # [batch, heads, some frames, frames]
            if attention_mask is not None:
                bias = bias.masked_fill_(~attention_mask, float("-inf"))
            bias = bias.to(query.dtype)
            attended.append(F.scaled_dot_product_attention(query[:, :, some], key, value, bias, dropout))
        return self.out_proj(torch.cat(attended, 2).transpose(1, 2).flatten(2)), None, position_bias

    @staticmethod
    def _queries(gate: Tensor) -> list[slice]:
        """Consecutive frames of [batch, heads, frames, 1] whose gated bias a CPU keeps in its caches."""
        frames = gate.size(2)
        most = LARGEST_BIAS * torch.get_num_threads() // gate.numel()
        step = max(most, 1) if gate.device.type == "cpu" else frames
        return [slice(start, start + step) for start in range(0, frames, step)]

    def compute_bias(self, query_length: int, key_length: int) -> Tensor:
        """Position bias [heads, queries, keys], in this order also in memory: every layer reads all of it."""
        distances = torch.arange(1 - query_length, key_length, device=self.rel_attn_embed.weight.device)
        values = self.rel_attn_embed(self._relative_positions_bucket(distances))  # of a key from a query
        return values.T.contiguous().unfold(1, key_length, 1).flip(1).contiguous()

    def _gate(self, heads: Tensor) -> Tensor:
        """How far each query listens to its position: [batch, heads, frames, dim of a head] -> [..., 1]."""
        update, reset = self.gru_rel_pos_linear(heads).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, -1)
        return update * (reset * self.gru_rel_pos_const - 1.0) + 2.0
