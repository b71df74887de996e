"""The frozen upstream whose layers are predicted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from s3prl.upstream.build import build_upstream
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import Featurizer, traits_of
from s3prl.utility.errors import UserError

from ..common.expert import MODEL
from ..common.front import shortest_for
from .config import TeacherConfig


class Teacher:
    """An upstream in evaluation mode.

    No nn.Module: it is neither trained nor saved with the student, and stays in evaluation mode when the
    student is put in training mode.

    Attributes: `name`, `upstream`, `stride` (samples per frame), `shortest` (samples that give a frame).
    """

    def __init__(self, config: TeacherConfig, layers: Sequence[int], dim: int, device: torch.device) -> None:
        """
        Args:
            layers: numbers of the hidden states that are to be predicted.
            dim: of a prediction.

        Raises:
            UserError: there is no such upstream, or it has no such layers.
        """
        self.name, self.layers = config.model, list(layers)
        try:
            upstream = build_upstream(config.model, config.ckpt, config.model_config)
        except UserError as error:
            meaning = "its fields model, ckpt and model_config are -u, -k and -g of other commands"
            raise UserError(f"{MODEL}.teacher ({meaning}): {error}") from error
        self.upstream = upstream.to(device).eval().requires_grad_(False)
        self._encoder = Encoder(self.upstream, device)
        try:
            self._featurizer = Featurizer(self.upstream)
        except UserError as error:
            raise UserError(f"{MODEL}.teacher.model: {self.name} cannot be a teacher. {error}") from error
        self.stride = self._featurizer.downsample_rate
        # where it says nothing of its frames, what is long enough for the student is for it
        self.shortest = 1 if traits_of(upstream).num_frames is None else shortest_for(self.upstream)
        self._check(config, dim)

    def _check(self, config: TeacherConfig, dim: int) -> None:
        last = self._featurizer.layer_count - 1  # number 0 is the input of the first layer
        if config.n_layers not in (None, last):
            raise UserError(
                f"{MODEL}.teacher.n_layers is {config.n_layers}, but {self.name} has {last} layers. "
                "Correct it, or leave it out."
            )
        if max(self.layers) > last:
            raise UserError(
                f"{MODEL}.distiller.pred_layer_id: {max(self.layers)} is no layer of {self.name}, "
                f"whose hidden states are numbered 0 (before the first layer) to {last}."
            )
        if self._featurizer.output_dim != dim:
            raise UserError(
                f"{MODEL}.distiller.final_dim is {dim}, but the layers of {self.name}, which are to be "
                f"predicted, have {self._featurizer.output_dim} dimensions."
            )

    def waves(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """The unpadded [samples] waves of a batch on the device."""
        return self._encoder.tensors(batch)

    @torch.no_grad()
    def __call__(self, wavs: list[Tensor]) -> tuple[Tensor, list[int]]:
        """The layers to predict, [layers, batch, frames, dim], and the valid frames of each utterance."""
        outputs = self._featurizer.layers([len(wav) for wav in wavs], self.upstream(wavs))
        return torch.stack([outputs.stacked[number] for number in self.layers]), outputs.frames
