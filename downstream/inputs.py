"""From the batches of a loader to the layers of an upstream: computed, read from a cache, or in memory.

The heads of a sweep have one of these in common.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from s3prl.training.randomness import isolated_randomness
from s3prl.training.sampling import Ready
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.cache.features import FeatureCache
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.features.frames import least_length
from s3prl.upstream.interfaces import SAMPLE_RATE, Featurizer, Layers, traits_of
from s3prl.utility import processes
from s3prl.utility.bad_audio import ReadRecordings
from s3prl.utility.errors import UserError
from s3prl.utility.launcher import say_once
from s3prl.utility.recordings import Recording, read

from .caching import repeats_its_waves
from .resident import Row, ready_items


class Inputs:
    """What a run does with waves, whatever its task.

    Attributes:
        encoder: computes them.
        cache: None without `--cache`.
        prepare: what loading workers do with an item of a data set.
    """

    def __init__(
        self, encoder: Encoder, featurizer: Featurizer, cache: FeatureCache | None, bad_audio: str
    ) -> None:
        """
        Args:
            featurizer: chooses output and layers.
            bad_audio: "error" or "skip", see ReadRecordings.
        """
        self.encoder, self.cache = encoder, cache
        self._featurizer = featurizer
        self._source = traits_of(encoder.upstream).source
        look_up = next((one.look_up for one in (cache, self._source) if one is not None), read)
        self.prepare = ReadRecordings(bad_audio, look_up, shortest_for(encoder.upstream))
        self._checked: set[str] = set()
        self._ready: dict[str, Ready | None] = {}
        self._latest: Sequence[Any] = ()

    def layers(self, wavs: Sequence[Any]) -> Layers:
        """The layers of a batch of waves ([samples] at 16 kHz), or of what `prepare` or a Ready has of them.

        Raises:
            UserError: recordings that nothing has read.
        """
        self._latest = wavs
        if isinstance(wavs[0], Row):
            return wavs[0].table.layers(wavs)
        if any(isinstance(wav, Recording) for wav in wavs):
            raise UserError(
                "The data set of the task is iterable and yields recordings. They are read of data sets with "
                "__len__ and __getitem__ only: let it yield waves."
            )
        if self.cache is not None:
            return self.cache.layers(wavs)
        return self._featurizer.layers([len(wav) for wav in wavs], self.encoder(wavs))

    def check(self, split: str, loader: DataLoader) -> None:
        """Find out, once, whether an upstream that looks recordings up has those of a split.

        Raises:
            UserError: it has not.
        """
        dataset = loader.dataset
        if self._source is None or split in self._checked or not hasattr(dataset, "choices"):
            return
        self._checked.add(split)
        recordings: dict[Recording, int] = {}  # -> samples; 0 where not known
        for index, item in enumerate(dataset.items):
            heard = dataset.choices(index) or [item.recording.randomly_cropped(0.0)]
            recordings.update(dict.fromkeys(heard, item.samples))
        self._source.check(split, recordings, self.prepare.skip)

    def describe_latest(self) -> str:
        """How many utterances the latest batch had, and how long the longest was."""
        longest = max(len(wav) for wav in self._latest)
        return f"{len(self._latest)} utterances of up to {longest / SAMPLE_RATE:.1f} s"

    def get_ready(
        self, settings: RunnerSettings, training: DataLoader, loader: Callable[[str], DataLoader], seed: int
    ) -> None:
        """Make ready for memory what fits there, for the training set and all evaluated splits.

        Called once, at the beginning of training, by all processes, which divide the work.

        Args:
            training: the loader of the training set.
            loader: of a split.
        """
        if self._source is not None:
            with isolated_randomness(0):
                for split in settings.eval_dataloaders:
                    loader(split)  # which is checked, before the hours until it is needed
        if self.cache is None:
            return
        if not repeats_its_waves(training, seed, self.prepare):
            self.cache.keeps_waves = False
            say_once("[Cache] The training set has other waves in each epoch: their features are not kept.")
        if self.cache.tier != "mean":
            return
        size = training.batch_size or getattr(training.batch_sampler, "batch_size", 1)
        update = size * settings.gradient_accumulate_steps * processes.world_size()
        evaluations = -(-settings.total_steps // settings.eval_step)
        items = {settings.train_dataloader: (training, settings.total_steps * update)}
        with isolated_randomness(0):
            for split in settings.eval_dataloaders:
                own = loader(split)
                known = hasattr(own.dataset, "choices")
                items[split] = (own, evaluations * len(own.dataset) if known else 0)
        for split, (own, visits) in items.items():
            self._ready[split] = ready_items(self.cache, own, self.prepare, split, visits)

    def ready(self, split: str) -> Ready | None:
        """The items of a split, if they were made ready."""
        return self._ready.get(split)


def shortest_for(upstream: nn.Module) -> int:
    """Samples that an utterance needs for one frame, where the upstream says so; else 1."""
    num_frames = traits_of(upstream).num_frames
    if num_frames is None:
        return 1
    return least_length(num_frames)
