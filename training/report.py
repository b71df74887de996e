"""What a run reports: TensorBoard curves, `metrics.jsonl` (a line per step and split), result files."""

import json
import math
from pathlib import Path
from typing import Any

JSONL = "metrics.jsonl"


class MetricLogger:
    """Stands in for tensorboardX's SummaryWriter in `log_records` and remembers every scalar.

    All other methods of SummaryWriter (add_audio, add_image, ...) are passed on, or do nothing when there
    is no TensorBoard (evaluation).
    """

    def __init__(self, expdir: Path | None = None, resume_step: int = 0) -> None:
        """
        Args:
            expdir: where event files and metrics.jsonl go; None keeps scalars in memory only.
            resume_step: TensorBoard hides events of a killed run from this step on.
        """
        self._expdir = expdir
        self._writer = None
        self._scalars: dict[str, float] = {}
        if expdir is not None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(expdir), purge_step=resume_step + 1 if resume_step else None)

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, **kwargs: Any) -> None:
        """Record one scalar, such as `asr/dev-clean-wer`."""
        self._scalars[tag] = float(scalar_value)
        if self._writer is not None:
            self._writer.add_scalar(tag, float(scalar_value), global_step=global_step, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._writer, name) if self._writer is not None else _do_nothing

    def take(self, split: str) -> dict[str, float]:
        """The scalars recorded since the last call, by short name: `asr/dev-clean-wer` is `wer`."""
        scalars, self._scalars = self._scalars, {}
        return {short_name(tag, split): value for tag, value in scalars.items()}

    def write(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Append one line to metrics.jsonl."""
        if self._expdir is not None and metrics:
            line = json.dumps({"step": step, "split": split, **_finite(metrics)})
            with (self._expdir / JSONL).open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def flush(self) -> None:
        """Hand everything written so far to the system."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()


def _do_nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for TensorBoard methods in evaluation."""


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """JSON knows neither NaN nor infinity: they become null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def short_name(tag: str, split: str) -> str:
    """`asr/dev-clean-wer` of split `dev-clean` is `wer`; a tag without the split keeps its last part."""
    last = tag.rsplit("/", 1)[-1]
    return last.removeprefix(f"{split}-").removeprefix("-") or last


def format_metrics(metrics: dict[str, float]) -> str:
    """`loss 0.1234 | wer 35.10`, for people."""
    return " | ".join(f"{name} {value:.4g}" for name, value in metrics.items())
