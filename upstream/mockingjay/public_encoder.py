"""The encoder of transformer layers as tasks of the public S3PRL call it, over our own layers."""

from collections.abc import Sequence
from dataclasses import fields

from torch import Tensor

from s3prl.utility.errors import UserError

from ..common.mel_transformer.model import Encoder, TransformerConfig


class TransformerEncoder(Encoder):
    """Hidden states [batch, frames, hidden] -> the states of the layers; parameter names are the public ones.

    Tasks use it as one of their modules, with `config=Namespace(**hparams)`. Attention weights are not
    computed as such here, so they can neither be returned nor masked head by head.
    """

    def __init__(
        self, config: object, output_attentions: bool = False, keep_multihead_output: bool = False
    ) -> None:
        """
        Args:
            config: any object with the fields of TransformerConfig; those that it lacks keep their defaults.
            output_attentions: only False.
            keep_multihead_output: only False.

        Raises:
            UserError: something asked for that is not offered, or sizes that do not fit.
        """
        if output_attentions or keep_multihead_output:
            raise UserError(
                "This TransformerEncoder returns no attention weights: leave output_attentions and "
                "keep_multihead_output at False."
            )
        names = [field.name for field in fields(TransformerConfig) if hasattr(config, field.name)]
        super().__init__(TransformerConfig(**{name: getattr(config, name) for name in names}))

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        output_all_encoded_layers: bool = True,
        head_mask: Sequence[None] | None = None,
    ) -> list[Tensor]:
        """The input and the output of every layer, or the last output alone, in a list.

        Args:
            hidden_states: [batch, frames, hidden].
            attention_mask: added to the attention scores, so it broadcasts to [batch, heads, frames, frames]:
                0 where a frame may be seen, a large negative number where not.
            output_all_encoded_layers: whether to return all states.
            head_mask: only None, or a list of None.

        Raises:
            UserError: a head mask.
        """
        if head_mask is not None and any(mask is not None for mask in head_mask):
            raise UserError("This TransformerEncoder masks no heads: pass head_mask=None.")
        states = super().forward(hidden_states, attention_mask)
        return states if output_all_encoded_layers else states[-1:]
