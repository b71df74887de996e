"""The settings in a checkpoint: arguments of the command line, and configs."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from s3prl.utility import safe_load
from s3prl.utility.commands import command_line
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.weights import listed

# First word of a field, and name of a YAML file -> key of the checkpoint.
SECTIONS = {"args": "Args", "config": "Config", "upstream_config": "Upstream_Config"}


def read(path: Path, trust: bool = False) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The content of a checkpoint, and its settings by the names in SECTIONS, as far as it has them.

    Args:
        trust: also run the code of a full pickle.

    Raises:
        UserError: the file cannot be read, or holds no settings.
    """
    convert = f"`{command_line('convert')} {path}`"
    advice = f"Convert it with {convert}, or, if you trust its source, add --trust_checkpoint."
    state = safe_load.load(path, trust, advice=advice)
    settings = {}
    for name in SECTIONS:
        found = state.get(key_of(state, name))
        found = vars(found) if isinstance(found, argparse.Namespace) else found
        if isinstance(found, Mapping):
            settings[name] = dict(found)
    if not settings:
        raise UserError(
            f"{path} holds no settings: none of {', '.join(SECTIONS.values())}, but {listed(state)}."
        )
    return state, settings


def key_of(state: Mapping[str, Any], name: str) -> str:
    """The key of a section in a checkpoint: published APC, NPC and CPC have `config` instead of `Config`."""
    return name if SECTIONS[name] not in state and name in state else SECTIONS[name]


def field(settings: Mapping[str, Any], name: str, where: str) -> Any:
    """The value of a dotted field such as `config.runner.total_steps`.

    Args:
        where: how to name the settings in an error.

    Raises:
        UserError: there is no such field; names the nearest and all that are there.
    """
    found: Any = settings
    parts = name.split(".")
    for depth, part in enumerate(parts):
        names = {str(key): key for key in found} if isinstance(found, Mapping) else {}
        if part not in names:
            above = ".".join(parts[:depth])
            kind = "is empty" if isinstance(found, Mapping) else "is a value, not a section"
            has = f"It has: {', '.join(names)}." if names else f"{above} {kind}."
            raise UserError(f"{where} has no field '{name}'.{nearest(part, names)} {has}")
        found = found[names[part]]
    return found


def as_yaml(value: Any) -> str:
    """A section as YAML; tuples are lists there.

    Raises:
        UserError: it holds an object that YAML has no words for.
    """
    try:
        return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True)
    except yaml.representer.RepresenterError as error:
        raise UserError(
            f"The settings hold a {type(error.args[-1]).__name__}, which YAML cannot express. Convert the "
            f"checkpoint first: `{command_line('convert')} CKPT`."
        ) from error


def write_yaml(path: Path, value: Any) -> None:
    """Write a section as a YAML file, atomically; raises a UserError for a file with other content."""
    content = as_yaml(value).encode("utf-8")
    if path.exists() and path.read_bytes() != content:
        raise UserError(f"{path} is there already, with other content. Choose another folder, or remove it.")
    write_atomically(path, lambda file: file.write(content))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
