"""Building the three models of an experiment (upstream, featurizer, downstream) with their weights."""

import argparse
import sys
from typing import Any, NamedTuple

import torch
from torch import nn

from s3prl.training.randomness import random_state, set_random_state
from s3prl.upstream.build import build_upstream, task_name
from s3prl.upstream.interfaces import Featurizer, UpstreamBase, traits_of
from s3prl.utility import processes
from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights

from .tasks import import_expert

DOWNSTREAM_DOORS = ("get_dataloader", "log_records")
ADVICE = "Use the arguments and config of its training."


class Foundation(NamedTuple):
    """An upstream, ready for use, and the random states that building it has left.

    Several heads that are built on it, each from these states, get the weights that each would get alone.
    """

    upstream: nn.Module
    random: dict[str, Any]


def build_foundation(
    args: argparse.Namespace, checkpoint: dict[str, Any], device: torch.device
) -> Foundation:
    """The upstream of a run, with the checkpoint's weights.

    Raises:
        UserError: it cannot be built, the weights do not fit, or its options contradict `-f`.
    """
    upstream = _ready("Upstream", _build_upstream(args), args, checkpoint, device)
    upstream.train(args.upstream_trainable)
    upstream.requires_grad_(args.upstream_trainable)
    if args.mode == "train" and isinstance(upstream, UpstreamBase):
        misfit = upstream.misfit(args.upstream_trainable)
        if misfit is not None and processes.is_leader():
            print(f"warning: {misfit}", file=sys.stderr)
    return Foundation(upstream, random_state())


def build_models(
    args: argparse.Namespace,
    config: dict[str, Any],
    checkpoint: dict[str, Any],
    device: torch.device,
    foundation: Foundation,
    keep_scores: bool = True,
) -> dict[str, nn.Module]:
    """The models by their name in a checkpoint, in the order data flows, with the checkpoint's weights.

    Args:
        foundation: whose upstream the others are built on.
        keep_scores: also take the best score so far from the checkpoint (see `score_buffers`).

    Raises:
        UserError: a task that cannot be built, or weights that do not fit.
    """
    upstream = foundation.upstream
    set_random_state(foundation.random)
    featurizer = Featurizer(
        upstream,
        feature_selection=args.upstream_feature_selection,
        upstream_device=device,
        layer_selection=args.upstream_layer_selection,
        normalize=args.upstream_feature_normalize,
    )
    featurizer = _ready("Featurizer", featurizer, args, checkpoint, device)
    downstream = _build_downstream(args, config, featurizer, traits_of(upstream).utterance_cmvn)
    downstream = _ready("Downstream", downstream, args, checkpoint, device, keep_scores)
    return {"Upstream": upstream, "Featurizer": featurizer, "Downstream": downstream}


def _ready(
    name: str,
    model: nn.Module,
    args: argparse.Namespace,
    checkpoint: dict[str, Any],
    device: torch.device,
    keep_scores: bool = True,
) -> nn.Module:
    """A model on the device, with the weights that a checkpoint has for it."""
    weights = checkpoint.get(name)
    if weights or (weights is not None and name == "Downstream"):
        keep = () if keep_scores or name != "Downstream" else score_buffers(model)
        load_weights(model, weights, f"{args.init_ckpt} ({name})", advice=ADVICE, keep=keep)
    return model.to(device)


def score_buffers(expert: nn.Module) -> list[str]:
    """Names of the buffers that hold a score of the training so far, and not what belongs to the weights.

    `best_score` of the kit and of the public S3PRL's tasks is a single number that the expert itself
    registers. Statistics of features have a value per dimension; those of normalisation layers lie deeper.
    """
    return [
        name
        for name, buffer in expert.named_buffers()
        if "best" in name.rpartition(".")[2] or ("." not in name and buffer.numel() == 1)
    ]


def _build_upstream(args: argparse.Namespace) -> nn.Module:
    """The upstream of `-u`. One process of several downloads its checkpoint first, the others follow."""
    entry = None
    if args.hub == "huggingface":
        from s3prl.utility.huggingface import upstream_from_repository

        entry = upstream_from_repository(args.upstream, args.upstream_revision, args.upstream_model_name)
    with processes.leader_first():
        upstream = build_upstream(
            args.upstream,
            args.upstream_ckpt,
            args.upstream_model_config,
            folders=(args.launch_dir,),
            refresh=args.upstream_refresh and processes.is_leader(),
            alone=args.upstream_alone,
            public_batch=args.upstream_public_batch,
            feature_selection=args.upstream_feature_selection,
            entry=entry,
        )
    traits_of(upstream).for_task(task_name(vars(args)))
    return upstream


def _build_downstream(
    args: argparse.Namespace, config: dict[str, Any], featurizer: Featurizer, upstream_cmvn: bool
) -> nn.Module:
    options = {**vars(args), "upstream_cmvn": upstream_cmvn, **config}
    if config.get("downstream_expert") is None:
        options["downstream_expert"] = {}
    downstream = import_expert(args.downstream)(
        upstream_dim=featurizer.output_dim,
        upstream_rate=featurizer.downsample_rate,
        upstream_layers=featurizer.layer_count,
        **options,
    )
    missing = [door for door in DOWNSTREAM_DOORS if not callable(getattr(downstream, door, None))]
    if missing:
        raise UserError(f"The task '{args.downstream}' lacks the method(s) {', '.join(missing)}.")
    return downstream
