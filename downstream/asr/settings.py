"""The `downstream_expert` block of an ASR config: what must be there, what may be there."""

import inspect
from collections.abc import Iterable

import torch

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

from ..common.librispeech import check_folder
from ..common.recognizers import RNNs, Wav2Letter

MODELS = {"RNNs": RNNs, "Wav2Letter": Wav2Letter}
REQUIRED = {
    "datarc": (
        "libri_root",
        "bucket_file",
        "dict_path",
        "train_batch_size",
        "eval_batch_size",
        "num_workers",
    ),
    "modelrc": ("project_dim", "select"),
}
OPTIONAL = {"datarc": ("zero_infinity", "decoder_args"), "modelrc": tuple(MODELS)}


def check_config(downstream_expert: dict) -> None:
    """Raise UserError for a missing or unknown field; a list under any other name in `datarc` is a split."""
    check_fields(downstream_expert, REQUIRED, "downstream_expert")
    for name, required in REQUIRED.items():
        block = downstream_expert.get(name) or {}
        fields = (field for field in block if name == "modelrc" or not isinstance(block[field], list))
        check_fields(fields, required + OPTIONAL[name], f"downstream_expert.{name}")
        for field in required:
            if block.get(field) is None:
                raise UserError(
                    f"downstream_expert.{name} needs the field '{field}' (see downstream/asr/config.yaml)."
                )
    _check_model(downstream_expert["modelrc"])


def _check_model(modelrc: dict) -> None:
    select = modelrc["select"]
    if select not in MODELS:
        raise UserError(
            f"downstream_expert.modelrc.select: {select} is not one of {', '.join(MODELS)}."
            f"{nearest(select, MODELS)}"
        )
    _, _, _, *parameters = inspect.signature(MODELS[select]).parameters.values()  # two sizes and the rate
    given = modelrc.get(select) or {}
    check_fields(given, [parameter.name for parameter in parameters], f"downstream_expert.modelrc.{select}")
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in given:
            raise UserError(f"downstream_expert.modelrc.{select} needs the field '{parameter.name}'.")
    with torch.device("meta"):  # without memory or time: only for the model's own checks of the values
        MODELS[select](1, 1, upstream_rate=1, **given)


def split_folders(datarc: dict, split: str) -> list[str]:
    """The corpus folders of a split, such as [train-clean-100].

    Raises:
        UserError: the config has no such split.
    """
    splits = [name for name, value in datarc.items() if isinstance(value, list)]
    if split not in splits:
        raise UserError(
            f"The ASR config has no split '{split}' (downstream_expert.datarc).{nearest(split, splits)} "
            f"It has: {', '.join(splits)}."
        )
    return datarc[split]


def check_corpus(datarc: dict, splits: Iterable[str]) -> None:
    """Raise UserError unless the folders of these splits are there; costs nothing."""
    for split in splits:
        for folder in split_folders(datarc, split):
            check_folder(find_path(datarc["libri_root"]), folder)
