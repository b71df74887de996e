"""Checkpoints of Mockingjay, TERA and Audio ALBERT, in every layout their pre-training has written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.typed import check_value, typed
from s3prl.utility.weights import load_weights

from ... import loading
from .model import SpecPredictionHead, TransformerConfig, TransformerModel

# Names of a layer norm's parameters in files of 2020.
OLD_NAMES = {"gamma": "weight", "beta": "bias"}
OLD_NAME = re.compile(r"(LayerNorm(?:\.\d+)?\.)(gamma|beta)$")


@dataclass(frozen=True)
class Pretrained:
    """What a checkpoint holds: settings and weights of the transformer and of its prediction head."""

    path: Path
    config: TransformerConfig
    audio: Mapping[str, Any]  # the features the model was trained on
    sequence_length: int  # the most frames it was trained on at once; 0: any number
    weights: Mapping[str, Tensor]
    head_weights: Mapping[str, Tensor]

    def transformer(self, input_dim: int, config: TransformerConfig | None = None) -> TransformerModel:
        """The transformer with its weights; `config` replaces the settings of the file.

        Raises:
            UserError: the weights do not fit.
        """
        model = TransformerModel(config or self.config, input_dim)
        load_weights(model, self.weights, f"{self.path} (Transformer)")
        return model

    def head(self) -> SpecPredictionHead:
        """The prediction head with its weights.

        Raises:
            UserError: the file has none, or its weights do not fit.
        """
        if "output.bias" not in self.head_weights:
            raise UserError(f"{self.path} holds no prediction head (SpecHead).")
        head = SpecPredictionHead(self.config, len(self.head_weights["output.bias"]))
        load_weights(head, self.head_weights, f"{self.path} (SpecHead)")
        return head


def read(ckpt: str | None, family: str) -> Pretrained:
    """Read a checkpoint.

    Its configuration is under `Config` (published files), or under `Upstream_Config`, where `Config` is that
    of the pre-training.

    Args:
        ckpt: path of the file.
        family: prefix of the entry that asks.

    Raises:
        UserError: no file is given, or one that is missing, damaged, or not of this family.
    """
    content = loading.read(ckpt, family)
    path = find_path(ckpt)
    config = content.get("Upstream_Config") or content.get("Config")
    weights = content.get("Transformer")
    if not (isinstance(weights, Mapping) and isinstance(config, Mapping) and "transformer" in config):
        raise UserError(
            f"{path} is no checkpoint of Mockingjay, TERA or Audio ALBERT: it needs weights 'Transformer' "
            f"and a configuration with 'transformer', but holds: {', '.join(map(str, content))}."
        )
    block = config["transformer"]
    if check_value(block.get("downsample_rate", 1), int, f"{path}: transformer.downsample_rate") != 1:
        raise UserError(
            f"{path} stacks frames (downsample_rate {block['downsample_rate']}): only 1 can be read."
        )
    longest = (config.get("task") or {}).get("sequence_length") or 0
    return Pretrained(
        path=path,
        config=typed(TransformerConfig, block, f"{path}: transformer", ignore_unknown=True),
        audio=_audio(config, path),
        sequence_length=max(check_value(longest, int, f"{path}: task.sequence_length"), 0),
        weights=renamed(weights),
        head_weights=renamed(content.get("SpecHead") or {}),
    )


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names of today."""
    return {
        OLD_NAME.sub(lambda match: match[1] + OLD_NAMES[match[2]], name): value
        for name, value in weights.items()
    }


def _audio(config: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    audio = config.get("audio") or config.get("online")  # `online` until 2020
    if not isinstance(audio, Mapping):
        raise UserError(
            f"{path} was trained on features extracted beforehand: its configuration does not say "
            "(`audio`) how to compute them from a wave."
        )
    return audio
