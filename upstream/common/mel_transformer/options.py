"""How a pre-trained transformer is to be used: the fields of an options_config file."""

from dataclasses import dataclass, fields
from typing import Any

from s3prl.utility.config import check_fields, load_yaml
from s3prl.utility.errors import UserError

from ...loading import truth


@dataclass(frozen=True)
class Options:
    """Fields of the file, with their defaults; there, every value may be written as text."""

    load_pretrain: bool = True  # False: the same model with random weights
    no_grad: bool = False  # keep the model out of training
    dropout: float | None = None  # of all layers, instead of the checkpoint's (`default`)
    spec_aug: bool = False  # SpecAugment in training
    spec_aug_prev: bool = True  # on the features, not on the last hidden state
    output_hidden_states: bool = True  # False: the last one only


def read_options(path: str | None) -> Options:
    """The options of a YAML file; the defaults without a file.

    Raises:
        UserError: no such file, an unknown field, or a value that cannot be read.
    """
    if path is None:
        return Options()
    given = load_yaml(path)
    valid = [field.name for field in fields(Options)]
    check_fields(given, [*valid, "permute_input"], path)
    if truth(given.pop("permute_input", False), f"{path}: permute_input"):
        raise UserError(
            f"{path}: permute_input must be False. It was for features given as [frames, batch, dim]; "
            "an upstream is given waves."
        )
    return Options(**{name: _value(name, value, path) for name, value in given.items()})


def _value(name: str, value: Any, path: str) -> bool | float | None:
    if name != "dropout":
        return truth(value, f"{path}: {name}")
    if value == "default":
        return None
    try:
        dropout = float(value)
    except (TypeError, ValueError):
        dropout = -1.0
    if not 0.0 <= dropout < 1.0:
        raise UserError(f"{path}: dropout must be `default` or a number from 0 to below 1, not {value!r}.")
    return dropout
