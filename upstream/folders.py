"""Upstreams of the user's, from folders that lie anywhere (`-u PATH`)."""

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from zlib import crc32

from s3prl.utility.errors import UserError
from s3prl.utility.plugins import mount


def entry_of_folder(path: str) -> Callable[..., object]:
    """The function that builds the upstream in a folder.

    Args:
        path: of a folder with a hubconf.py or an expert.py (class UpstreamExpert). `FOLDER:ENTRY` chooses one
            of several functions of the hubconf.py; else it is the one named like the folder, or the only one.

    Raises:
        UserError: no such folder or entry, or one that cannot be imported.
    """
    place, _, wanted = path.partition(":")
    folder = Path(place).expanduser().resolve()
    if not folder.is_dir():
        advice = "If it was moved after a training, say where it is now: -o \"args.upstream='NEW_FOLDER'\"."
        if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path):
            advice = f"A model of the Hugging Face hub is -u hf -k {path}."
        raise UserError(f"-u {path}: there is no folder {folder}. {advice}")
    hubconf, expert = folder / "hubconf.py", folder / "expert.py"
    if not hubconf.is_file() and not expert.is_file():
        features = (
            f" A folder of features is -u ready_features -k {path}." if any(folder.glob("*.csv")) else ""
        )
        raise UserError(
            f"-u {path}: the folder has no expert.py and no hubconf.py, so it is not an upstream.{features}"
        )
    package = f"s3prl.upstream.{folder.name}_{crc32(str(folder).encode()):08x}"  # its name may exist there
    try:
        mount(package, folder)
        module = importlib.import_module(f"{package}.{'hubconf' if hubconf.is_file() else 'expert'}")
    except ImportError as error:
        raise UserError(
            f"-u {path} cannot be imported: {error}. Install the missing package or mend the folder's files."
        ) from error
    return _chosen(module, hubconf, wanted or None) if hubconf.is_file() else _class(module, expert)


def _chosen(module: ModuleType, hubconf: Path, wanted: str | None) -> Callable[..., object]:
    entries = {
        name: value for name, value in vars(module).items() if not name.startswith("_") and is_entry(value)
    }
    name = wanted or hubconf.parent.name
    if wanted is None and name not in entries and len(entries) == 1:
        (name,) = entries
    if name not in entries:
        raise UserError(
            f"{hubconf} has no function '{name}'. Say which one to use, {hubconf.parent}:NAME. It has: "
            f"{', '.join(entries) or 'none'}."
        )
    return entries[name]


def _class(module: ModuleType, expert: Path) -> Callable[..., object]:
    if not hasattr(module, "UpstreamExpert"):
        raise UserError(f"{expert} has no class UpstreamExpert.")
    return module.UpstreamExpert


def is_entry(value: object) -> bool:
    """Whether a global of a hubconf is an entry point, not a helper or class imported from elsewhere."""
    if isinstance(value, functools.partial):
        return True
    home = getattr(value, "__module__", "") or ""
    return callable(value) and not isinstance(value, type) and home.endswith(".hubconf")
