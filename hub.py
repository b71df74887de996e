"""Every upstream by name: the entry functions of all `upstream/*/hubconf.py`, found by looking."""

import functools
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

UPSTREAM_FOLDER = Path(__file__).resolve().parent / "upstream"
WITH_CHECKPOINT = ("_local", "_url", "_gdriveid", "_custom")
LISTING = "python -m s3prl.upstream.list"


@functools.lru_cache(maxsize=1)
def _scan() -> tuple[dict[str, Callable], dict[str, Exception]]:
    """All entries by name, and the import error of every folder that could not be read."""
    entries, failures = {}, {}
    for hubconf in sorted(UPSTREAM_FOLDER.glob("*/hubconf.py")):
        folder = hubconf.parent.name
        try:
            module = importlib.import_module(f"s3prl.upstream.{folder}.hubconf")
        except Exception as error:  # whatever a plug-in raises must not take the others down
            failures[folder] = error
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and _is_entry(value):
                entries[name] = value
    return entries, failures


def _is_entry(value: object) -> bool:
    """Whether a global of a hubconf is an entry point, not a helper or class imported from elsewhere."""
    if isinstance(value, functools.partial):
        return True
    home = getattr(value, "__module__", "") or ""
    return callable(value) and not isinstance(value, type) and home.endswith(".hubconf")


def options(only_registered_ckpt: bool = False) -> list[str]:
    """Names of all upstreams.

    Args:
        only_registered_ckpt: leave out entries that need a checkpoint from the user (`*_local`, `hf`, ...).
    """
    names = sorted(_scan()[0])
    if not only_registered_ckpt:
        return names
    return [name for name in names if not name.endswith(WITH_CHECKPOINT) and name not in ("hf", "m2d")]


def failures() -> dict[str, str]:
    """Upstream folders that could not be imported, with the reason."""
    return {folder: f"{type(error).__name__}: {error}" for folder, error in _scan()[1].items()}


def get(name: str) -> Callable:
    """The entry function of an upstream.

    Raises:
        UserError: no such upstream, or its folder cannot be imported (the message says why).
    """
    entries, failed = _scan()
    if name in entries:
        return entries[name]
    suspects = [folder for folder in failed if folder == name or name.startswith(f"{folder}_")]
    if suspects:
        folder = max(suspects, key=len)
        raise UserError(
            f"The upstream '{name}' (upstream/{folder}) cannot be used: {failures()[folder]}. "
            f"{_advice(failed[folder])}"
        )
    broken = f" Not importable: {', '.join(sorted(failed))}." if failed else ""
    raise UserError(
        f"There is no upstream '{name}'.{nearest(name, entries)} `{LISTING}` prints all {len(entries)} names."
        f"{broken}"
    )


def build(name: str, entry: Callable, ckpt: str | None, further: dict[str, Any], **options: Any) -> Any:
    """The model of an entry.

    Args:
        name: of the entry, for errors.
        ckpt: an existing path is found from the folders that `find_path` knows; else it is an address, an id,
            or what only the entry understands.
        further: options that only some models have; passed on if the entry takes them.
        options: what every entry takes.

    Raises:
        UserError: the entry returned no model; or whatever it raises itself.
    """
    from torch import nn

    if ckpt is not None and find_path(ckpt).exists():
        ckpt = str(find_path(ckpt))
    upstream = entry(ckpt=ckpt, **options, **_taken_by(entry, further))
    if not isinstance(upstream, nn.Module):
        raise UserError(f"The entry '{name}' returned {type(upstream).__name__}, not a model.")
    return upstream


def _taken_by(entry: Callable, options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options`, which only some models have, that an entry takes by name or as any keyword."""
    parameters = inspect.signature(entry).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in options.items() if takes_any or name in parameters}


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("s3prl"):
        return f"Install the missing package, for example `pip install {error.name.split('.')[0]}`."
    return "Mend the folder's hubconf.py or expert.py."


def __getattr__(name: str) -> Callable:
    """`hub.tera(...)`: entries are attributes of this module, as in the public S3PRL."""
    entries, failed = _scan()
    if name in entries:
        return entries[name]
    if name in failed:
        raise AttributeError(f"upstream/{name} cannot be imported: {failures()[name]}")
    raise AttributeError(f"s3prl.hub has no upstream '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *options()]
