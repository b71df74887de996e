"""How a pre-trained transformer is to be used: the fields of an options_config file."""

from dataclasses import dataclass
from typing import Annotated, Literal

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, typed

Dropout = Annotated[float, Bound(lambda rate: 0.0 <= rate < 1.0, "`default` or from 0 to below 1")]


@dataclass(frozen=True)
class Options:
    """Fields of the file, with their defaults; there, every value may be written as text."""

    load_pretrain: bool = True  # False: the same model with random weights
    no_grad: bool = False  # keep the model out of training
    dropout: Dropout | Literal["default"] = "default"  # of all layers; default: that of the checkpoint
    spec_aug: bool = False  # SpecAugment in training
    spec_aug_prev: bool = True  # on the features, not on the last hidden state
    output_hidden_states: bool = True  # False: the last one only
    permute_input: bool = False  # no longer possible

    def __post_init__(self) -> None:
        """Refuse an input of another shape.

        Raises:
            UserError: it was asked for.
        """
        if self.permute_input:
            raise UserError(
                "permute_input must be False. It was for features given as [frames, batch, dim]; "
                "an upstream is given waves."
            )


def read_options(path: str | None) -> Options:
    """The options of a YAML file; the defaults without a file.

    Raises:
        UserError: no such file, an unknown field, or a value that cannot be read.
    """
    return Options() if path is None else typed(Options, load_yaml(path), f"{path}:")
