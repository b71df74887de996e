"""Features of sets of recordings: files are read and written by threads while the front end computes."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3prl.upstream.tools.recordings import plan
from s3prl.utility.audio import AUDIO, SAMPLE_RATE, AudioError, load
from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import measure
from s3prl.utility.paths import files_below
from s3prl.utility.progress import Progress
from s3prl.utility.recordings import BadAudio

from .feature_kinds import Front
from .set_folder import SetFolder

AHEAD = 2  # batches that are read while one is computed
BATCH_SECONDS = 240.0  # of audio, with padding


class Prepared(NamedTuple):
    """What has become of a set."""

    table: Path
    frames: dict[str, int]  # of every utterance in the table
    written: int  # of them by this run
    seconds: float


class Preparation:
    """Computes the features of sets into a folder; recordings that cannot be used are in `bad`."""

    def __init__(self, folder: SetFolder, front: Front, device: str, n_jobs: int) -> None:
        """
        Args:
            front: computes the features.
            n_jobs: threads that read and write; -1 for what suits the machine.
        """
        self.folder, self.front, self.device = folder, front, device
        self.n_jobs = min(16, 2 * cpu_count()) if n_jobs < 1 else n_jobs
        self.bad: list[BadAudio] = []

    def run(self, part: str, recordings: Mapping[str, Path]) -> Prepared:
        """Compute what of a set is not there yet, and write its table.

        Args:
            part: the name of the set.
            recordings: utterance -> file.
        """
        measured = measure(
            Path(), [str(path) for path in recordings.values()], self.n_jobs, f"{part} headers"
        )
        samples: dict[str, int] = {}
        for utterance, path in recordings.items():
            if str(path) in measured.unreadable:
                self._fail(part, utterance, path, measured.unreadable[str(path)])
            elif self.front.num_frames(count := measured.lengths[str(path)]):
                samples[utterance] = count
            else:
                self._fail(part, utterance, path, f"{path} has {count} samples, too few for one frame.")
        frames = {utterance: self.front.num_frames(count) for utterance, count in samples.items()}
        todo = {
            utterance: count
            for utterance, count in samples.items()
            if self.folder.shape(part, utterance) != (frames[utterance], self.front.dim)
        }
        written = self._compute(part, recordings, todo)
        for utterance in todo.keys() - written:
            del frames[utterance], samples[utterance]
        table = self.folder.write_table(part, frames)
        return Prepared(table, frames, len(written), sum(samples.values()) / SAMPLE_RATE)

    def _compute(self, part: str, recordings: Mapping[str, Path], todo: dict[str, int]) -> set[str]:
        """Compute and write utterances, given with their samples; returns those that could be read."""
        written: set[str] = set()
        with (
            ThreadPoolExecutor(self.n_jobs) as pool,
            Progress(len(todo), f"{part} features", "utterances") as progress,
            torch.no_grad(),
        ):
            writing: list[Future[None]] = []
            for count, waves in self._loaded(part, recordings, plan(todo, BATCH_SECONDS), pool):
                computed = self._features(waves)
                _finish(writing)  # the disk has had the time of one batch to keep up
                writing = [
                    pool.submit(self.folder.write, part, name, array) for name, array in computed.items()
                ]
                written.update(computed)
                progress.update(count)
            _finish(writing)
        return written

    def _loaded(
        self,
        part: str,
        recordings: Mapping[str, Path],
        batches: Sequence[list[str]],
        pool: ThreadPoolExecutor,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """The size of each batch and its waves, read in advance; those that cannot be read are left out."""
        waiting: deque[dict[str, Future[np.ndarray]]] = deque()
        for batch in [*batches, *([[]] * AHEAD)]:
            waiting.append({name: pool.submit(load, recordings[name]) for name in batch})
            if len(waiting) <= AHEAD:
                continue
            waves = {}
            for name, future in (reading := waiting.popleft()).items():
                try:
                    waves[name] = torch.from_numpy(future.result())
                except AudioError as error:
                    self._fail(part, name, recordings[name], str(error))
            yield len(reading), waves

    def _features(self, waves: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Utterance -> float32 [frames, dim]."""
        if not waves:
            return {}
        features, frames = self.front([wave.to(self.device) for wave in waves.values()])
        features = features.float().cpu().numpy()
        return {name: features[row, : frames[row]] for row, name in enumerate(waves)}

    def _fail(self, part: str, utterance: str, path: Path, reason: str) -> None:
        self.bad.append(BadAudio(f"{part}/{utterance}", str(path), reason))


def _finish(writing: Sequence[Future[None]]) -> None:
    for future in writing:
        future.result()


def find_set(folder: Path, extensions: Sequence[str] = AUDIO, option: str = "--data_path") -> dict[str, Path]:
    """The recordings of a folder at any depth, by their paths without the suffix.

    Args:
        extensions: such as .flac; their case does not matter.
        option: of the command line that named the folder, for messages.

    Raises:
        UserError: no such folder, no recording in it, or two that differ in their suffix only.
    """
    if not folder.is_dir():
        raise UserError(f"{option}: there is no folder {folder}. Give the one with the recordings.")
    found: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        if path.suffix.lower() not in extensions:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(
                f"The features of {found[name]} and {path} would be written to the same file. Choose one of "
                "them with --audio_extension."
            )
        found[name] = path
    if not found:
        raise UserError(
            f"{folder} has no recording ({', '.join(extensions)}). Choose the extension with "
            "--audio_extension, or check that the archive was unpacked there."
        )
    return found
