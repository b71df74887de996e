"""What the files of a folder depend on, kept beside them, so that other files are never mixed in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl.utility.errors import UserError
from s3prl.utility.files import write_json

SETTINGS = "settings.json"
ADDED = ("shift",)  # fields that users write: nothing in the folder was made by them


def keep_settings(folder: Path, settings: dict[str, Any], option: str) -> None:
    """Write the settings of a folder, or check that it has been made with the same ones.

    Args:
        settings: plain values, as JSON has them.
        option: of the command line that names the folder, for the message.

    Raises:
        UserError: the folder holds files of other settings, or its own cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Remove that folder, or choose another {option}."
        ) from error
    names = sorted((before.keys() | settings.keys()).difference(ADDED))
    changed = [name for name in names if before.get(name) != settings.get(name)]
    if changed:
        details = "; ".join(f"{name}: {before.get(name)} there, {settings.get(name)} now" for name in changed)
        raise UserError(
            f"{folder} holds features of other settings ({details}). Choose another {option}, or remove that "
            "folder."
        )


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a folder; nothing where there are none.

    Raises:
        UserError: they cannot be read.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}). Mend or remove it.") from error
    if not isinstance(settings, dict):
        raise UserError(f'{path} must hold fields, such as {{"shift": 160}}. Mend or remove it.')
    return settings


def front_of(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config of the front end that features were made with; None where their settings have none."""
    if not {"kaldi", "input"} & settings.keys():
        return None
    return {name: value for name, value in settings.items() if name not in ("made_by", *ADDED)}
