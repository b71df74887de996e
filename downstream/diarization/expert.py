"""The SD task of SUPERB (Yang et al., 2021): who speaks when, on mixtures of two voices of Libri2Mix."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError
from s3prl.utility.metric import Metric
from s3prl.utility.rttm import write_rttm
from s3prl.utility.typed import checked, typed

from ..common.corpora import kaldi
from ..common.heads import valid_frames
from ..common.items import Item
from ..common.metrics.der import overall, turns_of
from ..common.task import MODELRC, Records, Task, record_loss, warn
from . import predictions
from .chunks import Chunk, activity, chunked, whole
from .decisions import decide
from .model import Diarizer
from .objective import frame_errors, permutation_free_loss
from .pace import Pace
from .scoring import errors_of, references
from .settings import SPLITS, Settings


class DownstreamExpert(Task):
    """Diarization of recordings with a known number of speakers, judged by the accuracy over all frames."""

    name = "diarization"
    splits = SPLITS
    metric = Metric("acc")
    best_checkpoints = ("dev-best.ckpt", "best-states-dev.ckpt")

    def __init__(
        self, upstream_dim: int, upstream_rate: int, downstream_expert: dict, **options: Any
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings = typed(Settings, downstream_expert, "downstream_expert")
        super().__init__(self.settings.loaderrc, **options)
        data = self.settings.datarc
        self.frame_shift = self._frame_shift(upstream_rate)
        self.stride = self.frame_shift * data.subsampling  # samples between two labels
        self.pace = Pace.between(upstream_rate, self.stride)
        self.model = typed(Diarizer, self.settings.modelrc, MODELRC, upstream_dim, data.num_speakers)

    @classmethod
    def check(
        cls, downstream_expert: dict[str, Any], splits: Iterable[str], launch_dir: str | None = None
    ) -> None:
        """Find mistakes of the config and of the data folders, before any model is built.

        Raises:
            UserError: the first mistake found.
        """
        settings = typed(Settings, downstream_expert, "downstream_expert")
        checked(Diarizer, settings.modelrc, MODELRC, skip=2)
        if settings.scorerc.save_predictions and find_spec("h5py") is None:
            raise UserError(
                "Predictions are kept in HDF5, which needs a package: pip install h5py. Or do without them: "
                "-o config.downstream_expert.scorerc.save_predictions=False"
            )
        for split in splits:
            kaldi.recordings(settings.loaderrc.folder(split, launch_dir), settings.datarc.num_speakers)

    def _frame_shift(self, upstream_rate: int) -> int:
        """Samples between two frames with labels: those of the config, else those that the run began with."""
        configured = self.settings.datarc.frame_shift
        if configured is not None:
            if self.mode == "train":
                self.write_lines(predictions.FRAME_SHIFT, [str(configured)])
            return configured
        kept = self.settled(predictions.FRAME_SHIFT, lambda: f"{upstream_rate}\n".encode())
        return predictions.parse_frame_shift(kept, self.init_ckpt)

    def items(self, split: str) -> list[Item]:
        """Chunks of the recordings of a split; their labels are Chunks."""
        data, training = self.settings.datarc, split == self.train_split
        folder = self._folder(split)
        found = kaldi.items(folder, split, data.num_speakers, self.bad_audio == "skip")
        if silent := [item.name for item in found if not item.label]:
            warn(
                self.name,
                f"{folder}: nobody speaks in {len(silent)} of {len(found)} recordings, such as {silent[0]}",
            )
        chunks = [chunk for item in found for chunk in chunked(item, self.stride, data.chunk_size)]
        if not training:
            return chunks
        learned = [chunk for chunk in chunks if self._is_learned(chunk.label)]
        if chunks and not learned:
            seconds = data.chunk_size * self.stride / SAMPLE_RATE
            raise UserError(
                f"{folder}: no recording has the {data.chunk_size} labels ({seconds:g} s) of a whole chunk, "
                "and shorter ones are not trained on. Set downstream_expert.datarc.use_last_samples to true "
                "and label_delay to 0, or chunk_size lower."
            )
        return learned

    def _folder(self, split: str) -> Path:
        return self.settings.loaderrc.folder(split, self.launch_dir)

    def _is_learned(self, chunk: Chunk) -> bool:
        """Of a last chunk the config may want a certain length."""
        data = self.settings.datarc
        return chunk.labels >= data.chunk_size or (
            data.use_last_samples and chunk.labels > data.label_delay * data.subsampling
        )

    def target(self, item: Item) -> np.ndarray:
        """uint8 [labels, speakers]."""
        return activity(item.label, self.settings.datarc.num_speakers)

    def forward(
        self,
        split: str,
        features: list[Tensor],
        targets: list[np.ndarray],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """The permutation-free loss of a batch, a mean over its frames."""
        counts = [len(target) for target in targets]
        logits = self.model(self.pace.fit(features, counts)).float()
        truth = pad_sequence([torch.from_numpy(target) for target in targets], True).to(logits.device)
        valid = valid_frames(counts, logits.size(1), logits.device)
        losses, truth = permutation_free_loss(logits, truth, valid)
        records["errors"].append(frame_errors(logits, truth, valid))
        if not self.training:
            self._keep(split, logits, items, records)
        record_loss(records, losses / valid.sum(1))
        return losses.sum() / valid.sum()

    def _keep(self, split: str, logits: Tensor, items: list[Item], records: Records) -> None:
        """Record probabilities where they will be written: in training those of the development set alone."""
        if self.mode == "train" and split != self.metric.split:
            return
        kind = torch.float16 if self.mode == "train" else torch.float32
        rows = logits.sigmoid().to("cpu", kind)
        for row, item in zip(rows, items, strict=True):
            records["recording"].append(item.label.recording)
            records["first"].append(item.label.first)
            records["predicted"].append(row[: item.label.labels].clone())

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Over all frames of the split: `acc`, of decisions, and `der`, errors for each frame of speech.

        `-m evaluate` adds `rttm_der`: of turns at a threshold of 0.5, against the RTTM of the data folder.
        """
        right, decisions, *wrong, speech = (
            torch.stack([one.cpu() for one in records["errors"]]).sum(0).tolist()
        )
        found = {"acc": right / decisions, "der": sum(wrong) / max(speech, 1)}
        if self.mode == "evaluate":
            turns = {
                name: turns_of(decide(values), self.stride / SAMPLE_RATE, name)
                for name, values in whole(records).items()
            }
            known = references(self._folder(split), turns)
            found["rttm_der"] = overall(errors_of({name: known[name] for name in turns}, turns)).rate
        return found

    def log_records(
        self, split: str, records: Records, logger: Any, global_step: int, **kwargs: object
    ) -> list[str]:
        """Of Task; a new best score also writes the predictions by which a threshold is chosen."""
        names = super().log_records(split, records, logger, global_step, **kwargs)
        if self.settings.scorerc.save_predictions and (names or self.mode == "evaluate"):
            self._save(split, whole(records), global_step)
        return names

    def _save(self, split: str, predicted: dict[str, np.ndarray], step: int) -> None:
        data = self.settings.datarc
        folder = self.expdir / predictions.SCORING
        source = predictions.Source(
            self.frame_shift, data.subsampling, step, str(self._folder(split).absolute())
        )
        if split == self.metric.split:
            predictions.write_file(folder / predictions.DEV_FILE, predicted, source)
            return
        predictions.write_folder(folder / predictions.FOLDER, predicted, source)
        turns = [
            turn
            for name in sorted(predicted)
            for turn in turns_of(decide(predicted[name]), source.seconds, name)
        ]
        write_rttm(folder / f"{split}.rttm", turns)
        print(
            f"[{self.name}] Predictions are in {folder / predictions.FOLDER}, turns at a threshold of 0.5 in "
            f"{folder / f'{split}.rttm'}. To choose threshold and filter, and score:\n"
            f"  python -m s3prl.downstream.diarization.score {self.expdir} {source.data}"
        )
