"""Train a transformer to restore acoustic features that were altered; see task.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.upstream.common.mel_transformer.model import (
    SpecPredictionHead,
    TransformerConfig,
    TransformerModel,
)
from s3prl.utility.config import check_fields
from s3prl.utility.typed import typed

from ..data import training_loader
from ..expert import MODEL, PretrainExpert, Records
from ..front import check_heard
from ..ready import audio_of_folder
from .fronts import fronts_of_audio, fronts_of_folder
from .task import Task, alter, masked_loss

SECTIONS = ("transformer", "task", "audio")

Encoded = tuple[Tensor, Tensor, list[int]]  # input [batch, frames, dim], target, frames of each utterance


@dataclass(frozen=True)
class TransformerSection(TransformerConfig):
    """The block `transformer` of a model's configuration."""

    input_dim: int = -1  # of features made ready; -1 where the configuration of the features tells it


class MaskedModel(nn.Module):
    """The transformer and its prediction head, by the names of a checkpoint."""

    def __init__(self, config: TransformerConfig, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.Transformer = TransformerModel(config, input_dim)
        self.SpecHead = SpecPredictionHead(config, output_dim)


class MaskedExpert(PretrainExpert):
    """The pre-training of Mockingjay, TERA and Audio ALBERT; they differ in their configurations only."""

    def __init__(
        self,
        datarc: Mapping[str, Any],
        upstream_config: Mapping[str, Any] | str,
        device: str | torch.device = "cpu",
        multi_gpu: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            datarc: see PretrainExpert.
            upstream_config: the sections `transformer`, `task` and, for waves, `audio`; or their file.
            device: see PretrainExpert.
            multi_gpu: not used.

        Raises:
            UserError: a field that does not exist or cannot work.
        """
        super().__init__(datarc, upstream_config, device, multi_gpu)
        check_fields(self.upstream_config, SECTIONS, MODEL)
        section = typed(TransformerSection, self.upstream_config.get("transformer"), f"{MODEL}.transformer")
        self.task = typed(Task, self.upstream_config.get("task"), f"{MODEL}.task")
        if self.datarc.libri_root:
            self.fronts = fronts_of_audio(self.upstream_config.get("audio"), section.input_dim)
        else:
            self._describe_features()
            self.fronts = fronts_of_folder(self.upstream_config.get("audio"), section.input_dim)
        self.task.check_counts(self.fronts.dim, f"{MODEL}.task")
        self.model = MaskedModel(section, self.fronts.dim, self.fronts.target_dim)

    def _describe_features(self) -> None:
        """Have the checkpoint say how the features were made, or nothing rather than something else."""
        self.upstream_config.pop("audio", None)
        audio = audio_of_folder(self.datarc.file_path)
        if audio is not None:
            self.upstream_config["audio"] = audio

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Transformer and prediction head."""
        return {"Transformer": self.model.Transformer, "SpecHead": self.model.SpecHead}

    def get_train_dataloader(self) -> DataLoader:
        """Batches of utterances, of each at most `sequence_length` frames.

        Raises:
            UserError: those are too few for a frame, or no utterance is of use.
        """
        heard = max(self.task.sequence_length, 0)
        shortest = check_heard(self.fronts, heard, bool(self.datarc.libri_root))
        return training_loader(self.datarc, heard * self.fronts.shift, self.fronts.shift, shortest)

    def encode(self, batch: Sequence[Tensor]) -> Encoded:
        """Input and target of a batch of waves, or of features made ready."""
        return self.fronts(super().encode(batch))

    def forward(
        self, data: Encoded, records: Records, global_step: int = 0, log_step: int = 1, **kwargs: Any
    ) -> tuple[Tensor, Records]:
        """The loss of a batch that `encode` has prepared, on alterations drawn anew."""
        features, target, frames = data
        altered = alter(features, frames, self.task)
        hidden = self.model.Transformer(altered.features, frames)[-1]
        loss = masked_loss(self.model.SpecHead, hidden, target, altered, self.task.loss)
        if global_step % log_step == 0:
            self._picture(altered.features[0, : frames[0]], hidden[0, : frames[0]], target[0, : frames[0]])
        return loss, records

    @torch.no_grad()
    def _picture(self, altered: Tensor, hidden: Tensor, target: Tensor) -> None:
        self.pictures = {
            "mask_spec": altered.clone(),
            "pred_spec": self.model.SpecHead(hidden),
            "true_spec": target.clone(),
        }
