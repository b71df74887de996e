"""Checkpoints of the M2D repository: which weights they hold, the statistics that go with them."""

import math
import re
import zipfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from torch import Tensor

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.weights import load_weights

from ..families import refuse_others
from ..loading import STAND_INS, UNREADABLE
from .features import MELS
from .model import HEAD_SIZE, M2D, Sizes

FINE_TUNED = "module.ar.runtime.backbone."  # in front of every name in files fine-tuned with EVAR
ENCODER = re.compile(r"(cls_token|pos_embed)$|(patch_embed|blocks|norm)\.")
RATE_32K = re.compile(r"-\d+x\d+p\d+x\d+p32k")

USAGE = (
    "Give the file of a checkpoint and the statistics of the task's log-mel, -k FILE,MEAN,STD; "
    "-u m2d_calcnorm measures them."
)


class Statistics(NamedTuple):
    """Mean and standard deviation of a task's log-mel."""

    mean: float
    std: float

    @classmethod
    def checked(cls, mean: Any, std: Any, where: str) -> "Statistics":
        """The statistics as finite numbers; raises a UserError where they are not, or std is not above 0."""
        try:
            statistics = cls(float(mean), float(std))
        except (TypeError, ValueError):
            raise UserError(f"{where}: the mean '{mean}' and std '{std}' must be numbers. {USAGE}") from None
        if not (math.isfinite(statistics.mean) and math.isfinite(statistics.std) and statistics.std > 0):
            raise UserError(f"{where}: mean {mean} must be finite, and std {std} above 0. {USAGE}")
        return statistics


def parse_ckpt(ckpt: str | None) -> tuple[str, Statistics | None]:
    """Split FILE,MEAN,STD; the statistics may be left out.

    Raises:
        UserError: nothing was given, or what follows the file is not two numbers.
    """
    if ckpt is None or not str(ckpt).strip():
        raise UserError(f"M2D needs a checkpoint. {USAGE}")
    ckpt = str(ckpt)
    if "," not in ckpt or find_path(ckpt).is_file():
        return ckpt, None
    file, *numbers = (part.strip() for part in ckpt.rsplit(",", 2))
    if len(numbers) != 2:
        raise UserError(f"-k {ckpt}: one number follows the file. {USAGE}")
    return file, Statistics.checked(*numbers, f"-k {ckpt}")


def load(path: str) -> tuple[M2D, Statistics | None]:
    """The encoder of a checkpoint, and the statistics of its pre-training where it holds them.

    Full training files, encoder-only files, files fine-tuned with EVAR and the published archives (.zip) are
    read; whatever is not part of the encoder (decoder, target network, classifier) is left out.

    Raises:
        UserError: no such file, not one of M2D, or weights that lack something or do not fit.
    """
    file = find_path(path)
    member = _checkpoint_in_archive(file)
    if RATE_32K.search(f"{file.parent.name}/{file.stem}/{member}"):
        raise UserError(f"{path} is a model of 32 kHz audio. Upstreams receive 16 kHz: use a 16 kHz model.")
    weights = _weights(file, member)
    encoder = {name: value for name, value in weights.items() if ENCODER.match(name)}
    model = M2D(_sizes(encoder, file))
    load_weights(model, encoder, str(file))
    statistics = weights.get("norm_stats")
    if statistics is not None:
        statistics = Statistics.checked(*statistics.tolist(), f"{file}: norm_stats")
    return model, statistics


def _weights(file: Path, member: str | None) -> dict[str, Tensor]:
    """All weights of a file (or of a `member` of an archive), named as in the M2D repository."""
    with ExitStack() as stack:
        if member is None:
            state = safe_load.load(file, stand_ins=STAND_INS, advice=UNREADABLE)
        else:
            folder = stack.enter_context(TemporaryDirectory())
            archive = stack.enter_context(zipfile.ZipFile(file))
            state = safe_load.load(archive.extract(member, folder), advice=UNREADABLE)
    refuse_others(state, file, "m2d")
    weights = state.get("model", state)
    if not any(name.startswith(FINE_TUNED) for name in weights):
        return weights
    tuned = {name: value for name, value in weights.items() if name.startswith(FINE_TUNED)}
    return {name.removeprefix(FINE_TUNED): value for name, value in tuned.items()}


def _checkpoint_in_archive(file: Path) -> str | None:
    """The checkpoint of the last epoch in a published archive; None when the file is a checkpoint itself."""
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:  # PyTorch's files are archives too, but have no .pth inside
        members = [name for name in archive.namelist() if name.endswith(".pth")]
    return max(members, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default=None)


def _sizes(encoder: dict[str, Tensor], file: Path) -> Sizes:
    """The sizes of the model, from the shapes of its tensors (the name `vit_base` says too little)."""
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    if missing := [name for name in needed if name not in encoder]:
        raise UserError(f"{file} is not a checkpoint of M2D: it lacks {', '.join(missing)}.")
    dim, _, height, width = encoder["patch_embed.proj.weight"].shape
    rows, patches = MELS // height, encoder["pos_embed"].size(1) - 1
    if MELS % height or patches % rows or dim % HEAD_SIZE:
        raise UserError(
            f"{file}: {patches} positions of patches of {height} bands and {dim} dimensions do not fit a "
            f"spectrogram of {MELS} bands and heads of {HEAD_SIZE}."
        )
    return Sizes(
        dim=dim,
        blocks=1 + max(int(name.split(".")[1]) for name in encoder if name.startswith("blocks.")),
        inner=encoder["blocks.0.mlp.fc1.weight"].size(0),
        height=height,
        width=width,
        rows=rows,
        columns=patches // rows,
    )
