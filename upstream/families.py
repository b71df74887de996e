"""The family of models that a checkpoint belongs to, recognised by its content; others are refused.

A file of wav2vec 2.0 would load as HuBERT, for example, and give features that neither model has.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl.utility.errors import UserError

# Prefix of the entries -> what people call it.
NAMES = {
    "apc": "APC",
    "audio_albert": "Audio ALBERT",
    "byol_a": "BYOL-A",
    "cpc": "CPC",
    "data2vec": "data2vec",
    "decoar": "DeCoAR",
    "decoar2": "DeCoAR 2.0",
    "distiller": "DistilHuBERT",
    "hubert": "HuBERT",
    "m2d": "M2D",
    "mockingjay": "Mockingjay",
    "npc": "NPC",
    "pase": "PASE+",
    "tera": "TERA",
    "unispeech_sat": "UniSpeech-SAT",
    "vq_apc": "VQ-APC",
    "vq_wav2vec": "vq-wav2vec",
    "wav2vec": "wav2vec",
    "wav2vec2": "wav2vec 2.0",
    "wavlm": "WavLM",
}
ALIKE = ("mockingjay", "tera")  # one network, and files do not say which of the two trained it
WEIGHTS = ("model_weight", "model", "weights", "Transformer", "Distiller", "state_dict")
CONFIGURATIONS = ("cfg", "args", "model_cfg", "task_cfg", "config", "Config", "Upstream_Config")
FAIRSEQ = ("data2vec", "hubert", "wav2vec2")  # its names of networks begin so
FINE_TUNED = "w2v_encoder.w2v_model."  # where fairseq's recognisers keep the pre-trained network
CONVOLUTIONS = r"feature_extractor\.conv_layers\.0\.0\."
LIBRARY = r"(\w+\.)?(feature_projection\.projection|encoder\.layers\.0\.attention\.[kqv]_proj)\."


@dataclass(frozen=True)
class _Content:
    """What a file says of itself."""

    sections: frozenset[str]
    flat: bool  # the layout of UniSpeech: `cfg` is that of the network, not of a whole training
    weights: tuple[str, ...]  # their names
    options: Mapping[str, Any]  # all fields of its configurations, however nested

    def has(self, pattern: str) -> bool:
        """Whether the name of a weight begins like this."""
        return any(re.match(pattern, name) for name in self.weights)

    def named(self, word: str) -> bool:
        """Whether fairseq's name of the network begins with this word."""
        return any(str(self.options.get(field)).startswith(word) for field in ("_name", "arch"))


def _fairseq(name: str, *options: str, weights: str) -> Callable[[_Content], bool]:
    """A sign of fairseq's networks: the name that it gives them, or one of these options or weights in files
    without a name.
    """

    def holds(content: _Content) -> bool:
        if not content.has(CONVOLUTIONS) or not content.has(r"encoder\.layers\."):
            return False
        if any(content.named(network) for network in FAIRSEQ):
            return content.named(name)
        return not content.options.keys().isdisjoint(options) or content.has(weights)

    return holds


# The first that holds decides: data2vec has the options of wav2vec 2.0 and more.
SIGNS: dict[str, Callable[[_Content], bool]] = {
    "distiller": lambda content: "Distiller" in content.sections,
    "audio_albert": lambda content: (
        "Transformer" in content.sections and str(content.options.get("share_layer")) == "True"
    ),
    "tera": lambda content: "Transformer" in content.sections and content.has(r"input_representations\."),
    "cpc": lambda content: content.has(r"gEncoder\."),
    "vq_apc": lambda content: content.has(r"rnn_layers\.") and bool(content.options.get("vq")),
    "apc": lambda content: content.has(r"rnn_layers\."),
    "npc": lambda content: content.has(r"blocks\.0\.(conv|bn1)\.") and "mask_size" in content.options,
    "decoar": lambda content: content.has(r"forward_lstm\."),
    "vq_wav2vec": lambda content: content.has(r"vector_quantizer\."),
    "wav2vec": lambda content: content.has(r"feature_aggregator\."),
    "wavlm": lambda content: content.has(r"encoder\.layers\.\d+\.self_attn\.relative_attention_bias\."),
    "unispeech_sat": lambda content: (
        content.has(CONVOLUTIONS) and (content.flat or content.has("spk_proj|layer_norm_for_extract"))
    ),
    "data2vec": _fairseq("data2vec", "average_top_k_layers", "ema_decay", weights="_ema"),
    "hubert": _fairseq("hubert", "label_rate", "untie_final_proj", weights="label_embs_concat"),
    "wav2vec2": _fairseq("wav2vec2", "quantize_targets", "codebook_negatives", weights="quantizer"),
    "decoar2": lambda content: (
        content.has(r"encoder\.pos_conv\.")
        and content.has(r"post_extract_proj\.")
        and not content.has(r"feature_extractor\.")
    ),
    "pase": lambda content: content.has(r"denseskips\.|blocks\.0\.conv\.low_hz_"),
    "byol_a": lambda content: (
        content.has(r"(\w+\.)*features\.0\.weight") and content.has(r"(\w+\.)*fc\.0\.weight")
    ),
    "m2d": lambda content: content.has(r"(\w+\.)*cls_token") and content.has(r"(\w+\.)*patch_embed\."),
}


def family_of(state: Mapping[str, Any]) -> str | None:
    """The family of a file's content, as the prefix of its entries; None where it cannot be recognised."""
    content = _content(state)
    return next((family for family, holds in SIGNS.items() if holds(content)), None)


def refuse_others(state: Mapping[str, Any], path: str | Path, family: str) -> None:
    """Refuse the content of a file that is recognised as that of another family.

    Args:
        family: the one asked for, as the prefix of its entries.

    Raises:
        UserError: names the family found, and the entry that reads it.
    """
    asked = NAMES.get(family, family)
    found = family_of(state)
    if found is not None:
        if found != family and not {found, family} <= set(ALIKE):
            name = " or ".join(NAMES[one] for one in (ALIKE if found in ALIKE else (found,)))
            raise UserError(
                f"{path} is a checkpoint of {name}, not of {asked}. Load it by its own name: "
                f"-u {found}_local -k {path}, or hub.{found}_local(ckpt=...) in Python."
            )
    elif "Downstream" in state:
        raise UserError(
            f"{path} is a checkpoint of a downstream run, not of {asked}: give it to -e, or give -k the file "
            "that its upstream was built from."
        )
    elif _content(state).has(LIBRARY):
        raise UserError(
            f"{path} is in the format of the transformers library, which {family}_local does not read. Give "
            "the folder with its config.json: -u hf -k FOLDER."
        )


def _content(state: Mapping[str, Any]) -> _Content:
    weights = next((state[key] for key in WEIGHTS if isinstance(state.get(key), Mapping)), state)
    options: dict[str, Any] = {}
    for key in CONFIGURATIONS:
        for name, value in _fields(state.get(key)):
            if name not in options or options[name] is None:
                options[name] = value
    names = tuple(str(name).removeprefix(FINE_TUNED) for name in weights)
    flat = isinstance(state.get("cfg"), Mapping) and "model" not in state["cfg"]
    return _Content(frozenset(map(str, state)), flat, names, options)


def _fields(configuration: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a configuration; those of a fine-tuned network's pre-training come first."""
    given = vars(configuration) if isinstance(configuration, argparse.Namespace) else configuration
    if not isinstance(given, Mapping):
        return
    first = ("w2v_args", "model")
    for name in sorted(map(str, given), key=lambda name: name not in first):
        yield from _fields(given.get(name))
        yield name, given.get(name)
