"""Features that lie in a folder, as an upstream: found by the names of recordings, which are not read.

    libri_fbank80/train-clean-100/103-1240-0000.npy     [frames, dim]
    libri_fbank80/train-clean-100.csv                   file_path, length (frames)
    libri_fbank80/settings.json                         how the features were made; optional

The commands of preprocess/ write such folders; those that the public S3PRL offers have no settings.json.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.arrays import read_features
from s3prl.utility.audio import AudioError
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.launcher import is_first
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording
from s3prl.utility.settings import SETTINGS, front_of, read_settings
from s3prl.utility.weights import listed

from ..features.pipeline import features_from_config
from ..interfaces import SAMPLE_RATE, UpstreamBase
from .feature_tables import Entry, FeatureTables

SHIFT = 160  # samples between two frames where nothing says otherwise: 10 ms, as Kaldi's
TOLERATED = 5, 0.02  # frames, and part of an utterance's frames, that may be missing or too many
INSTEAD = "Use an upstream that computes its features, such as -u fbank."


@dataclass
class Found:
    """An utterance on its way from a loading worker to the upstream; its length is that in samples."""

    values: np.ndarray  # [frames, dim]
    shift: int

    def __len__(self) -> int:
        return len(self.values) * self.shift


class ReadyFolder:
    """The folder: a Source. Small, so that it can be sent to loading workers.

    Attributes: `dim`; `shift`, samples between two frames; `cmvn`, whether utterances are known to be
    normalised.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: it is no folder of features.
        """
        self.folder = folder
        self.tables = FeatureTables(folder)
        settings = read_settings(folder)
        described = front_of(settings)
        front = None if described is None else features_from_config(described, str(folder / SETTINGS))
        self.shift = _shift(settings, folder) or (SHIFT if front is None else front.shift)
        self.cmvn = settings.get("apply_cmvn") == "utterance" if front is None else front.cmvn
        self.dim = self._first_dim()

    def look_up(self, recording: Recording) -> Found:
        """The features of a recording, as its file has them.

        Raises:
            UserError: a part of the recording is asked for.
            AudioError: the folder has no features of it, or none of this size.
        """
        self._check_whole(recording)
        entry = self.tables.find(recording.path)
        if entry is None:
            raise AudioError(
                f"{self.folder} has no features of {recording.path}: none of its tables "
                f"({self.tables.names}) has {recording.name}. {self._advice}"
            )
        values = self._read(entry)
        if values.shape[1] != self.dim:
            raise AudioError(
                f"{self.folder / entry.file} has {values.shape[1]} dimensions, others have {self.dim}. "
                f"Remove what is of other features. {self._advice}"
            )
        if not np.isfinite(values.sum(dtype=np.float64)):
            raise AudioError(f"{self.folder / entry.file} holds NaN or Inf. Remove it. {self._advice}")
        return Found(values, self.shift)

    def example(self, samples: int) -> Found:
        """Zeros, as many frames as so many samples have."""
        return Found(np.zeros((max(1, samples // self.shift), self.dim), dtype=np.float32), self.shift)

    def check(self, split: str, recordings: Mapping[Recording, int], skip: bool) -> None:
        """Find recordings without features, and features of another length than their recordings.

        Raises:
            UserError: there are recordings without features (with `skip`: no other ones), or the features
                have another shift than they should.
        """
        missing, known = [], []
        for recording, samples in recordings.items():
            self._check_whole(recording)
            entry = self.tables.find(recording.path)
            if entry is None:
                missing.append(recording.name)
            elif samples and entry.frames:
                known.append((entry, samples))
        if missing and (not skip or len(missing) == len(recordings)):
            raise UserError(
                f"{len(missing):,} of {len(recordings):,} utterances of the split '{split}' have no features "
                f"in {self.folder} (sets: {self.tables.names}): {listed(missing)}. {self._advice}"
                + (" Or go on without them: --bad_audio skip." if len(missing) < len(recordings) else "")
            )
        if known:
            self._check_shift(split, known)

    def _check_shift(self, split: str, known: Sequence[tuple[Entry, int]]) -> None:
        wrong = []
        for entry, samples in known:
            expected = samples / self.shift
            if abs(entry.frames - expected) > TOLERATED[0] + TOLERATED[1] * expected:
                wrong.append(f"{entry.file} ({entry.frames} frames, its recording {expected:.0f})")
        if 2 * len(wrong) > len(known):
            measured = sum(samples for _, samples in known) / sum(entry.frames for entry, _ in known)
            likely = 8 * round(measured / 8)  # half a millisecond is the finest that is in use
            raise UserError(
                f"{self.folder}: by the lengths of {len(known):,} recordings of the split '{split}' a frame "
                f"lasts {1000 * measured / SAMPLE_RATE:.2f} ms, not {1000 * self.shift / SAMPLE_RATE:g} ms. "
                f'If that is right, write "shift": {likely} (samples at 16 kHz) into '
                f"{self.folder / SETTINGS}; if not, the features are of other recordings."
            )
        if wrong and is_first():
            print(
                f"warning: {len(wrong)} of {len(known)} utterances of {split} have more or fewer frames in "
                f"{self.folder} than their recordings: {listed(wrong)}.",
                file=sys.stderr,
            )

    def _first_dim(self) -> int:
        """Of the first file that can be read; reading the others tells which cannot."""
        refused = None
        for entry in self.tables.entries():
            try:
                return self._read(entry).shape[1]
            except AudioError as error:
                refused = refused or error
        assert refused is not None  # tables without utterances are refused
        raise refused

    @property
    def _advice(self) -> str:
        return (
            "The command that made the folder does what is missing (preprocess/README.md); an unpacked "
            "archive may be incomplete."
        )

    def _check_whole(self, recording: Recording) -> None:
        part = (recording.start, recording.stop, recording.crop) != (None, None, None)
        if part or recording.trim or recording.gain:
            raise UserError(
                f"-u ready_features -k {self.folder}: the task hears parts or changed copies of recordings "
                f"(such as {recording.name}), and the folder has features of whole ones only. {INSTEAD}"
            )

    def _read(self, entry: Entry) -> np.ndarray:
        """[frames, dim] of floats, mapped into memory."""
        path = self.folder / entry.file
        try:
            values = read_features(path)
        except AudioError as error:
            raise AudioError(f"{error} {self._advice}") from error
        if not values.size:
            raise AudioError(f"{path} has no frame. Remove it. {self._advice}")
        return np.asarray(values)


class ReadyFeatures(UpstreamBase):
    """The features of a folder, of recordings that it knows; waves cannot be computed."""

    batch_invariant = True

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: the folder.
            model_config: no file belongs here.

        Raises:
            UserError: there is no folder of features.
        """
        super().__init__(**options)
        if ckpt is None:
            raise UserError(
                "ready_features needs a folder of features: -k data/libri_fbank80 on the command line, "
                f"ckpt=FOLDER in Python. `{command_line('preprocess_libri')} -h` says how to make one."
            )
        if model_config is not None:
            raise UserError(f"-g {model_config}: ready_features takes no file. Leave -g out.")
        self.name = "[ready features]"
        self.source = ReadyFolder(find_path(ckpt))
        self.utterance_cmvn = self.source.cmvn
        self.register_buffer("_place", torch.empty(0), persistent=False)  # is where features go

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.source.shift

    def __call__(self, found: Sequence[Found]) -> dict[str, Any]:
        """The features of a batch, in place of computing waves.

        Args:
            found: what `source.look_up` has returned.

        Returns:
            As every upstream, one [batch, frames, dim], zero after an utterance's end.

        Raises:
            UserError: waves.
        """
        if not all(isinstance(one, Found) for one in found):
            raise UserError(
                f"ready_features looks recordings up in {self.source.folder} by their names, but was given "
                f"waves. {INSTEAD}"
            )
        return self.forward(found)

    def forward(self, found: Sequence[Found]) -> dict[str, Any]:
        """See `__call__`."""
        frames = [len(one.values) for one in found]
        features: Tensor = torch.zeros(len(found), max(frames), self.source.dim)
        for row, one, count in zip(features.numpy(), found, frames, strict=True):
            row[:count] = one.values
        features = features.to(self._place.device)
        return {"hidden_states": [features], "last_hidden_state": features}


def _shift(settings: Mapping[str, Any], folder: Path) -> int | None:
    shift = settings.get("shift")
    if shift is not None and (type(shift) is not int or shift < 1):
        raise UserError(
            f"{folder / SETTINGS}: shift is {shift!r}, but is the number of samples (at 16 kHz) from a frame "
            f"to the next: {SHIFT} for 10 ms."
        )
    return shift
