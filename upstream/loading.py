"""From the file of a checkpoint to its content, with errors that name the file."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.weights import listed

from .families import NAMES, refuse_others

# Classes that published files mention: HuBERT's cluster names, the learning-rate schedule of TERA in 2020.
STAND_INS = ("fairseq.data.dictionary.Dictionary", "optimizers.WarmupLinearSchedule")
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


def read(ckpt: str | None, family: str, *sections: str) -> dict[str, Any]:
    """The content of a checkpoint file.

    Args:
        ckpt: its path, from the working folder or from the repository.
        family: of the model that is built from it, as the prefix of its entries.
        sections: nested keys that must hold a mapping, such as `config.model.paras`.

    Raises:
        UserError: no path, no such file, or not a checkpoint of this family.
    """
    path = find_path(need_checkpoint(ckpt, f"{family}_local"))
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, and {family}_local reads a file. A folder of the transformers library is "
            f"loaded by -u hf -k {path}."
        )
    state = safe_load.load(path, stand_ins=STAND_INS, advice=UNREADABLE)
    refuse_others(state, path, family)
    for section in sections:
        found: Any = state
        for key in section.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise UserError(
                f"{path} is not a checkpoint of {NAMES.get(family, family)}: it has no `{section}`. "
                f"Its keys: {listed(state)}."
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
