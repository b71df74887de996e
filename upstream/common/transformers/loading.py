"""From the name of a repository on the Hugging Face hub, or a folder, to an upstream."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from s3prl.utility.download import DownloadError, forbidden_by, hub_dir, usual_hub_dir
from s3prl.utility.errors import UserError, first_line
from s3prl.utility.paths import find_path

from ...interfaces import SAMPLE_RATE, UpstreamBase

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
SETTINGS = ["config.json", "preprocessor_config.json", "processor_config.json"]
SAFE = ["model.safetensors", "model-?????-of-?????.safetensors", "model.safetensors.index.json"]
TORCH = ["pytorch_model.bin", "pytorch_model-?????-of-?????.bin", "pytorch_model.bin.index.json"]
LIKE_WAV2VEC2 = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
OTHER_ENCODERS = ("wav2vec2-conformer", "sew", "sew-d")
EVEN_SPLIT = ("hubert", "wavlm", "unispeech-sat")  # how the originals tell padding: see EvenSplitUpstream
UNUSED = ("masked_spec_embed", "num_batches_tracked")  # a model may be published without these


def from_repository(
    repository: str, refresh: bool = False, original: bool = True, **options: Any
) -> UpstreamBase:
    """The upstream that a repository of the Hugging Face hub, or a local folder, holds.

    No code of the repository is run, and no pickle that holds code is read.

    Args:
        repository: `organisation/model`, or the path of a folder with config.json and weights.
        refresh: download again.
        original: treat input and padding as the first implementation of the model did (values of the public
            S3PRL); otherwise as the transformers library does: by the repository's settings, exact masks.

    Raises:
        DownloadError: the repository cannot be had.
        UserError: it is no audio model, or its weights do not fit.
    """
    folder = _local_folder(repository) or _downloaded(repository, refresh)
    settings = _settings(folder)
    if (rate := settings.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise UserError(f"{repository} hears audio of {rate} Hz; upstreams are given {SAMPLE_RATE} Hz.")
    return _upstream(_model(folder, repository), folder, settings, original, options)


def _upstream(model: Any, folder: Path, settings: dict, original: bool, options: dict) -> UpstreamBase:
    """The class that fits the model."""
    from . import adapter, others, windows

    config = model.config
    by_features = {
        "whisper": windows.Whisper,
        "audio-spectrogram-transformer": windows.SpectrogramTransformer,
        "wav2vec2-bert": others.FilterBankUpstream,
    }
    if config.model_type in by_features:
        return by_features[config.model_type](model, settings, **options)
    if config.model_type not in LIKE_WAV2VEC2 + OTHER_ENCODERS:
        return others.AnyUpstream(model, str(folder), **options)
    norm_of_layers = config.feat_extract_norm == "layer"
    # the originals normalise exactly where the convolutions have layer norms, whatever their copies say
    normalize = norm_of_layers if original else settings.get("do_normalize", norm_of_layers)
    if config.model_type in OTHER_ENCODERS:
        return others.WaveformUpstream(model, normalize, **options)
    even_split = original and config.model_type in EVEN_SPLIT
    kind = adapter.EvenSplitUpstream if even_split else adapter.TransformersUpstream
    return kind(model, normalize, **options)


def _model(folder: Path, repository: str) -> Any:
    """The model with its weights, in float32; of an encoder-decoder the encoder."""
    from .library import quiet, transformers

    known = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(folder, **known)
            model, report = transformers.AutoModel.from_pretrained(
                folder, config=config, dtype=torch.float32, output_loading_info=True, **known
            )
    except Exception as error:  # the library raises whatever it meets
        raise UserError(f"{repository} cannot be loaded as an audio model: {first_line(error)}") from error
    missing = sorted(name for name in report["missing_keys"] if not name.endswith(UNUSED))
    if missing:
        raise UserError(
            f"{repository} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}: "
            "they would be random. Choose a repository with the weights of the whole model."
        )
    encoder = model.get_encoder() if config.is_encoder_decoder else model
    if not encoder.main_input_name.startswith("input_") or encoder.main_input_name == "input_ids":
        raise UserError(
            f"{repository} is no audio model: a {type(model).__name__} reads {encoder.main_input_name}."
        )
    return encoder


def _settings(folder: Path) -> dict[str, Any]:
    """What the repository says of its feature extractor; empty where it says nothing."""
    for name in SETTINGS[1:]:
        if (folder / name).is_file():
            try:
                found = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{folder / name} is not valid JSON: {error}") from error
            return found.get("feature_extractor", found)
    return {}


def _local_folder(repository: str) -> Path | None:
    """The folder that is meant, or None for the name of a repository."""
    folder = find_path(repository)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder} has no config.json, so it is no folder of the transformers library.")
        return folder
    if REPOSITORY.fullmatch(repository) and not repository.startswith("."):
        return None
    raise UserError(
        f"There is no folder {repository}. Give an existing one, or a repository of the Hugging Face hub as "
        "organisation/model."
    )


def _downloaded(repository: str, refresh: bool) -> Path:
    """The snapshot of a repository, from the cache or the network; the safer format where it has both."""
    from huggingface_hub import snapshot_download

    offline = forbidden_by() is not None
    ways = {"cache_dir": _cache_dir(), "force_download": refresh and not offline, "local_files_only": offline}
    try:
        folder = Path(snapshot_download(repository, allow_patterns=[*SETTINGS, *SAFE], **ways))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(repository, allow_patterns=[*SETTINGS, *TORCH], **ways))
    except Exception as error:  # the library's own errors are many, and have no common base across versions
        raise DownloadError(
            f"The repository {repository} could not be downloaded from the Hugging Face hub: "
            f"{first_line(error)}\n"
            "Check its name and the network (a private one needs `hf auth login`). Or download it elsewhere, "
            f"`hf download {repository} --local-dir FOLDER`, and pass the folder: -u hf -k FOLDER"
        ) from error
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise DownloadError(
            f"The repository {repository} has no weights that transformers reads "
            f"({SAFE[0]} or {TORCH[0]}){', or they are not in the cache' if offline else ''}."
        )
    return folder


def _cache_dir() -> Path | None:
    """Inside the folder of --cache_dir; without that option None, the cache of the hub's own library."""
    chosen = hub_dir()
    return None if chosen == usual_hub_dir() else chosen / "huggingface"
