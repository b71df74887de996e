"""Where the partial results of an evaluation are kept: a folder for everything that decides its outcome."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.upstream.build import config_digest, find_config
from s3prl.upstream.cache.identity import RandomFeatures, find_set, probe
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.fingerprint import fingerprint
from s3prl.utility.errors import explain

FOLDER = "partial"
DECIDING = (
    "upstream", "upstream_feature_selection", "upstream_layer_selection", "upstream_feature_normalize",
    "upstream_alone", "upstream_public_batch", "bad_audio", "cache_dtype", "seed",
)  # fmt: skip
WORKERS = ("max_workers", "num_workers")  # fields of a task block that decide the time, but not the outcome


def folder_for(
    expdir: Path,
    split: str,
    args: argparse.Namespace,
    config: Mapping[str, Any],
    models: Mapping[str, nn.Module],
    encoder: Encoder,
    autocast: Callable[[], AbstractContextManager],
) -> Path | None:
    """The folder of an evaluation in an experiment folder; None, and said, where nothing can be kept.

    Results of other weights, another task block (but for its workers) or other options are in other folders.
    An upstream is known by its weights and by what it makes of fixed noise, as in the feature cache.

    Args:
        config: of the experiment, expanded.
        models: by their names in a checkpoint.
        encoder: of the upstream.
    """
    upstream, featurizer, downstream = models["Upstream"], models["Featurizer"], models["Downstream"]

    def layers(wave: Tensor) -> Tensor:
        with torch.no_grad(), autocast():
            return featurizer.unmixed(featurizer.layers([len(wave)], encoder([wave])))[0]

    training = [model for model in models.values() if model.training]
    for model in training:
        model.eval()
    about = {
        "split": split,
        "weights": fingerprint(upstream, featurizer, downstream),
        "task": repr(_deciding(config.get("downstream_expert"))),
        "runner": [(config.get("runner") or {}).get(name) for name in ("fp16", "bf16", "evaluate_ratio")],
        "model_config": config_digest(find_config(args.upstream_model_config, (args.launch_dir,))),
        **{name: str(getattr(args, name, None)) for name in DECIDING},
        "cached": bool(args.cache),
    }
    try:
        found = probe(layers)
        return find_set(expdir / FOLDER, split, about, found.values, encoder.device.type)
    except RandomFeatures as error:
        reason = error
    except OSError as error:
        reason = explain(error) or error
    finally:
        for model in training:
            model.train()
    print(f"[Evaluation] Partial results are not kept: {reason}", flush=True)
    return None


def _deciding(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    return {name: _deciding(value) for name, value in block.items() if name not in WORKERS}
