"""What APC, VQ-APC and NPC share: Kaldi features in, the same features predicted, the L1 distance between."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from s3prl.upstream.common.filterbank import audio_features
from s3prl.upstream.common.vq import codes_used
from s3prl.upstream.features.frames import valid_mask
from s3prl.utility.typed import at_least, typed

from .data import training_loader
from .expert import MODEL, PretrainExpert, Records
from .front import ReadyFeatures, check_heard
from .ready import as_data_audio, audio_of_folder

Batch = tuple[Tensor, list[int]]  # features [batch, frames, dim] and the frames of each utterance


@dataclass(frozen=True)
class PredictiveTask:
    """The section `task` of a model config."""

    n_future: Annotated[int, at_least(1)] = 5  # frames that APC predicts ahead; NPC predicts the current one
    sequence_length: Annotated[int, at_least(0)] = 1500  # frames to hear of an utterance at most; 0: all


@dataclass(frozen=True)
class _Audio:
    """The section `data`."""

    audio: dict


@dataclass(frozen=True)
class _Model:
    """The section `model`."""

    paras: dict


@dataclass(frozen=True)
class _Config:
    """A whole model config."""

    data: _Audio
    model: _Model
    task: PredictiveTask = PredictiveTask()


class PredictivePretrainExpert(PretrainExpert):
    """Trains a network whose `prediction` are acoustic features, by their mean absolute error.

    The mean is over valid frames only: one frame counts as much as another, whatever the batch it is in. (The
    2021 version averages APC's error over the padding too, so that it depends on lengths; NPC's it does not.)

    Records: `codes-used-<group>`, how many of the codes of each group are the best ones of some frame of a
    batch. 1 means that the code book has collapsed.
    """

    paras: type  # dataclass with the fields of `model.paras`

    def __init__(
        self,
        datarc: Mapping[str, Any],
        upstream_config: Mapping[str, Any] | str | Path,
        device: str | torch.device = "cpu",
        multi_gpu: bool = False,
        **kwargs: Any,
    ) -> None:
        """See PretrainExpert."""
        super().__init__(datarc, upstream_config, device, multi_gpu, **kwargs)
        config = typed(_Config, self.upstream_config, MODEL)
        if not self.datarc.libri_root:
            config = self._describe_features(config)
        self.task = config.task
        audio = audio_features(config.data.audio, f"{MODEL}.data.audio")
        self.features = (
            audio if self.datarc.libri_root else ReadyFeatures(audio.dim, audio.shift, "data.audio.feat_dim")
        )
        self.model = self.build(typed(self.paras, config.model.paras, f"{MODEL}.model.paras"), audio.dim)

    def _describe_features(self, config: _Config) -> _Config:
        """Have config and checkpoint say how features made ready were made, where their folder tells it."""
        audio = audio_of_folder(self.datarc.file_path)
        if audio is None:
            return config
        described = as_data_audio(audio, self.datarc.file_path)
        self.upstream_config["data"] = {"audio": described}
        return replace(config, data=_Audio(described))

    @property
    def least_frames(self) -> int:
        """Of an utterance that is of use; batch norms need two."""
        return 2

    @abstractmethod
    def build(self, paras: Any, dim: int) -> nn.Module:
        """The network for acoustic features of `dim`, with these sizes."""

    @abstractmethod
    def predict(self, features: Tensor, frames: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """The last hidden state, the prediction, its target, and their valid frames, of a batch.

        Args:
            features: [batch, frames, dim].
            frames: the valid frames of each utterance.
        """

    def get_train_dataloader(self) -> DataLoader:
        """The training set without utterances too short to predict anything in.

        Raises:
            UserError: all would be too short, or what is heard of each is.
        """
        shift, heard = self.features.shift, self.task.sequence_length
        shortest = check_heard(self.features, heard, bool(self.datarc.libri_root), self.least_frames)
        return training_loader(self.datarc, heard * shift, shift, shortest)

    def encode(self, batch: list[Tensor]) -> Batch:
        """Waves [samples], or ready features [frames, dim], of a batch -> features and frames."""
        return self.features(super().encode(batch))

    def forward(
        self, data: Batch, records: Records, global_step: int = 0, log_step: int = 1, **kwargs: Any
    ) -> tuple[Tensor, Records]:
        """The loss of a batch, and the records with what it adds.

        Args:
            data: the result of `encode`.
            global_step: updates done, this one included; codes are counted when it is a multiple of log_step.
        """
        hidden, prediction, target, frames = self.predict(*data)
        self.pictures = {
            "pred_spec": prediction[0, : frames[0]].detach().clone(),
            "true_spec": target[0, : frames[0]].detach().clone(),
        }
        if self.model.vq_layers is not None and global_step % log_step == 0:
            with torch.no_grad():
                valid = valid_mask(frames, hidden.size(1), hidden.device).squeeze(-1)
                for group, used in enumerate(codes_used(hidden[valid], self.model.vq_layers)):
                    records.setdefault(f"codes-used-{group}", []).append(used)
        return mean_error(prediction, target, frames), records

    def add_state_to_save(self, all_states: dict[str, Any]) -> dict[str, Any]:
        """Adds the model config by the name that the public S3PRL reads it by, too."""
        return super().add_state_to_save(all_states) | {"config": self.upstream_config}


def mean_error(prediction: Tensor, target: Tensor, frames: Sequence[int]) -> Tensor:
    """The mean absolute error over the valid frames of a batch, a scalar.

    Args:
        prediction, target: [batch, frames, dim].
        frames: the valid frames of each utterance, not all of them 0.
    """
    errors = F.l1_loss(prediction.float(), target.float(), reduction="none").mean(-1, keepdim=True)
    padding = ~valid_mask(frames, errors.size(1), errors.device)
    return errors.masked_fill(padding, 0.0).sum() / sum(frames)
