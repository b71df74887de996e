"""Every upstream by name: the entry functions of all `upstream/*/hubconf.py`, found by looking.

A task may make models too: `downstream/*/hubconf.py` is read in the same way. No task is known by name here.
"""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.plugins import is_path

from .folders import entry_of_folder, is_entry
from .guard import guarded

UPSTREAM_FOLDER = Path(__file__).resolve().parent
ROOMS = ("upstream", "downstream")
WITH_CHECKPOINT = ("_local", "_url", "_gdriveid", "_custom", "_posteriorgram", "ready_features")


@functools.lru_cache(maxsize=1)
def scan() -> tuple[dict[str, Callable], dict[str, Exception]]:
    """All entries by name, and the import error of every folder (`upstream/NAME`) that could not be read."""
    entries, failures = {}, {}
    files = [file for room in ROOMS for file in sorted(UPSTREAM_FOLDER.parent.glob(f"{room}/*/hubconf.py"))]
    for hubconf in files:
        folder, room = hubconf.parent.name, hubconf.parent.parent.name
        try:
            module = importlib.import_module(f"s3prl.{room}.{folder}.hubconf")
        except Exception as error:  # whatever a plug-in raises must not take the others down
            failures[f"{room}/{folder}"] = error
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and is_entry(value):
                entries[name] = guarded(value, folder, name)
    return entries, failures


def options(only_registered_ckpt: bool = False) -> list[str]:
    """Names of all upstreams.

    Args:
        only_registered_ckpt: leave out entries that need a checkpoint from the user (`*_local`, `hf`, ...).
    """
    names = sorted(scan()[0])
    if not only_registered_ckpt:
        return names
    return [name for name in names if not name.endswith(WITH_CHECKPOINT) and name not in ("hf", "m2d")]


def failures() -> dict[str, str]:
    """Folders (`upstream/NAME`) whose entries could not be imported, with the reason."""
    return {folder: f"{type(error).__name__}: {error}" for folder, error in scan()[1].items()}


def get(name: str) -> Callable:
    """The entry function of an upstream: of a name, or of a folder of the user's (see `entry_of_folder`).

    Raises:
        UserError: no such upstream, or its folder cannot be imported (the message says why).
    """
    if is_path(name):
        return entry_of_folder(name)
    entries, failed = scan()
    if name in entries:
        return entries[name]
    suspects = [folder for folder in failed if f"{name}_".startswith(f"{folder.partition('/')[2]}_")]
    if suspects:
        folder = max(suspects, key=len)
        raise UserError(
            f"The upstream '{name}' ({folder}) cannot be used: {failures()[folder]}. "
            f"{_advice(failed[folder])}"
        )
    broken = f" Not importable: {', '.join(sorted(failed))}." if failed else ""
    raise UserError(
        f"There is no upstream '{name}'.{nearest(name, entries)} `{command_line('list')}` prints all "
        f"{len(entries)} names.{broken}"
    )


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("s3prl"):
        return f"Install the missing package, for example `pip install {error.name.split('.')[0]}`."
    return "Mend the folder's hubconf.py or expert.py."
