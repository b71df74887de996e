"""Building a mini corpus once: all or nothing, the same files whatever the number of processes."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from s3prl.utility.cpus import cpu_count
from s3prl.utility.errors import UserError
from s3prl.utility.locks import exclusive
from s3prl.utility.progress import Progress

MANIFEST = "mini.json"

Job = TypeVar("Job")
Result = TypeVar("Result")


def build_once(
    folder: Path, settings: dict[str, Any], make: Callable[[Path], dict[str, Any]], force: bool = False
) -> tuple[dict[str, Any], bool]:
    """Fill `folder` by `make`, unless it holds a finished corpus of the same settings.

    The corpus is made in a hidden folder beside it and renamed when it is finished, so that an interrupted
    run leaves nothing that looks like a corpus; several processes that start together make it once.

    Args:
        folder: of the corpus.
        settings: all that decides its content, the recipe's `version` among it; plain values.
        make: fills the empty folder it is given and returns a summary of plain values.
        force: replace a mini corpus of other settings.

    Returns:
        The summary, and whether the corpus was made just now.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.parent / f".{folder.name}.lock"
        with exclusive(lock, f"makes {folder}") as ending:
            found = _finished(folder, settings, force)
            if found is not None:
                return found, False
            partial = folder.parent / f".{folder.name}.partial{ending}"
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was interrupted
            partial.mkdir()
            try:
                contents = make(partial)
                manifest = {"settings": settings, "contents": contents}
                (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
                _replace(folder, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return contents, True
    except OSError as error:
        raise UserError(
            f"The mini corpus cannot be written to {folder} ({error}). Choose another place with --output."
        ) from error


def _finished(folder: Path, settings: dict[str, Any], force: bool) -> dict[str, Any] | None:
    """The summary of the corpus in `folder`; None when it has to be made."""
    if not folder.exists():
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        made_with, contents = manifest["settings"], manifest["contents"]
    except (OSError, ValueError, KeyError, TypeError):
        if folder.is_dir() and not any(folder.iterdir()):
            return None
        raise UserError(
            f"{folder} is there already and is no mini corpus. It is left as it is: "
            "choose another place with --output, or move it away."
        ) from None
    if force or _of_older_version(made_with, settings):
        return None
    if made_with != settings:
        keys = sorted(set(settings) | set(made_with))
        other = ", ".join(
            f"{key} {made_with.get(key)} instead of {settings.get(key)}"
            for key in keys
            if made_with.get(key) != settings.get(key)
        )
        raise UserError(
            f"{folder} holds a mini corpus made with other settings ({other}). "
            "Use it as it is, replace it with --force, or choose another place with --output."
        )
    return contents


def _of_older_version(made_with: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether an earlier version of the recipe has made the same corpus, which can be made anew unasked."""
    same = {**made_with, "version": None} == {**settings, "version": None}
    return same and made_with.get("version", 0) < settings["version"]


def _replace(folder: Path, finished: Path) -> None:
    """Put the finished corpus in its place."""
    if not folder.exists():
        finished.rename(folder)
        return
    old = folder.parent / f".{folder.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    finished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def each(
    work: Callable[[Job], Result], jobs: Iterable[Job], n_jobs: int, title: str, unit: str = "chapters"
) -> Iterator[Result]:
    """Do every job in `n_jobs` processes (-1: one per CPU); results come in the order of the jobs."""
    jobs = list(jobs)
    workers = min(len(jobs), cpu_count() if n_jobs < 1 else n_jobs)
    with Progress(len(jobs), title, unit) as progress:
        if workers <= 1:
            for job in jobs:
                yield work(job)
                progress.update()
            return
        # A fork would copy whatever threads and locks the caller has; a fresh process has none.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            try:
                for result in pool.map(work, jobs):
                    yield result
                    progress.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
