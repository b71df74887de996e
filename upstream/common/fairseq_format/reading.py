"""The file layouts in which wav2vec 2.0 and its descendants were published, brought to one form."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

from ...families import FINE_TUNED, NAMES
from ...interfaces import SAMPLE_RATE
from ...loading import read as read_file


@dataclass(frozen=True)
class Published:
    """What a checkpoint file says about its network."""

    path: Path
    settings: dict[str, Any]  # of the network, by fairseq's names
    normalize: bool  # whether it wants wavs of zero mean and unit variance
    weights: dict[str, Tensor]  # by fairseq's names


def read(ckpt: str | None, family: str) -> Published:
    """Read a file of any of these layouts: the public S3PRL's (`model_cfg`, `task_cfg`, `model_weight`);
    fairseq's, with `cfg` or the older `args`, pre-trained or fine-tuned for recognition; UniSpeech's
    (flat `cfg`, `model`).

    Args:
        family: prefix of the entry that asks, for messages.

    Raises:
        UserError: no file is given, it cannot be read, has another layout, or is of another family.
    """
    state = read_file(ckpt, family)
    path = find_path(ckpt)
    weights = state.get("model_weight", state.get("model"))
    settings, task = _settings(state)
    if "w2v_args" in settings and isinstance(weights, dict):
        settings, _ = _parts(settings["w2v_args"])
        weights = {name.removeprefix(FINE_TUNED): value for name, value in weights.items()}
    if not isinstance(weights, dict) or not settings:
        raise UserError(
            f"{path} is not a checkpoint of {NAMES[family]}: it should hold cfg (or args) and model, or "
            f"model_cfg, task_cfg and model_weight; it holds {', '.join(map(str, state)) or 'nothing'}."
        )
    settings = settings | {"sample_rate": task.get("sample_rate", SAMPLE_RATE)}
    return Published(path, settings, bool(task.get("normalize", False)), weights)


def _settings(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the network and those of its task."""
    if "model_cfg" in state:
        return _fields(state["model_cfg"]), _fields(state.get("task_cfg"))
    return _parts(state.get("cfg") or state.get("args"))


def _parts(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Network and task of a configuration, nested (newer fairseq) or flat (older fairseq, UniSpeech)."""
    fields = _fields(config)
    if "model" in fields:
        return _fields(fields["model"]), _fields(fields.get("task"))
    return fields, fields


def _fields(config: Any) -> dict[str, Any]:
    if isinstance(config, argparse.Namespace):
        return vars(config)
    return config if isinstance(config, dict) else {}
