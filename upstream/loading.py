"""From the file of a checkpoint to typed settings and loaded weights, with errors that name the file."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from torch import Tensor, nn

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

Settings = TypeVar("Settings")
TRUTHS = {"true": True, "false": False}
CONVERTED = (int, float, str, tuple)  # other types are taken as they are
UNREADABLE = "Models are never read so: save its weights and settings anew, as tensors and plain values."
NAMED = 5  # names that an error lists before it counts the rest


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


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Any],
    where: str,
    ignore_unknown: bool = False,
    assign: bool = False,
) -> None:
    """Load a state dict whose names and shapes must be exactly those of `model`.

    Args:
        where: how to name the origin of the weights in an error.
        ignore_unknown: pass over weights that the model does not have.
        assign: make the tensors those of the model, which may still be on the meta device.

    Raises:
        UserError: names the weights that are missing, unknown, or of another shape.
    """
    own = model.state_dict()
    faults = {
        "lacks": [name for name in own if name not in weights],
        "has unknown": [name for name in weights if name not in own and not ignore_unknown],
        "has another shape of": [
            f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
            for name, value in own.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }
    told = [f"it {fault} {listed(names)}" for fault, names in faults.items() if names]
    if told:
        raise UserError(
            f"The weights in {where} do not fit the {type(model).__name__} that its configuration describes: "
            f"{'; '.join(told)}. The file belongs to another model, or was changed."
        )
    model.load_state_dict({name: weights[name] for name in own}, assign=assign)


def shape_of(weights: Mapping[str, Tensor], name: str, path: str) -> tuple[int, ...]:
    """The shape of one weight, for models whose checkpoint states no sizes.

    Raises:
        UserError: the file does not have this weight.
    """
    if name not in weights:
        raise UserError(f"{path} lacks the weight {name}. It has: {listed(weights)}.")
    return tuple(weights[name].shape)


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(map(str, names))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
