"""What the beginning of a log says of an experiment's upstream and data."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn
from torch.utils.data import DataLoader

from s3prl.training.randomness import isolated_randomness
from s3prl.upstream.interfaces import SAMPLE_RATE, Featurizer


class Size(NamedTuple):
    """How much there is of a split."""

    split: str
    count: int
    unit: str  # utterances, or items where one may be a whole batch
    seconds: float | None  # of audio; None where that is not known


def sizes(task: nn.Module, training: str, loader: DataLoader, evaluated: Iterable[str]) -> list[Size]:
    """The sizes that are known without reading any audio: of what is trained on, then of what is evaluated.

    Args:
        task: asked for evaluated splits by its method `split_size(split) -> (utterances, seconds)`; without
            one, they are left out.
        training: the split that `loader` is of.
    """
    ask, found = getattr(task, "split_size", None), []
    if hasattr(loader.dataset, "__len__"):
        unit = "items" if ask is None else "utterances"
        seconds = getattr(loader.dataset, "seconds", None) if ask is not None else None
        found.append(Size(training, len(loader.dataset), unit, seconds))
    if ask is not None:
        with isolated_randomness(0):
            found += [Size(split, count, "utterances", s) for split in evaluated for count, s in [ask(split)]]
    return found


def describe(upstream: str, featurizer: Featurizer, found: Iterable[Size]) -> list[str]:
    """One line on the upstream's output and one on the splits."""
    layers, stride = featurizer.layer_count, 1000 * featurizer.downsample_rate / SAMPLE_RATE
    lines = [
        f"[Upstream] {upstream}: {layers} layer{'s' if layers != 1 else ''} of {featurizer.output_dim} "
        f"dimensions, a frame every {stride:g} ms"
    ]
    if splits := ", ".join(map(_size, found)):
        lines.append(f"[Data] {splits}")
    return lines


def _size(size: Size) -> str:
    return f"{size.split}: {size.count} {size.unit}" + (f" ({audio(size.seconds)})" if size.seconds else "")


def audio(seconds: float) -> str:
    """`100.6 h` or, of a small corpus, `3.2 min` or `25 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def test_split(task: Any, evaluated: Iterable[str]) -> str | None:
    """The first test set among the evaluated splits and the task's own (`splits`), if it has any."""
    own = getattr(task, "splits", ())
    names = [*evaluated, *(own if isinstance(own, (dict, list, tuple)) else ())]
    return next((name for name in names if isinstance(name, str) and name.startswith("test")), None)
