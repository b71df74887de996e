"""From the file of a checkpoint to its settings and weights, with errors that name the file."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from torch import Tensor

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.weights import listed

Settings = TypeVar("Settings")
TRUTHS = {"true": True, "false": False}
CONVERTED = (int, float, str, tuple)  # other types are taken as they are
UNREADABLE = "Models are never read so: save its weights and settings anew, as tensors and plain values."


def need_checkpoint(ckpt: str | None, name: str) -> str:
    """The path given, or a UserError that says how to give one.

    Args:
        name: of the entry or model that needs it.
    """
    if not ckpt:
        raise UserError(
            f"{name} needs a checkpoint: -k FILE on the command line, ckpt=FILE in Python. "
            "Names without `_local` download the published one."
        )
    return str(ckpt)


def read(ckpt: str | None, name: str, *sections: str, stand_ins: Iterable[str] = ()) -> dict[str, Any]:
    """The content of a checkpoint file.

    Args:
        ckpt: its path, from the working folder or from the repository.
        name: of the entry or model, for errors.
        sections: nested keys that must hold a mapping, such as `config.model.paras`.
        stand_ins: see `s3prl.utility.safe_load.load`.

    Raises:
        UserError: no path, no such file, or not a checkpoint of this model.
    """
    path = find_path(need_checkpoint(ckpt, name))
    state = safe_load.load(path, stand_ins=stand_ins, advice=UNREADABLE)
    for section in sections:
        found: Any = state
        for key in section.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise UserError(
                f"{path} is not a checkpoint of {name}: it has no `{section}`. Its keys: {listed(state)}."
            )
    return state


def settings_from(kind: type[Settings], block: Mapping[str, Any], where: str) -> Settings:
    """An instance of the dataclass `kind` from a block of a configuration.

    Numbers and truth values may be written as text, as older files have them. Fields that `kind` does not
    know are passed over: the same block also holds what only the pre-training used.

    Args:
        where: how to name the block in an error.

    Raises:
        UserError: a field is missing, or its value is not of its type or refused by `kind`.
    """
    values = {}
    for field in fields(kind):
        if field.name in block:
            values[field.name] = _converted(block[field.name], field.type, f"{where}.{field.name}")
        elif field.default is MISSING:
            raise UserError(f"{where} has no field '{field.name}', which the model cannot do without.")
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def truth(value: Any, where: str) -> bool:
    """True or False, also as the text of one.

    Raises:
        UserError: it is neither.
    """
    known = TRUTHS.get(str(value).lower())
    if known is None:
        raise UserError(f"{where} must be True or False, but is {value!r}.")
    return known


def _converted(value: Any, kind: Any, where: str) -> Any:
    if kind is bool:
        return truth(value, where)
    if kind not in CONVERTED:
        return value
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise UserError(f"{where} must be of type {kind.__name__}, but is {value!r}.") from None


def shape_of(weights: Mapping[str, Tensor], name: str, path: str) -> tuple[int, ...]:
    """The shape of one weight, for models whose checkpoint states no sizes.

    Raises:
        UserError: the file does not have this weight.
    """
    if name not in weights:
        raise UserError(f"{path} lacks the weight {name}. It has: {listed(weights)}.")
    return tuple(weights[name].shape)
