"""Distil an upstream: the student predicts layers of the teacher, frame by frame."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from s3prl.upstream.distiller.model import DistillerModel
from s3prl.upstream.features.frames import valid_mask
from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed

from ..common.data import training_loader
from ..common.expert import DATARC, MODEL, PretrainExpert, Records
from ..common.front import shortest_for
from .config import ModelConfig
from .initial import initialise
from .losses import dissimilarity, mean_over, reconstruction
from .teacher import Teacher

Pairs = dict[int, tuple[Tensor, Tensor]]  # layer of the teacher -> prediction and target [batch, frames, dim]


class Lesson(NamedTuple):
    """A batch with what the teacher makes of it."""

    wavs: Tensor  # [batch, samples], zero after an utterance's end
    frames: list[int]  # of the student, for each utterance
    targets: Tensor  # [heads, batch, frames, dim], the layers of the teacher
    valid: Tensor  # [batch, frames], True where both student and teacher have a frame of the utterance


class UpstreamPretrainExpert(PretrainExpert):
    """A DistilHuBERT whose teacher is any upstream with the same stride."""

    def __init__(
        self,
        datarc: Mapping[str, Any],
        upstream_config: Mapping[str, Any] | str | Path,
        device: str | torch.device = "cpu",
        multi_gpu: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            datarc, upstream_config, device, multi_gpu: see PretrainExpert.

        Raises:
            UserError: a wrong field, no audio, or a teacher that does not fit.
        """
        super().__init__(datarc, upstream_config, device, multi_gpu, **kwargs)
        self.config = typed(ModelConfig, self.upstream_config, MODEL)
        if not self.datarc.libri_root:
            raise UserError(
                f"{DATARC}.libri_root is missing: the teacher hears audio, not ready features. "
                "Name the folder of the recordings."
            )
        student = self.config.distiller
        self.model = DistillerModel(student)
        self.teacher = Teacher(self.config.teacher, student.pred_layer_id, student.final_dim, self.device)
        self._check_stride()
        initialise(self.model, self.teacher, student)
        if student.feature_grad_mult == 0:
            self.model.feature_extractor.requires_grad_(False)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The student; the teacher is no part of a checkpoint."""
        return {"Distiller": self.model}

    def _check_stride(self) -> None:
        stride = math.prod(stride for _, _, stride in self.model.convolutions)
        if stride != self.teacher.stride:
            raise UserError(
                f"{MODEL}.distiller.extractor_conv_feature_layers: the student makes a frame of "
                f"{stride} samples, the teacher {self.teacher.name} one of {self.teacher.stride}. "
                "They must be equal."
            )

    def get_train_dataloader(self) -> DataLoader:
        """Batches of unpadded waves [samples] of similar length."""
        shortest, crop = (
            max(shortest_for(self.model), self.teacher.shortest),
            self.config.task.sequence_length,
        )
        if 0 < crop < shortest:
            raise UserError(
                f"{MODEL}.task.sequence_length is {crop} samples, but a frame needs {shortest}. "
                "The original's is 250000; 0 hears whole utterances."
            )
        return training_loader(self.datarc, crop, shortest=shortest)

    def encode(self, batch: Sequence[Tensor]) -> Lesson:
        """Waves on the device, and the layers of the teacher that are to be predicted."""
        wavs = self.teacher.waves(batch)
        frames = [self.model.num_frames(len(wav)) for wav in wavs]
        targets, frames_there = self.teacher(wavs)
        shared = min(max(frames), targets.size(2))  # the two may differ by the frame at the end
        valid = valid_mask(list(map(min, frames, frames_there)), shared, targets.device)[..., 0]
        return Lesson(pad_sequence(wavs, batch_first=True), frames, targets[:, :, :shared], valid)

    def forward(
        self,
        data: Lesson,
        records: Records,
        global_step: int = 0,
        log_step: int = 1000,
        **kwargs: Any,
    ) -> tuple[Tensor, Records]:
        """The loss of a batch, a scalar, and records of its terms; means over valid frames and heads."""
        student, shared = self.config.distiller, data.targets.size(2)
        convolved = self.model.convolved(data.wavs)
        distilled = self.model.encoded(convolved, data.frames)
        pairs = {
            number: (prediction[:, :shared].float(), target.float())
            for number, prediction, target in zip(
                student.pred_layer_id, distilled.predictions, data.targets, strict=True
            )
        }
        rec_loss, sim_loss = self._compare(pairs, data.valid, records)
        feat_pen, norm = (
            mean_over(features[:, :shared].float().square().mean(-1), data.valid)
            for features in (convolved, distilled.features)
        )
        loss = rec_loss + student.cosine_loss * sim_loss + student.feat_pen_loss * feat_pen
        terms = {"rec_loss": rec_loss, "sim_loss": sim_loss, "feat_pen": feat_pen, "norm_feat_final": norm}
        for name, value in terms.items():
            records[name].append(value.detach())
        if global_step % log_step == 0:
            length = min(data.frames[0], shared)
            for number, (prediction, target) in pairs.items():
                self.pictures[f"pred_l{number}"] = prediction[0, :length].detach().clone()
                self.pictures[f"true_l{number}"] = target[0, :length].clone()
        return loss, records

    def _compare(self, pairs: Pairs, valid: Tensor, records: Records) -> tuple[Tensor, Tensor]:
        """The two distances between predictions and targets, each a mean over layers; records per layer."""
        distances = []
        for number, (prediction, target) in pairs.items():
            rec = mean_over(reconstruction(prediction, target, self.config.distiller.loss_type), valid)
            sim = mean_over(dissimilarity(prediction, target), valid)
            records[f"rec_l{number}"].append(rec.detach())
            records[f"sim_l{number}"].append(sim.detach())
            records[f"tar_norm_l{number}"].append(mean_over(target.abs().mean(-1), valid))
            distances.append(torch.stack((rec, sim)))
        rec_loss, sim_loss = torch.stack(distances).mean(0)
        return rec_loss, sim_loss

    def add_state_to_save(self, all_states: dict[str, Any]) -> dict[str, Any]:
        """Let `Config` describe the network beside the run: readers of the original look for it there.

        They have other defaults, so all fields of the student are written out.
        """
        all_states = super().add_state_to_save(all_states)
        described = {**self.upstream_config, "distiller": dataclasses.asdict(self.config.distiller)}
        all_states["Config"] = {**described, **(all_states.get("Config") or {})}
        return all_states
