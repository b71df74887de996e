"""Lengths of recordings as they are heard, such as without their silence: all are read, once for all runs.

Tables of lengths (lengths.py) come from headers, in seconds. These take minutes for a large corpus: processes
divide the work, and what they have found is kept in the user's cache, also when they are interrupted.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from s3prl.utility.audio import AudioError
from s3prl.utility.cpus import cpu_count
from s3prl.utility.download import hub_dir
from s3prl.utility.errors import UserError, explain
from s3prl.utility.lengths import CHECKED_ROWS, FEW_FILES, read_table, write_table
from s3prl.utility.locks import exclusive
from s3prl.utility.progress import followed
from s3prl.utility.recordings import Recording, read

KEPT_EVERY = 5000  # recordings
AT_A_TIME = 32  # recordings, by one process
NOT_KEPT = "until then the recordings are read anew by every run"


@dataclass(frozen=True)
class Heard:
    """What some recordings are found to be."""

    lengths: dict[Recording, int]  # samples at 16 kHz; 0 where there is nothing but silence
    unreadable: dict[Recording, str]  # and why


def heard_lengths(root: Path, recordings: Sequence[Recording], title: str) -> Heard:
    """The lengths of recordings as they are heard, without a crop.

    Of those that are known some are read again, and all where the files turn out to have changed.

    Args:
        root: the folder of the corpus, by which the cache keeps what is found.
        recordings: all with the same gain and trim.
        title: of the progress bar.
    """
    how = sorted({f"{one.gain} {one.trim}" for one in recordings})
    name = sha256(f"{root.resolve()}\n{how}".encode()).hexdigest()[:16]
    table = hub_dir() / "s3prl_cache" / "heard_lengths" / f"{name}.csv"
    named = {_name(one, root): one for one in recordings}
    with ExitStack() as stack:
        try:
            table.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(table.parent / f".{table.name}.lock", f"measures {root}"))
        except OSError as error:
            print(f"warning: {explain(error, NOT_KEPT) or error}", file=sys.stderr)
            return _complete(None, named, {}, title)
        return _complete(table, named, _known(table, named), title)


def _name(recording: Recording, root: Path) -> str:
    """Of a row of the table."""
    path = Path(recording.path).absolute()
    name = path.relative_to(root.absolute()).as_posix() if path.is_relative_to(root.absolute()) else str(path)
    if recording.start is None and recording.stop is None:
        return name
    return f"{name} {recording.start} {recording.stop}"


def _known(table: Path, named: dict[str, Recording]) -> dict[str, int]:
    """The rows of the table, but none where some of the files have another length now."""
    known: dict[str, int] = {}
    with suppress(OSError, UserError):  # no table, or a damaged one
        known = read_table(table)
    both = [name for name in named if name in known]
    checked = both[:: max(1, len(both) // CHECKED_ROWS)]
    return known if all(_samples(named[name]) == known[name] for name in checked) else {}


def _complete(table: Path | None, named: dict[str, Recording], known: dict[str, int], title: str) -> Heard:
    """Read what is not known yet; the table keeps it."""
    left = [name for name in named if name not in known]
    lengths, unreadable, new = dict(known), {}, 0
    try:
        for name, found in zip(left, _measured([named[name] for name in left], title), strict=True):
            if isinstance(found, str):
                unreadable[named[name]] = found
                continue
            lengths[name], new = found, new + 1
            if new % KEPT_EVERY == 0:
                _keep(table, lengths)
    finally:
        if new:
            _keep(table, lengths)
    return Heard({one: lengths[name] for name, one in named.items() if name in lengths}, unreadable)


def _measured(recordings: Sequence[Recording], title: str) -> Iterator[int | str]:
    """The length of each, or why it cannot be read, in their order."""
    total, workers = len(recordings), cpu_count()
    if workers <= 1 or total <= FEW_FILES:
        yield from followed(map(_samples, recordings), total, title, "recordings")
        return
    # A fork would copy whatever threads and locks the caller has; a fresh process has none.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            found = pool.map(_samples, recordings, chunksize=AT_A_TIME)
            yield from followed(found, total, title, "recordings")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _samples(recording: Recording) -> int | str:
    try:
        return len(read(recording))
    except AudioError as error:
        if not recording.trim:
            return str(error)
    try:
        read(replace(recording, trim=False))
    except AudioError as error:
        return str(error)
    return 0


def _keep(table: Path | None, lengths: dict[str, int]) -> None:
    if table is None:
        return
    try:
        write_table(table, lengths)
    except OSError as error:
        print(f"warning: {explain(error, NOT_KEPT) or error}", file=sys.stderr)
