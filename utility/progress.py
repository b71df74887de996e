"""How far a long pass is: a bar on a terminal, a line a minute in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

INTERVAL = 60.0  # seconds between two lines

Item = TypeVar("Item")

clock: Callable[[], float] = time.monotonic  # seconds; all progress is timed by it


def say(text: str, on_stdout: bool = True) -> None:
    """Print a line at once, above a bar if there is one."""
    stream = sys.stdout if on_stdout else sys.stderr
    tqdm.write(text, file=stream)
    stream.flush()


class Progress:
    """Shows how much of a pass is done: `dev: 120/2703 batches | 3.4 batches/s | about 13 min left`.

    A caller that logs calls `log()` where a log is due. A line is then written if the one before it is a
    minute old (or there is none), and otherwise only when neither came for a minute. Without logs there is a
    line a minute.
    """

    def __init__(
        self,
        total: int | None,
        title: str,
        unit: str,
        *,
        done: int = 0,
        shown: bool = True,
        leave: bool = True,
        scaled: bool = False,
        on_stdout: bool = False,
        line: Callable[[list[str]], str] | None = None,
    ) -> None:
        """
        Args:
            total: how much there is to do, if that is known.
            title: what is being done.
            unit: what is counted, in the plural.
            done: how much of it was done before.
            shown: False counts silently, as processes other than the first one do.
            leave: whether the bar stays when it is full.
            scaled: write 1.2M for 1200000.
            on_stdout: where lines go, if not to stderr.
            line: makes the text of a line from the pace (`["3.4 batches/s", "about 13 min left"]`).
        """
        self.total, self.title, self.unit, self.done = total, title, unit, done
        self._scaled, self._on_stdout, self._line = scaled, on_stdout, line or self._default_line
        self._first, self._started = done, clock()
        self._paused = 0.0  # seconds since the latest line
        self._marked, self._mark = self._started, done  # time and count of the latest line
        self._logged: float | None = None  # when a log was due last
        self._written = self._due = False
        self.on_terminal = shown and sys.stderr.isatty()
        self._writes = shown and not self.on_terminal
        self._bar = tqdm(
            total=total, initial=done, desc=title, unit=unit if scaled else f" {unit}", unit_scale=scaled,
            dynamic_ncols=True, leave=leave,
        ) if self.on_terminal else None  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, **values: str) -> None:
        """A log is due with the next `update`; the bar shows `values`."""
        self._due = True
        if self._bar is not None:
            self._bar.set_postfix(values)

    def update(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        if not self._writes:
            return
        now, due, self._due = clock(), self._due, False
        since = self._marked if due or self._logged is None else max(self._marked, self._logged)
        if due:
            self._logged = now
        if now - since >= INTERVAL or (due and not self._written):
            say(self._line(self._pace(now)), self._on_stdout)
            self._marked, self._mark, self._paused, self._written = now, self.done, 0.0, True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside does not count in the speed, only in the time that is left."""
        start = clock()
        try:
            yield
        finally:
            self._paused += clock() - start

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def _pace(self, now: float) -> list[str]:
        """Speed since the latest line, and the time left at the speed since the start."""
        active, parts = now - self._marked - self._paused, []
        if active > 0:
            rate = (self.done - self._mark) / active
            parts.append(f"{self._number(rate)}{self._separator}{self.unit}/s")
        if self.total is not None and self.done > self._first:
            left = (self.total - self.done) * (now - self._started) / (self.done - self._first)
            parts.append(f"about {duration(left)} left")
        return parts

    def _default_line(self, pace: list[str]) -> str:
        count = self._number(self.done)
        if self.total is not None:
            count += f"/{self._number(self.total)}"
        return " | ".join([f"{self.title}: {count}{self._separator}{self.unit}", *pace])

    def _number(self, value: float) -> str:
        if self._scaled:
            return tqdm.format_sizeof(value)
        return str(value) if isinstance(value, int) else f"{value:.3g}"

    @property
    def _separator(self) -> str:
        return "" if self._scaled else " "


def followed(
    items: Iterable[Item], total: int | None, title: str, unit: str, **options: bool
) -> Iterator[Item]:
    """The items, one after the other, while a Progress (with these options) counts them."""
    with Progress(total, title, unit, **options) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """In two units at most: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
