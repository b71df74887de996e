"""Upstreams for the tools: by name, or from a folder that lies anywhere."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from torch import nn

from s3prl.utility.errors import UserError

from .. import registry
from ..build import build_upstream


def build(
    name: str,
    ckpt: str | None = None,
    model_config: str | None = None,
    device: str = "cpu",
    **options: Any,
) -> nn.Module:
    """An upstream in evaluation mode on `device`.

    Args:
        name: an entry of the registry, or the path of a folder with an expert.py; `FOLDER:ENTRY` chooses one
            of several entries of its hubconf.py.
        ckpt: as `-k`.
        model_config: as `-g`.
        options: see `build_upstream`.

    Raises:
        UserError: no such upstream, one that cannot be imported, or what its own entry says.
    """
    upstream = build_upstream(name, ckpt, model_config, entry=find_entry(name), **options)
    return upstream.to(device).eval()


def find_entry(name: str) -> Callable[..., object]:
    """The function that builds the upstream `name` (see `build`)."""
    path, _, entry = name.partition(":")
    if "/" not in path and path != ".":
        return registry.get(name)
    folder = Path(path).expanduser().resolve()
    if not (folder / "expert.py").is_file():
        raise UserError(f"{path} has no expert.py, so it is not the folder of an upstream.")
    try:
        return _entry_of(folder, entry)
    except ImportError as error:
        raise UserError(f"{path} cannot be imported: {error}. Install the missing package.") from error


def _entry_of(folder: Path, entry: str) -> Callable[..., object]:
    """The folder stands in for one inside upstream/, so that its relative imports work."""
    package = f"s3prl.upstream.{folder.name}_{crc32(str(folder).encode()):08x}"  # its name may exist there
    spec = importlib.util.spec_from_loader(package, loader=None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[package] = importlib.util.module_from_spec(spec)
    if not (folder / "hubconf.py").is_file():
        return importlib.import_module(f"{package}.expert").UpstreamExpert
    entries = vars(importlib.import_module(f"{package}.hubconf"))
    found = entries.get(entry or folder.name)
    if not callable(found):
        raise UserError(
            f"{folder / 'hubconf.py'} has no function '{entry or folder.name}'. Say which one to use: "
            f"{folder}:NAME."
        )
    return found
