"""Features of a frozen upstream, computed once: the cache between recordings and layers.

    cache = FeatureCache(Place("features"), "hubert", Encoder(upstream, "cpu", alone=True), featurizer)
    heard = cache.look_up(Recording("a.flac"))   # in a loading worker: its wave, or where its features are
    layers = cache.layers([heard])               # read, or computed and kept

The features of an utterance are those it has alone, in the precision of the cache. A recording that could not
be kept is rounded all the same, so nothing that is trained on them depends on what was found in the cache.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.errors import UserError, explain
from s3prl.utility.recordings import Recording, read

from ..encoding import Encoder
from ..fingerprint import fingerprint
from ..interfaces import SAMPLE_RATE, Featurizer, Layers
from ..waves import Wav
from .budget import LIMIT, Budget, parse_size
from .catalogue import DTYPES, prepare
from .content import Contents, Memo, key_of_wave
from .identity import RandomFeatures, find_set, probe
from .store import Store

Tier = Literal["frames", "mean"]  # [layers, frames, dim] of an utterance, or their mean over time


class Place(NamedTuple):
    """Where features are kept, how many and how exactly."""

    folder: Path
    limit: str = LIMIT
    dtype: str = "float16"  # of frames; means take little room and are float32


@dataclass
class Heard:
    """An utterance on its way from a loading worker to the upstream; its length is that in samples."""

    samples: int
    key: bytes | None = None  # None: it is not to be kept
    wave: Wav | None = None  # None: its features are in the cache
    recording: Recording | None = None
    memo: Memo | None = None

    def __len__(self) -> int:
        return self.samples


class LookUp:
    """What loading workers do with a recording; small, and it can be sent to them."""

    def __init__(self, contents: Contents | None, store: Store | None) -> None:
        """
        Args:
            contents, store: None where the cache cannot be used.
        """
        self.contents, self.store = contents, store

    def __call__(self, recording: Recording) -> Heard:
        """The recording's wave, or its key if its features are there.

        Raises:
            AudioError: the wave is needed and cannot be read.
        """
        key, memo = None, None
        if self.store is not None and not recording.drawn:
            try:
                key, memo = self.contents.key(recording)
            except OSError:
                key = None  # reading it says what is wrong with it
            if key is not None and key in self.store:
                self.store.prefetch(key)
                return Heard(self.store.samples(key) or 0, key, None, recording, memo)
        return self.read(recording, key, memo)

    def read(self, recording: Recording, key: bytes | None, memo: Memo | None = None) -> Heard:
        """The recording with its wave, not to be kept if the file has changed since its key was made.

        Raises:
            AudioError: it cannot be read.
        """
        wave = read(recording)
        try:
            same = key is not None and self.contents.key(recording)[0] == key
        except OSError:  # the file is gone
            same = False
        return Heard(len(wave), key if same else None, wave, recording, memo)

    def has(self, recording: Recording) -> bool:
        """Whether its features are there, as far as that is known without reading the recording."""
        if self.store is None or recording.drawn:
            return False
        key = self.contents.known_key(recording)
        return key is not None and key in self.store


class FeatureCache:
    """Reads and fills a cache for one upstream.

    Attributes: `tier`; `layer_count` and `dim` of its features; `pace`, seconds that computing a second of
    audio takes; `keeps_waves`, whether features of waves that a data set has read itself are kept.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        encoder: Encoder,
        featurizer: Featurizer,
        tier: Tier = "frames",
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        precision: str = "float32",
        config: str | None = None,
    ) -> None:
        """
        Args:
            name: of the upstream, for people.
            encoder: gives every utterance the values it has alone.
            featurizer: chooses output and layers; its weights do not matter.
            autocast: the context in which the upstream is computed.
            precision: what to call that.
            config: the digest of a configuration that the upstream was built from.

        Raises:
            UserError: a folder that is no cache, a wrong size, or an upstream whose output is random.
        """
        self.encoder, self.featurizer, self.tier = encoder, featurizer, tier
        self._autocast, self._threads = autocast, torch.get_num_threads()
        self.dtype = torch.float32 if tier == "mean" else DTYPES[place.dtype]
        self.normalized = tier == "mean" and featurizer.normalize
        limit = parse_size(place.limit)
        try:
            found = probe(lambda wave: self._compute([wave])[0])
        except RandomFeatures as error:
            raise UserError(f"--cache: {error}, so none can be kept. Leave --cache out.") from error
        self.layer_count, self.dim, self.pace = featurizer.layer_count, featurizer.output_dim, found.pace
        self.keeps_waves = True
        self._told_overflow = False
        self._host = torch.empty(0)
        self.contents = self.store = self.folder = None
        about = {
            "class": f"{type(encoder.upstream).__module__}.{type(encoder.upstream).__qualname__}",
            "parameters": fingerprint(encoder.upstream),
            "output": featurizer.feature_selection,
            "layer": featurizer.layer_selection,
            "layers": self.layer_count,
            "dim": self.dim,
            "stride": featurizer.downsample_rate,
            "tier": tier,
            "dtype": str(self.dtype).removeprefix("torch."),
            "normalized": self.normalized,
            "precision": precision,
            "config": config,
        }
        try:
            prepare(place.folder)
            self.folder = find_set(place.folder, name, about, found.values, encoder.device.type)
            self.contents = Contents(place.folder)
            self.store = Store(
                self.folder, self.layer_count, self.dim, self.dtype, Budget(place.folder, limit)
            )
        except OSError as error:
            reason = explain(error) or str(error)
            print(f"[Cache] {place.folder} cannot be used, nothing is kept: {reason}", file=sys.stderr)
        self.look_up = LookUp(self.contents, self.store)

    def layers(self, utterances: Sequence[Heard | Wav]) -> Layers:
        """The layers of a batch, padded with zeros, of the tier; float32 on the encoder's device."""
        found = self.features(utterances)
        frames = [one.size(1) for one in found]
        return Layers(self._padded(found, frames), frames, means=self.tier == "mean")

    def features(self, utterances: Sequence[Heard | Wav]) -> list[Tensor]:
        """The features of each utterance, [layers, frames, dim] on the CPU; not to be written to.

        What is not in the cache is computed, and kept where there is room.
        """
        heard = [one if isinstance(one, Heard) else self._heard(one) for one in utterances]
        found: list[Tensor | None] = [self._stored(one) for one in heard]
        missing = [index for index, one in enumerate(found) if one is None]
        groups = [[index] for index in missing] if self._one_by_one else [missing]
        for group in filter(None, groups):
            computed = self._computed([heard[index] for index in group])
            for index, one in zip(group, computed, strict=True):
                found[index] = one
        return found

    def bytes_for(self, seconds: float, utterances: int) -> int:
        """About how large the features of so much audio are."""
        frames = (
            utterances if self.tier == "mean" else seconds * SAMPLE_RATE / self.featurizer.downsample_rate
        )
        return int(frames * self.layer_count * self.dim * self.dtype.itemsize)

    @property
    def _one_by_one(self) -> bool:
        """On a CPU an utterance beside others may differ from itself alone in the last bit."""
        return self.encoder.device.type == "cpu"

    def _heard(self, wave: Wav) -> Heard:
        """A wave of a data set that reads its own files."""
        key = key_of_wave(wave) if self.store is not None and self.keeps_waves else None
        return Heard(len(wave), key, wave)

    def _stored(self, heard: Heard) -> Tensor | None:
        if heard.memo is not None:
            self.contents.remember(heard.memo)
        stored = None if heard.key is None else self.store.get(heard.key)
        return None if stored is None else stored.values

    def _computed(self, group: list[Heard]) -> list[Tensor]:
        """Features of utterances that are not in the cache, which are kept there."""
        group = [self.look_up.read(one.recording, one.key) if one.wave is None else one for one in group]
        waves = [one.wave for one in group]
        try:
            exact = [one.cpu() for one in self._compute(waves)]
        except UserError as error:
            named = group[0].recording if len(group) == 1 else None
            raise UserError(f"{named.path}: {error}") if named is not None else error from None
        return [
            self._kept(heard, one, len(wave)) for heard, one, wave in zip(group, exact, waves, strict=True)
        ]

    @torch.no_grad()
    def _compute(self, waves: Sequence[Wav]) -> list[Tensor]:
        """[layers, frames, dim] of each wave, on the device; of the tier "mean" with one frame."""
        threads = torch.get_num_threads()  # the training of a small model may use fewer
        torch.set_num_threads(self._threads)
        try:
            with self._autocast():
                layers = self.featurizer.layers([len(wave) for wave in waves], self.encoder(waves))
        finally:
            torch.set_num_threads(threads)
        stacked = layers.stacked if isinstance(layers.stacked, Tensor) else torch.stack(layers.stacked)
        found = [stacked[:, place, :frames] for place, frames in enumerate(layers.frames)]
        return found if self.tier == "frames" else [self._mean(one) for one in found]

    def _mean(self, one: Tensor) -> Tensor:
        if self.normalized:
            one = self.featurizer.normalized(one)
        return one.float().mean(1, keepdim=True)

    def _kept(self, heard: Heard, exact: Tensor, samples: int) -> Tensor:
        """The features in the cache's precision, kept if they can be."""
        rounded = exact.to(self.dtype)
        if not rounded.isfinite().all():
            if exact.isfinite().all() and not self._told_overflow:
                self._told_overflow = True
                print(
                    f"[Cache] Some features are beyond the range of {self.dtype}, so they are computed every "
                    "time. --cache_dtype bfloat16 can keep them.",
                    file=sys.stderr,
                )
            return exact
        if heard.key is not None:
            self.store.put(heard.key, rounded, samples)
        return rounded

    def _padded(self, found: list[Tensor], frames: list[int]) -> Tensor:
        """One [layers, batch, frames, dim] on the device.

        Where layers are mixed, its memory is used again for the next batch, since a new block of this size
        costs more than its content. A single layer is what the task is given, which may keep it.
        """
        shape = (self.layer_count, len(found), max(frames), self.dim)
        on_cpu = self.encoder.device.type == "cpu"
        kinds = {one.dtype for one in found}
        dtype = torch.float32 if on_cpu or len(kinds) > 1 else kinds.pop()
        padded = self._memory(int(np.prod(shape)), dtype, pinned=not on_cpu).view(shape)
        for place, (one, count) in enumerate(zip(found, frames, strict=True)):
            padded[:, place, :count].copy_(one)
            padded[:, place, count:].zero_()
        return padded if on_cpu else padded.to(self.encoder.device).float()

    def _memory(self, count: int, dtype: torch.dtype, pinned: bool) -> Tensor:
        if self.layer_count == 1 or self._host.dtype != dtype or len(self._host) < count:
            self._host = torch.empty(count, dtype=dtype, pin_memory=pinned)
        return self._host[:count]
