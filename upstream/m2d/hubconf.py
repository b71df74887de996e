"""Names of M2D."""

import functools
from collections.abc import Callable
from typing import Any

from ..entries import checkpoint_entries


def m2d_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """M2D from `ckpt`, a file of the M2D repository; `norm_mean` and `norm_std` of the task's log-mel."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


def m2d(ckpt: str | None = None, **kwargs: Any) -> Any:
    """M2D from `ckpt`, FILE,MEAN,STD: a checkpoint and what `m2d_calcnorm` printed for the task."""
    return m2d_local(ckpt=ckpt, **kwargs)


def m2d_calcnorm(ckpt: str | None = None, **kwargs: Any) -> Any:
    """Measure the statistics that `m2d` needs on a task's training batches, and print them; no training."""
    from .calcnorm import StatisticsExpert

    return StatisticsExpert(ckpt=ckpt, **kwargs)


def _with_statistics(entry: Callable[..., Any]) -> Callable[..., Any]:
    """The entry of a remote file, taking ADDRESS,MEAN,STD as `m2d` takes FILE,MEAN,STD."""

    @functools.wraps(entry)
    def split(ckpt: str | None = None, **kwargs: Any) -> Any:
        from .loading import parse_ckpt

        address, statistics = parse_ckpt(ckpt)
        if statistics is not None:
            kwargs = {"norm_mean": statistics.mean, "norm_std": statistics.std, **kwargs}
        return entry(ckpt=address, **kwargs)

    return split


_remote = checkpoint_entries("m2d", m2d_local)
for _name in ("m2d_url", "m2d_custom", "m2d_gdriveid"):
    _remote[_name] = _with_statistics(_remote[_name])
globals().update(_remote)
