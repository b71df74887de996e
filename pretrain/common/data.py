"""What is trained on: recordings, or features made ready, in batches of similar length.

The section `pretrain_expert.datarc` of a config names either

    libri_root: /corpora/LibriSpeech      recordings below this folder
    sets: [train-clean-100]               its folders; without `sets` all of it
    file_path: data/len_for_bucket        tables of lengths, <set>.csv, made here where there is none

or, without `libri_root`, features of preprocess/preprocess_any.py and its neighbours:

    file_path: data/libri_fbank80         <set>.csv and the .npy files that it lists
    sets: [train-clean-100]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from s3prl.training.plan import BucketBatchSampler
from s3prl.training.sampling import worker_limit
from s3prl.utility.arrays import read_features
from s3prl.utility.audio import SAMPLE_RATE, AudioError, num_samples
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import CHECKED_ROWS, load_lengths, read_table
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording, read
from s3prl.utility.typed import at_least

LIBRISPEECH = "https://www.openslr.org/12"


@dataclass(frozen=True)
class DataRc:
    """The section `pretrain_expert.datarc` of a config."""

    train_batch_size: Annotated[int, at_least(1)]
    num_workers: Annotated[int, at_least(0)] = 8
    max_timestep: int = 0  # frames: above 0 only shorter utterances are kept, below 0 only longer ones
    libri_root: str | None = None
    file_path: str = "data/len_for_bucket"
    sets: list[str] = field(default_factory=list)
    audio_extension: str | None = None  # of the recordings, such as .flac; None takes all kinds of audio


class Utterances(Dataset):
    """Recordings or arrays of features; an item is `(Recording,)`, cut to `crop` at a random place.

    Attributes: `lengths` of all items (samples, or frames of ready features), `dropped` (how many were too
    long or too short), `seconds` heard in an epoch, and `shortest` (the least length that is of use).
    """

    noun = "utterances"  # what items are called in the log
    unit = 1  # samples that a length counts

    def __init__(self, files: Sequence[tuple[Path, int]], crop: int, shift: int, shortest: int = 1) -> None:
        """
        Args:
            files: with their lengths in samples.
            crop: samples to hear at most; 0 hears all.
            shift: samples per frame.
            shortest: samples.
        """
        self.files, self.lengths = [path for path, _ in files], [length for _, length in files]
        self.crop, self.shift, self.shortest = crop, shift, shortest
        self.dropped = 0

    @property
    def most(self) -> int:
        """The greatest length that is heard of an utterance; 0: all."""
        return self.crop // self.unit

    @property
    def seconds(self) -> float:
        """Of audio in an epoch."""
        heard = (min(length, self.most or length) for length in self.lengths)
        return sum(heard) * self.unit / SAMPLE_RATE

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Recording]:
        recording = Recording(str(self.files[index]))
        if 0 < self.most < self.lengths[index]:
            recording = recording.randomly_cropped(self.crop / SAMPLE_RATE)
        return (recording,)

    def read(self, recording: Recording) -> np.ndarray:
        """The wave of a recording: float32 [samples] at 16 kHz. Raises AudioError."""
        return read(recording)


class ReadyUtterances(Utterances):
    """Features made ready: lengths and `shortest` are frames, and so is what is heard of a file."""

    @property
    def unit(self) -> int:
        """Of Utterances: a frame."""
        return self.shift

    def read(self, recording: Recording) -> np.ndarray:
        """The features of a file: float32 [frames, dim].

        Raises:
            AudioError: the file is missing, damaged, or holds something else.
        """
        features = read_features(Path(recording.path))
        if recording.crop is not None:
            first = round(recording.place * max(len(features) - self.most, 0))
            features = features[first : first + self.most]
        return np.array(features, dtype=np.float32)


def training_loader(datarc: DataRc, crop: int, shift: int = 160, shortest: int = 1) -> DataLoader:
    """Batches of the training set: lists of unpadded tensors.

    Args:
        crop: samples to hear of an utterance at most, from a random place; 0 hears all.
        shift: samples per frame of the features.
        shortest: samples that an utterance must have to be of use; of ready features, frames.

    Returns:
        A loader whose batches are waves [samples], float32 at 16 kHz, or, without `libri_root`, features
        [frames, dim]. Its data set is an `Utterances`.

    Raises:
        UserError: no such set, or none of its utterances is of use.
    """
    files = _recordings(datarc) if datarc.libri_root else _arrays(datarc)
    unit = shift if datarc.libri_root else 1  # of a length per frame
    limit = abs(datarc.max_timestep) * unit
    kept = [
        (path, length)
        for path, length in files
        if length >= shortest
        and (datarc.max_timestep <= 0 or length < limit)
        and (datarc.max_timestep >= 0 or length > limit)
    ]
    if not kept:
        raise UserError(
            f"None of the {len(files)} utterances of {_places(datarc)} is of use: they are all shorter than "
            f"{shortest} {'samples' if datarc.libri_root else 'frames'}, or beyond "
            f"config.pretrain_expert.datarc.max_timestep ({datarc.max_timestep} frames)."
        )
    kind = Utterances if datarc.libri_root else ReadyUtterances
    dataset = kind(kept, crop, shift, shortest)
    dataset.dropped = len(files) - len(kept)
    return DataLoader(
        dataset,
        batch_sampler=BucketBatchSampler(dataset.lengths, datarc.train_batch_size),
        num_workers=min(datarc.num_workers, worker_limit()),  # PyTorch warns of more
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )


def collate(items: Sequence[tuple[np.ndarray]]) -> list[Tensor]:
    """A batch: the unpadded waves or features of its items."""
    return [torch.from_numpy(array) for (array,) in items]


def _recordings(datarc: DataRc) -> list[tuple[Path, int]]:
    """The recordings of all sets with their samples."""
    root, tables = find_path(datarc.libri_root), find_path(datarc.file_path)
    if not root.is_dir():
        raise UserError(
            f"config.pretrain_expert.datarc.libri_root: there is no folder {root}. Name the folder of your "
            f"recordings; or get LibriSpeech from {LIBRISPEECH} (the variable S3PRL_CORPORA says where "
            f"corpora are, default: data); or make its miniature with `{command_line('corpora')} librispeech "
            "--output data/mini`, and take the method's mini_runner.yaml (-c) and mini_model.yaml (-g)."
        )
    found: list[tuple[Path, int]] = []
    for name in datarc.sets:
        table = tables / f"{name}.csv"
        if table.is_file():
            lengths = _listed(table, root)
        else:
            lengths = load_lengths(root, name, tables, datarc.audio_extension)
        found += [(root / path, length) for path, length in lengths.items()]
    if not datarc.sets:
        root = root.resolve()
        lengths = load_lengths(root.parent, root.name, tables, datarc.audio_extension)
        found = [(root.parent / path, length) for path, length in lengths.items()]
    return found


def _listed(table: Path, root: Path) -> dict[str, int]:
    """What a table lists, which may be a part of a corpus; some of its rows are compared with the files."""
    rows = read_table(table)
    if not rows:
        raise UserError(f"{table} lists no recording. Remove the table, and it is made again.")
    for path in _some(rows):
        found = f"{path} is missing"
        if (root / path).is_file():
            try:
                samples = num_samples(root / path)
            except AudioError:
                continue  # as with all other unreadable files, reading it decides
            if samples == rows[path]:
                continue
            found = f"{path} has {samples} samples, not {rows[path]}"
        raise UserError(f"{table} does not fit {root}: {found}. Remove the table, and it is made again.")
    return rows


def _some(rows: Mapping[str, int]) -> list[str]:
    """A few paths of a table, from its front to its end."""
    return list(rows)[:: max(1, len(rows) // CHECKED_ROWS)]


def _arrays(datarc: DataRc) -> list[tuple[Path, int]]:
    """The arrays of all sets with their frames."""
    folder = find_path(datarc.file_path)
    if not folder.is_dir():
        raise UserError(
            f"config.pretrain_expert.datarc.file_path: there is no folder {folder}. Without libri_root it "
            "must hold features (preprocess/preprocess_any.py makes them)."
        )
    names = datarc.sets or sorted(path.stem for path in folder.glob("*.csv"))
    missing = [name for name in names if not (folder / f"{name}.csv").is_file()]
    if missing or not names:
        what = f"{missing[0]}.csv" if missing else "table (<set>.csv)"
        raise UserError(
            f"{folder} has no {what}. Name sets that it has in config.pretrain_expert.datarc.sets, or the "
            "folder of your recordings in libri_root."
        )
    rows: list[tuple[str, int]] = []
    for name in names:
        listed = read_table(folder / f"{name}.csv")
        if listed and not any((folder / path).is_file() for path in _some(listed)):
            raise UserError(
                f"{folder / name}.csv lists features such as {next(iter(listed))}, but {folder} does not "
                "have them. If these are recordings, name their folder in "
                "config.pretrain_expert.datarc.libri_root."
            )
        rows += listed.items()
    return [(folder / path, frames) for path, frames in rows]


def _places(datarc: DataRc) -> str:
    return f"{', '.join(datarc.sets) or 'all sets'} in {datarc.libri_root or datarc.file_path}"
