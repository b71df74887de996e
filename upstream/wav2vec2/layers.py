"""The further outputs that wav2vec 2.0 has in the public S3PRL: its layers, as fairseq lists them."""

from typing import Any

from torch import Tensor, nn

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

from ..common.transformers.adapter import TransformersUpstream

SELECTIONS = ("fairseq_layers", "fairseq_layers_before_residual")


class LayersUpstream(TransformersUpstream):
    """With `feature_selection` the result has one more list of [batch, frames, dim], a tensor per layer.

    `fairseq_layers` are the outputs of the layers (before the final norm of the encoder);
    `fairseq_layers_before_residual` is what the feed-forward part of each layer adds to its input.
    """

    def __init__(self, *args: Any, feature_selection: str | None = None, **options: Any) -> None:
        """
        Args:
            feature_selection: `fairseq_layers` or `fairseq_layers_before_residual`, as said above.
            args, options: see TransformersUpstream.

        Raises:
            UserError: no such selection.
        """
        if feature_selection not in (*SELECTIONS, "hidden_states", None):
            raise UserError(
                f"wav2vec2 has no features '{feature_selection}'.{nearest(feature_selection, SELECTIONS)} "
                f"feature_selection is hidden_states, {' or '.join(SELECTIONS)}."
            )
        super().__init__(*args, **options)
        self.selection = feature_selection if feature_selection in SELECTIONS else None

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> hidden states [batch, frames, dim], and the selected layers.

        Raises:
            UserError: an utterance too short for one frame (named by its place in the batch).
        """
        result = super().forward(wavs)
        if self.selection is None:
            return result
        count = len(self.model.encoder.layers)
        states, selected = result["hidden_states"][:-count], result["hidden_states"][-count:]
        return {"hidden_states": states, "last_hidden_state": states[-1], self.selection: selected}

    def layers(self, hidden: Tensor, *arguments: Any) -> list[Tensor]:
        """The hidden states and, behind them, the selected layers, which so are batched in the same way."""
        tapped: list[Tensor] = []
        handles = [
            module.register_forward_hook(lambda _module, _inputs, output: tapped.append(_state(output)))
            for module in self._selected_modules()
        ]
        try:
            return [*super().layers(hidden, *arguments), *tapped]
        finally:
            for handle in handles:
                handle.remove()

    def _selected_modules(self) -> list[nn.Module]:
        layers = list(self.model.encoder.layers)
        if self.selection == "fairseq_layers_before_residual":
            return [layer.feed_forward.output_dense for layer in layers]
        return layers if self.selection else []


def _state(output: Any) -> Tensor:
    """What a layer gives: earlier versions of the library wrap it in a tuple."""
    return output[0] if isinstance(output, tuple) else output
