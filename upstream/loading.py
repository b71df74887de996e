"""From the file of a checkpoint to its content, with errors that name the file."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.weights import listed

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


def shape_of(weights: Mapping[str, Tensor], name: str, path: str) -> tuple[int, ...]:
    """The shape of one weight, for models whose checkpoint states no sizes.

    Raises:
        UserError: the file does not have this weight.
    """
    if name not in weights:
        raise UserError(f"{path} lacks the weight {name}. It has: {listed(weights)}.")
    return tuple(weights[name].shape)
