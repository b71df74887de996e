"""The feature cache of a run (`--cache`): which tier its task can use, and what filling it will take."""

import argparse
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from s3prl.training.sampling import loaded_in_epoch
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.build import config_digest, find_config
from s3prl.upstream.cache.budget import show_size
from s3prl.upstream.cache.content import key_of_wave
from s3prl.upstream.cache.features import FeatureCache, Heard, Place
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import SAMPLE_RATE, Featurizer, traits_of
from s3prl.utility.audio import AudioError, num_samples
from s3prl.utility.errors import UserError
from s3prl.utility.progress import duration
from s3prl.utility.recordings import Recording

MEASURED = 100  # recordings whose headers are read where lengths are not known


def open_for(
    args: argparse.Namespace,
    settings: RunnerSettings,
    encoder: Encoder,
    featurizer: Featurizer,
    task: nn.Module,
    augmented: bool,
    autocast: Callable[[], AbstractContextManager],
) -> FeatureCache | None:
    """The cache that the arguments ask for, if they do.

    A task that reads features only through their mean over time gets means, unless they are augmented.

    Raises:
        UserError: the upstream or the folder cannot be used with a cache.
    """
    if not args.cache:
        return None
    if traits_of(encoder.upstream).survey is not None:
        raise UserError(f"--cache: {args.upstream} measures data and has no features. Leave --cache out.")
    if traits_of(encoder.upstream).source is not None:
        raise UserError(f"--cache: {args.upstream} computes nothing that could be kept. Leave --cache out.")
    means = getattr(task, "reads", "frames") == "mean" and not augmented
    precision = "float16" if settings.fp16 else "bfloat16" if settings.bf16 else "float32"
    return FeatureCache(
        Place(Path(args.cache), args.cache_limit, args.cache_dtype),
        args.upstream,
        encoder,
        featurizer,
        "mean" if means else "frames",
        autocast,
        precision,
        config_digest(find_config(args.upstream_model_config, (args.launch_dir,))),
    )


def repeats_its_waves(loader: DataLoader, seed: int, prepare: Callable) -> bool:
    """Whether waves that a data set reads itself are the same in two epochs, and so worth keeping.

    Random crops and added noise are not. Of an iterable data set nothing is known.
    """
    if isinstance(loader.dataset, IterableDataset):
        return False
    count = len(loader.dataset)
    for index in sorted({0, count // 2, count - 1}):
        epochs = [loaded_in_epoch(loader, seed, epoch, index, prepare).batch for epoch in (0, 1)]
        if any(batch is None for batch in epochs):
            continue
        if any(isinstance(wave, Heard) for wave in epochs[0][0]):
            return True  # recordings say themselves whether they are drawn
        one, other = ([key_of_wave(wave) for wave in waves] for waves, *_ in epochs)
        if one != other:
            return False
    return True


def forecast(cache: FeatureCache, loaders: Iterable[DataLoader]) -> str:
    """A line on what of these data sets is in the cache, and what the rest will take."""
    lengths: dict[Recording, int] = {}  # samples; 0 where not known
    for loader in loaders:
        choices = getattr(loader.dataset, "choices", None)
        items = getattr(loader.dataset, "items", ())
        for index, item in enumerate(items if choices is not None else ()):
            lengths.update(dict.fromkeys(choices(index) or (), item.samples))
    where = f"[Cache] {cache.folder}: {cache.tier} in {str(cache.dtype).removeprefix('torch.')}"
    if not lengths:
        return f"{where}, {len(cache.store)} utterances"
    missing = [recording for recording in lengths if not cache.look_up.has(recording)]
    if not missing:
        return f"{where}, all {len(lengths):,} utterances are there"
    seconds = _seconds(missing, lengths)
    size, room = cache.bytes_for(seconds, len(missing)), cache.store.budget.room()
    text = (
        f"{where}, {len(missing):,} of {len(lengths):,} utterances are missing: {duration(seconds)} of "
        f"audio, about {show_size(size)} (there is room for {show_size(max(0, room))}) and "
        f"{duration(cache.pace * seconds)} of computing"
    )
    if size > room:
        text += f"; {100 * (1 - max(0, room) / size):.0f} % will not fit and be computed in every epoch"
    return text


def _seconds(recordings: list[Recording], lengths: dict[Recording, int]) -> float:
    """Of audio in recordings; those of unknown length count as some others of them that are measured."""
    known = [found for one in recordings if (found := _known_seconds(one, lengths[one])) is not None]
    unknown = [one for one in recordings if _known_seconds(one, lengths[one]) is None]
    if not unknown:
        return sum(known)
    measured = []
    for one in unknown[:: max(1, len(unknown) // MEASURED)]:
        try:
            whole = num_samples(one.path) / SAMPLE_RATE
        except AudioError:
            continue
        measured.append(whole - (one.start or 0) if one.crop is None else min(one.crop, whole))
    return sum(known) + (len(unknown) * sum(measured) / len(measured) if measured else 0.0)


def _known_seconds(recording: Recording, samples: int) -> float | None:
    whole = samples / SAMPLE_RATE if samples else None
    if recording.stop is not None:
        whole = recording.stop - (recording.start or 0.0)
    return whole if recording.crop is None or whole is None else min(recording.crop, whole)
