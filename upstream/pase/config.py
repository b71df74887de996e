"""The JSON file that describes a PASE front end, with the fields of the public PASE."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, at_least, typed

from ..features.options import require

Positive = Annotated[int, at_least(1)]
PerBlock = Annotated[tuple[Positive, ...], Bound(len, "a list with one number per block")]
PER_BLOCK = ("kwidths", "strides", "fmaps")
# null stands for the default
MAY_BE_NULL = ("emb_dim", "rnn_pool", "rnn_layers", "rnn_dropout", "denseskips", "norm_out")


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Fields of the public PASE; the first three have one number per convolution block."""

    kwidths: PerBlock  # samples or frames of the kernel
    strides: PerBlock
    fmaps: PerBlock  # output channels
    emb_dim: Positive = 256
    rnn_pool: bool = False  # whether a QRNN follows the blocks
    rnn_dim: Positive | None = None  # None: emb_dim
    rnn_layers: Positive = 1
    rnn_dropout: float = 0.0  # between the layers, in training
    denseskips: bool = False
    norm_out: bool = False
    # fields whose one value that a PASE+ has is supported
    num_inputs: Literal[1] = 1
    sincnet: Literal[True] = True
    norm_type: Literal["bnorm"] = "bnorm"
    pad_mode: Literal["reflect"] = "reflect"
    sr: Literal[16000] = 16000
    activation: Literal["prelu"] | None = None
    rnn_type: Literal["qrnn"] = "qrnn"
    vq_K: Literal[0] | None = None
    tanh_out: Literal[False] = False
    resblocks: Literal[False] = False
    densemerge: Literal["sum"] = "sum"
    dilations: tuple[Literal[1], ...] | None = None
    # fields without effect here
    name: Any = None
    vq_beta: Any = None
    vq_gamma: Any = None

    def __post_init__(self) -> None:
        """Refuse blocks that do not fit together.

        Raises:
            UserError: not one number for each block in every list, or an even first kernel.
        """
        counts = {name: len(getattr(self, name)) for name in PER_BLOCK}
        if self.dilations is not None:
            counts["dilations"] = len(self.dilations)
        require(
            len(set(counts.values())) == 1,
            f"{', '.join(counts)} must have one number per block, but have {counts}.",
        )
        require(self.kwidths[0] % 2 == 1, "the first of kwidths must be odd (SincNet).")


def read_config(path: str | Path) -> FrontEndConfig:
    """The configuration in a JSON file such as pase_plus.cfg.

    Raises:
        UserError: no such file, no JSON, an unknown field, or a value that cannot work.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"There is no config file {path}. A PASE front end is described in JSON (-g FILE).")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    require(isinstance(given, dict), f"{path} must hold a JSON object, but holds {type(given).__name__}.")
    unset = [name for name in MAY_BE_NULL if name in given and given[name] is None]
    return typed(FrontEndConfig, {name: given[name] for name in given if name not in unset}, f"{path}:")
