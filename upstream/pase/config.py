"""The JSON file that describes a PASE front end, with the fields of the public PASE."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from s3prl.utility.config import check_fields
from s3prl.utility.errors import UserError

from ..features.options import check_type, require

PER_BLOCK = ("kwidths", "strides", "fmaps")
ONLY = {  # fields of the public PASE whose one value that a PASE+ has is supported
    "num_inputs": (1,),
    "sincnet": (True,),
    "norm_type": ("bnorm",),
    "pad_mode": ("reflect",),
    "sr": (16000,),
    "activation": (None, "prelu"),
    "rnn_type": ("qrnn",),
    "vq_K": (None, 0),
    "tanh_out": (False,),
    "resblocks": (False,),
    "densemerge": ("sum",),
}
WITHOUT_EFFECT = ("name", "vq_beta", "vq_gamma")


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Sizes of a PASE front end; the first three have one number per convolution block."""

    kwidths: tuple[int, ...]  # samples or frames of the kernel
    strides: tuple[int, ...]
    fmaps: tuple[int, ...]  # output channels
    emb_dim: int = 256
    rnn_pool: bool = False  # whether a QRNN follows the blocks
    rnn_dim: int = 0  # 0: emb_dim
    rnn_layers: int = 1
    rnn_dropout: float = 0.0  # between the layers, in training
    denseskips: bool = False
    norm_out: bool = False


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
    sizes = {field.name: field.default for field in fields(FrontEndConfig)}
    check_fields(given, (*sizes, *ONLY, *WITHOUT_EFFECT, "dilations"), str(path))
    for name, allowed in ONLY.items():
        require(
            given.get(name, allowed[0]) in allowed,
            f"{path}: {name} {given.get(name)!r} is not supported: it must be {allowed[0]!r}.",
        )
    _check_blocks(given, str(path))
    values = {name: given[name] for name in sizes if given.get(name) is not None}
    for name in values.keys() - PER_BLOCK:
        check_type(values[name], sizes[name], f"{path}: {name}")
    for name in ("emb_dim", "rnn_layers", "rnn_dim"):
        require(values.get(name, 1) >= 1, f"{path}: {name} must be at least 1.")
    return FrontEndConfig(**{**values, **{name: tuple(values[name]) for name in PER_BLOCK}})


def _check_blocks(given: dict[str, Any], where: str) -> None:
    """Refuse block sizes that are missing, not positive integers, or not equally many."""
    for name in PER_BLOCK:
        value = given.get(name)
        require(
            isinstance(value, list) and value and all(type(one) is int and one >= 1 for one in value),
            f"{where}: {name} must be a list of positive integers, one per block, but is {value!r}.",
        )
    counts = {name: len(given[name]) for name in PER_BLOCK}
    require(
        len(set(counts.values())) == 1,
        f"{where}: {', '.join(PER_BLOCK)} must have one number per block, but have {counts}.",
    )
    require(given["kwidths"][0] % 2 == 1, f"{where}: the first of kwidths must be odd (SincNet).")
    undilated = [1] * len(given["strides"])
    require(given.get("dilations", undilated) == undilated, f"{where}: dilations other than 1 do not work.")
