"""What the tools that look into an upstream share: its options, its hidden states of a recording, log mel."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3prl.utility.device import choose_device, is_out_of_memory
from s3prl.utility.errors import UserError

from ..encoding import Encoder
from ..features.pipeline import features_from_config
from ..interfaces import HIDDEN_STATES, SAMPLE_RATE
from .models import built
from .options import add_upstream_options
from .selection import layers_of

LOG_MEL = {"n_mels": 80, "hop_ms": 10, "input": {"feat_type": "mel", "log": True}}
LOG_MEL_STRIDE = LOG_MEL["hop_ms"] * SAMPLE_RATE // 1000  # samples per frame


class Insight(NamedTuple):
    """An upstream as the tools use it."""

    # [samples] -> float32 [layers, frames, dim] on the CPU; UserError where the upstream cannot use them.
    states: Callable[[np.ndarray], Tensor]
    stride: int  # samples per frame
    layers: list[int] | None  # those of -l; None is all


def add_insight_options(parser: argparse.ArgumentParser) -> None:
    """`-u`, `-k`, `-s`, `-l`, `--input`, `--device` and the like."""
    add = parser.add_argument
    add("-u", "--upstream", required=True, metavar="NAME", help="a name or folder")
    add_upstream_options(parser)
    add(
        "-s", "--upstream_feature_selection", metavar="KEY", default=HIDDEN_STATES,
        help=f"which output has the layers (default: {HIDDEN_STATES})",
    )  # fmt: skip
    add(
        "-l",
        "--layers",
        metavar="LAYER[,LAYER]",
        help="these layers, such as 6,9 or, from the last, -l=-2,-1",
    )
    add(
        "--input",
        type=Path,
        required=True,
        metavar="PATH",
        help="a folder, an audio file, or a list of paths",
    )
    add("--device", help="cuda, cpu, ... (default: cuda if there is one, else cpu)")


def insight(options: argparse.Namespace) -> Insight:
    """Build the upstream that the command line asks for.

    Raises:
        UserError: it cannot be built, does not say its stride, or has no such layer.
    """
    layers, device = chosen_layers(options.layers), choose_device(options.device)
    torch.manual_seed(0)  # a model without checkpoint has random weights: the same in every call
    upstream = built(options, device)
    key = options.upstream_feature_selection
    extract = layers_of(Encoder(upstream, device, options.upstream_alone), layers, key)

    def states(wav: np.ndarray) -> Tensor:
        torch.manual_seed(0)  # random features, such as dither, are the same for all versions of a recording
        try:
            with torch.no_grad():
                return extract([torch.from_numpy(wav)])[0].float().cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"{len(wav) / SAMPLE_RATE:g} s are too long for the memory of {device}. Cut the recording, "
                "or choose another --device."
            ) from error

    try:
        stride = upstream.get_downsample_rates(key)
    except (AttributeError, NotImplementedError) as error:
        raise UserError(
            f"{options.upstream} does not say its stride: define get_downsample_rates(key) -> samples "
            "per frame."
        ) from error
    return Insight(states, stride, layers)


def chosen_layers(text: str | None) -> list[int] | None:
    """`6,9` -> [6, 9]; None is all.

    Raises:
        UserError: it is something else.
    """
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"-l {text}: write numbers with commas between them, such as 6,9.") from error


def unusable(path: Path, error: UserError) -> str:
    """Why a recording cannot be used, with its path."""
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"


def log_mel(wav: np.ndarray) -> Tensor:
    """Log energies (natural logarithm) of 80 mel bands every 10 ms: [samples] at 16 kHz -> [frames, 80].

    Raises:
        UserError: too short for a frame.
    """
    features, frames = features_from_config(LOG_MEL, "the log mel spectrogram")([torch.from_numpy(wav)])
    return features[0, : frames[0]]
