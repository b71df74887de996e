"""Runs of downstream tasks that -e, -a and -i go on from."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl.training.config_check import checked_arguments
from s3prl.training.past_run import PastRuns
from s3prl.utility.arguments import Typed
from s3prl.utility.errors import UserError

from .config_check import SECTIONS, Arguments

# PyTorch is imported inside of functions: mistakes of the command line are told before it is loaded.

MODELS = ("Upstream", "Featurizer", "Downstream")


class DownstreamRuns(PastRuns):
    """See `PastRuns`."""

    kind = "downstream"
    weights_only = "-u, -d and -n"
    sections = SECTIONS
    kept = ("mode", "evaluate_split")
    of_a_launch = ("cache_dir", "cache", "cache_limit", "push_to_hf_hub", "hf_hub_org")
    compared_otherwise = ("upstream_refresh",)

    def check(
        self, state: dict[str, Any], arguments: dict[str, Any], path: Path, training: bool
    ) -> dict[str, Any]:
        """The models too, of which a fine-tuned run has one more."""
        from s3prl.upstream.build import public_batch_of

        stored = {**arguments, **checked_arguments(Arguments, arguments, f"{path}: Args")}
        stored["upstream_public_batch"] = public_batch_of(stored)
        fine_tuned = ("Upstream",) if stored.get("upstream_trainable") else ()
        check_models(state, path, (*fine_tuned, "Featurizer", "Downstream"))
        return stored

    def take_over(
        self, args: argparse.Namespace, typed: Mapping[str, Typed] | None
    ) -> tuple[argparse.Namespace, dict[str, Any], dict[str, Any]]:
        """As `PastRuns` has it; a checkpoint is downloaded anew only where the command asks for it."""
        merged, config, state = super().take_over(args, typed)
        merged.upstream_refresh = "upstream_refresh" in (typed or ()) and not args.auto_resume
        return merged, config, state


def check_models(state: dict[str, Any], path: Path, needed: tuple[str, ...] = ()) -> None:
    """Raise a UserError unless a checkpoint has weights, and those of the `needed` models."""
    from s3prl.training.checkpoint import check_entries, check_entry

    lacking = [name for name in needed if state.get(name) is None]
    if lacking or not any(state.get(name) for name in MODELS):
        what = f"no '{lacking[0]}'" if lacking else f"none of {', '.join(MODELS)}"
        raise UserError(f"{path} has {what}, so it is not a checkpoint of a downstream task.")
    for name in MODELS:
        check_entry(state, name, dict, str(path))
    check_entries(state, str(path))
