"""What an update of a real training costs, and where its time goes.

Both functions drive `runner.train()` itself, from loader to log, whatever the runner does for it (a cache, a
table in memory, several heads); timers are wrapped around its methods here, so that the product has none.
"""

import contextlib
import functools
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

WARM_UP = 2  # updates that are not counted
PARTS = ("reading", "encoding", "mixing", "head", "backward", "update", "logging", "rest")


def updates(runner: Any, steps: int) -> float:
    """Seconds per update, the mean of `steps` consecutive ones with the logs that are due among them.

    They are those of a new training on the weights that the runner has, without evaluation.
    """
    stamps: list[float] = []
    _train(runner, steps, lambda: stamps.append(time.perf_counter()))
    return _mean(stamps, steps)


def parts(runner: Any, steps: int) -> dict[str, float]:
    """Seconds per update by part, in the order of PARTS; their sum is what `updates` would tell.

    Reading is the loop's waiting for the loader, encoding the upstream, mixing the featurizer (and
    SpecAugment), head the task's loss, update what follows the backward pass.
    """
    watch, stamps = Stopwatch(), []

    def note() -> None:
        stamps.append(time.perf_counter())
        if len(stamps) == WARM_UP:
            watch.seconds.clear()
        if len(stamps) == WARM_UP + steps:
            watch.stop()

    with _watched(runner, watch):
        _train(runner, steps, note)
    found = {part: watch.seconds[part] / steps for part in PARTS[:-1]}
    return found | {"rest": _mean(stamps, steps) - sum(found.values())}


def table(found: dict[str, float]) -> str:
    """The result of `parts` in milliseconds and percent."""
    total = sum(found.values())
    rows = [*found.items(), ("update in all", total)]
    lines = [f"  {part:14}{1000 * seconds:12.3f}{100 * seconds / total:8.1f}" for part, seconds in rows]
    return "\n".join([f"  {'part':14}{'ms':>12}{'%':>8}", *lines])


class Stopwatch:
    """Adds up the seconds of parts; what is measured inside of another part counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]  # seconds of measured calls, by depth
        self._running = True

    def stop(self) -> None:
        """Count nothing from now on."""
        self._running = False

    @contextlib.contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """Count what is inside as a part."""
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            own = spent - self._inner.pop()
            self._inner[-1] += spent
            if self._running:
                self.seconds[part] += own

    def timed(self, part: str, function: Callable) -> Callable:
        """The same function, every call of which counts as a part."""

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.measured(part):
                return function(*arguments, **options)

        return call

    def iterated(self, part: str, function: Callable) -> Callable:
        """The same function, whose result is iterated: waiting for each item counts as a part."""

        @functools.wraps(function)
        def each(*arguments: Any, **options: Any) -> Iterator[Any]:
            with contextlib.closing(function(*arguments, **options)) as items:
                while True:
                    with self.measured(part):
                        item = next(items, None)
                    if item is None:
                        return
                    yield item

        return each


@contextlib.contextmanager
def _watched(runner: Any, watch: Stopwatch) -> Iterator[None]:
    """Inside, the parts of the runner's training are measured."""
    from torch import Tensor

    from s3prl.training import loop
    from s3prl.training.head import Head
    from s3prl.training.learner import Learner

    with contextlib.ExitStack() as stack:

        def wrap(owner: Any, name: str, part: str, how: Callable = watch.timed) -> None:
            stack.enter_context(mock.patch.object(owner, name, how(part, getattr(owner, name))))

        wrap(loop, "training_batches", "reading", watch.iterated)
        wrap(runner, "encode", "encoding")
        wrap(runner, "features", "mixing")
        wrap(runner, "loss", "head")
        wrap(Tensor, "backward", "backward")
        wrap(Head, "apply", "update")
        wrap(Learner, "log", "logging")
        yield


def _train(runner: Any, steps: int, note: Callable[[], None]) -> None:
    """A training of WARM_UP + steps updates and one more, whose log and checkpoint are not of interest.

    Args:
        note: called at the end of every update.
    """
    from s3prl.utility.progress import Progress

    told = Progress.update

    def update(bar: Progress, count: int = 1) -> None:
        told(bar, count)
        if bar.title == "train":
            note()

    before = runner.settings
    total = WARM_UP + steps + 1
    runner.settings = replace(
        before, total_steps=total, eval_dataloaders=[], save_step=total, draw_curves=False
    )
    Path(runner.expdir).mkdir(parents=True, exist_ok=True)
    try:
        with (
            mock.patch.object(Progress, "update", update),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            runner.train()
    finally:
        runner.settings = before


def _mean(stamps: list[float], steps: int) -> float:
    """Of the seconds between the updates that count."""
    counted = stamps[WARM_UP - 1 : WARM_UP + steps]
    return sum(end - start for start, end in pairwise(counted)) / steps
