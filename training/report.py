"""What a run reports: TensorBoard events, metrics.jsonl (one line per step and split), log.log, curves."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from s3prl.utility.errors import first_line
from s3prl.utility.files import naming
from s3prl.utility.results import JSONL, read_run

LOG = "log.log"  # scores in the form of the public S3PRL, for utility/get_best_dev.py


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
        self._writer = self._events = None
        self._scalars: dict[str, float] = {}
        if expdir is not None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(expdir), purge_step=resume_step + 1 if resume_step else None)
            self._events = _EventFile(self._writer.file_writer.event_writer)

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, **kwargs: Any) -> None:
        """Record one scalar, such as `asr/dev-clean-wer`."""
        self._scalars[tag] = float(scalar_value)
        if self._writer is not None:
            self._events.check()
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
            path = self._expdir / JSONL
            with naming(path), path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def add_line(self, line: str) -> None:
        """Append a line to log.log, whose form the task decides."""
        if self._expdir is not None:
            path = self._expdir / LOG
            with naming(path), path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    @property
    def shows_images(self) -> bool:
        """Whether `add_image` leads anywhere, so that a picture is worth drawing."""
        return self._writer is not None

    def flush(self) -> None:
        """Hand everything written so far to the system; raises OSError where that failed."""
        if self._writer is not None:
            self._writer.flush()
            self._events.check()

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()


def draw_curves(expdir: Path, runs: Sequence[Path] = ()) -> list[Path]:
    """Draw `curves.png` and `curves.pdf` from metrics.jsonl, or those of several runs; returns their paths.

    A run never fails for want of a picture: a full disk, a missing Matplotlib or whatever else is told in a
    line, and the list is empty.
    """
    try:
        from s3prl.utility import curves  # only here: Matplotlib takes its time to load

        return curves.draw([read_run(run) for run in runs or [expdir]], expdir)
    except Exception as error:
        print(f"warning: {expdir}: the curves are not drawn: {first_line(error)}", file=sys.stderr)
        return []


class _EventFile:
    """The event file of a SummaryWriter, with failed writes kept for the thread that trains.

    They would end tensorboardX's own thread, after which the run waits for it without end.
    """

    def __init__(self, event_writer: Any) -> None:
        """
        Args:
            event_writer: tensorboardX's EventFileWriter, whose file this becomes.
        """
        self._file = event_writer._ev_writer
        self._path = Path(self._file._file_name)
        self._error: OSError | None = None
        event_writer._ev_writer = event_writer._worker._record_writer = self

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._error is not None:
            with naming(self._path):
                raise self._error

    def write_event(self, event: Any) -> None:
        """Write one event."""
        self._try(self._file.write_event, event)

    def flush(self) -> None:
        """Hand the events to the system."""
        self._try(self._file.flush)

    def close(self) -> None:
        """Close the file."""
        self._try(self._file.close)

    def _try(self, do: Callable[..., object], *arguments: Any) -> None:
        if self._error is None:
            try:
                do(*arguments)
            except OSError as error:
                self._error = error


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
