"""Building the three models of an experiment (upstream, featurizer, downstream) with their weights."""

import argparse
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from s3prl import hub
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility import processes
from s3prl.utility.errors import UserError

DOWNSTREAM_DOORS = ("get_dataloader", "log_records")


def build_models(
    args: argparse.Namespace, config: dict[str, Any], checkpoint: dict[str, Any], device: torch.device
) -> dict[str, nn.Module]:
    """The models by their name in a checkpoint, in the order data flows, with the checkpoint's weights.

    Raises:
        UserError: an upstream or task that cannot be built, or weights that do not fit.
    """
    models: dict[str, nn.Module] = {"Upstream": build_upstream(args).to(device)}
    _load_weights(models["Upstream"], "Upstream", checkpoint)
    models["Featurizer"] = Featurizer(
        models["Upstream"],
        feature_selection=args.upstream_feature_selection,
        upstream_device=device,
        layer_selection=args.upstream_layer_selection,
        normalize=args.upstream_feature_normalize,
    ).to(device)
    _load_weights(models["Featurizer"], "Featurizer", checkpoint)
    models["Downstream"] = _build_downstream(args, config, models["Featurizer"]).to(device)
    _load_weights(models["Downstream"], "Downstream", checkpoint)
    models["Upstream"].train(args.upstream_trainable)
    models["Upstream"].requires_grad_(args.upstream_trainable)
    return models


def trainable(args: argparse.Namespace, models: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The models whose weights are trained and saved."""
    return {name: model for name, model in models.items() if name != "Upstream" or args.upstream_trainable}


def build_upstream(args: argparse.Namespace) -> nn.Module:
    """The upstream of `-u`. One process of several downloads its checkpoint first, the others follow."""
    entry = _entry(args)
    if not processes.is_leader():
        processes.wait()
    upstream = hub.build(
        args.upstream,
        entry,
        args.upstream_ckpt,
        _further_options(args),
        model_config=args.upstream_model_config,
        refresh=args.upstream_refresh and processes.is_leader(),
    )
    if processes.is_leader():
        processes.wait()
    if hasattr(upstream, "for_task"):  # models that keep something per task, such as M2D its statistics
        upstream.for_task(f"{args.downstream}-{Path(args.config).stem}")
    return upstream


def _further_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for that only some models have."""
    asked: dict[str, Any] = {}
    if args.upstream_alone:
        asked["alone"] = True
    if args.upstream_feature_selection != "hidden_states":
        asked["feature_selection"] = args.upstream_feature_selection
    return asked


def _entry(args: argparse.Namespace) -> Any:
    if args.hub == "huggingface":
        from s3prl.utility.huggingface import upstream_from_repository

        return upstream_from_repository(args.upstream, args.upstream_revision, args.upstream_model_name)
    return hub.get(args.upstream)


def import_expert(task: str) -> type[nn.Module]:
    """The class DownstreamExpert of a task's folder; a UserError says why it cannot be imported."""
    try:
        module = importlib.import_module(f"s3prl.downstream.{task}.expert")
    except ImportError as error:
        raise UserError(
            f"The task '{task}' (downstream/{task}/expert.py) cannot be imported: {error}. "
            "Install the missing package or mend the file."
        ) from error
    return module.DownstreamExpert


def _build_downstream(args: argparse.Namespace, config: dict[str, Any], featurizer: Featurizer) -> nn.Module:
    options = {**vars(args), **config}
    if config.get("downstream_expert") is None:
        options["downstream_expert"] = {}
    downstream = import_expert(args.downstream)(
        upstream_dim=featurizer.output_dim, upstream_rate=featurizer.downsample_rate, **options
    )
    missing = [door for door in DOWNSTREAM_DOORS if not callable(getattr(downstream, door, None))]
    if missing:
        raise UserError(f"The task '{args.downstream}' lacks the method(s) {', '.join(missing)}.")
    return downstream


def _load_weights(model: nn.Module, name: str, checkpoint: dict[str, Any]) -> None:
    weights = checkpoint.get(name)
    if not weights:
        return
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"The checkpoint's {name} does not fit the model that the arguments and config describe "
            f"(use those of its training): {error}"
        ) from error
