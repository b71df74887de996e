"""The loop of feature extraction: read, compute, write, all at the same time."""

import copy
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.audio import AudioError, load
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import UserError
from s3prl.utility.progress import Progress
from s3prl.utility.recordings import BadAudio, Recording

from ..cache.features import FeatureCache, Heard
from ..encoding import Encoder
from ..interfaces import SAMPLE_RATE, traits_of
from .feature_folder import Entry, FeatureFolder
from .selection import Extract

AHEAD = 2  # batches that are read while one is computed


class Source(NamedTuple):
    """What turns wavs into features, and what tells it from another."""

    encoder: Encoder
    extract: Extract
    settings: dict
    cache: FeatureCache | None = None


class Extraction:
    """The loop: files are read and written by threads while the upstream computes."""

    def __init__(
        self, source: Source, folder: FeatureFolder, recordings: dict[str, Path], device: str, n_jobs: int
    ) -> None:
        self.source, self.folder, self.recordings = source, folder, recordings
        self.device, self.n_jobs = device, n_jobs
        self.bad: list[BadAudio] = []
        self.written = self.skipped = 0
        # A cache serves one thread at a time: the reading threads share a copy of what they need.
        self._alone, self._look_up = threading.Lock(), None
        if source.cache is not None:
            self._look_up = copy.deepcopy(source.cache.look_up)

    def run(self, batches: list[list[str]], lengths: dict[str, int]) -> None:
        """Do what of `batches` is not done yet."""
        everything = [name for batch in batches for name in batch]
        self.skipped = sum(name in self.folder.done for name in everything)
        todo = [wanted for batch in batches if (wanted := self._to_compute(batch))]
        seconds = sum(lengths[name] for batch in todo for name in batch) / SAMPLE_RATE
        with (
            ThreadPoolExecutor(self.n_jobs) as pool,
            Progress(round(seconds), "extraction", "s of audio") as progress,
            torch.no_grad(),
        ):
            writing: list[Future[Entry]] = []
            for wavs in self._loaded(todo, pool):
                computed = self._compute(wavs)
                self._note(writing)  # the disk has had the time of one batch to keep up
                writing = [
                    pool.submit(self._write, name, features, len(wavs[name]))
                    for name, features in computed.items()
                    if name not in self.folder.done
                ]
                progress.update(sum(map(len, wavs.values())) // SAMPLE_RATE)
            self._note(writing)

    def _to_compute(self, batch: list[str]) -> list[str]:
        """Where the batch changes values, it is computed whole, to get the same ones."""
        missing = [name for name in batch if name not in self.folder.done]
        return batch if missing and not self.source.encoder.batch_invariant else missing

    def _loaded(
        self, batches: list[list[str]], pool: ThreadPoolExecutor
    ) -> Iterator[dict[str, Tensor | Heard]]:
        """The wavs of each batch by utterance, read in advance; those that cannot be read are left out."""
        waiting: deque[dict[str, Future[np.ndarray | Heard]]] = deque()
        for batch in [*batches, *([[]] * AHEAD)]:
            waiting.append({name: pool.submit(self._read, self.recordings[name]) for name in batch})
            if len(waiting) > AHEAD:
                wavs = {name: self._wav(name, future) for name, future in waiting.popleft().items()}
                yield {name: wav for name, wav in wavs.items() if wav is not None}

    def _read(self, path: Path) -> np.ndarray | Heard:
        """The wave of a recording, or where its features are."""
        if self._look_up is None:
            return load(path)
        with self._alone:
            return self._look_up(Recording(path))

    def _wav(self, name: str, future: Future[np.ndarray | Heard]) -> Tensor | Heard | None:
        try:
            found = future.result()
        except AudioError as error:
            self._fail(name, error)
            return None
        wav = found if isinstance(found, Heard) else torch.from_numpy(found)
        count = traits_of(self.source.encoder.upstream).num_frames
        if count is not None and count(len(wav)) == 0:
            self._fail(name, f"{len(wav)} samples ({len(wav) / SAMPLE_RATE:g} s) are too short for one frame")
            return None
        return wav

    def _fail(self, name: str, reason: object) -> None:
        if name not in self.folder.done:
            self.bad.append(BadAudio(name, str(self.recordings[name]), str(reason)))

    def _compute(self, wavs: dict[str, Tensor | Heard]) -> dict[str, Tensor]:
        """Features by utterance; what the upstream refuses is tried alone, what is too much in halves."""
        if not wavs:
            return {}
        names = list(wavs)
        try:
            features = self.source.extract(list(wavs.values()))
            return {name: one.float().cpu() for name, one in zip(names, features, strict=True)}
        except UserError as error:
            parts = [[name] for name in names]
            reason = str(error)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            parts = [names[: len(names) // 2], names[len(names) // 2 :]]
            reason = "out of memory"
        if len(names) == 1:
            self._fail(names[0], reason)
            return {}
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return {
            name: one
            for part in parts
            for name, one in self._compute({name: wavs[name] for name in part}).items()
        }

    def _write(self, name: str, features: Tensor, samples: int) -> Entry:
        file = self.folder.write(name, features)
        frames, dim = features.shape[-2:]
        return Entry(name, file, frames, dim, round(samples / SAMPLE_RATE, 4))

    def _note(self, writing: list[Future[Entry]]) -> None:
        entries = [future.result() for future in writing]
        self.folder.note(entries)
        self.written += len(entries)
