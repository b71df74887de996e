"""The arguments and the sections of a downstream config: whether they can be, before anything is built."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s3prl.training.config_check import Seed, check_optimizer, check_sections
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.cache.budget import LIMIT, PUBLIC_BATCH, parse_size
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

SECTIONS = ("runner", "optimizer", "scheduler", "specaug", "downstream_expert")


@dataclass
class Arguments:
    """The arguments that an override or a checkpoint can set to something impossible."""

    mode: Literal["train", "evaluate", "inference"] = "train"
    override: str | None = None
    downstream: str | None = None
    downstream_variant: str | None = None
    expdir: str | None = None
    config: str | None = None
    launch_dir: str | None = None
    overridden: list[str] = field(default_factory=list)
    seed: Seed = 1337
    bad_audio: Literal["error", "skip"] = "error"
    upstream: str | None = None
    upstream_ckpt: str | None = None
    upstream_model_config: str | None = None
    upstream_trainable: bool = False
    upstream_feature_selection: str = "hidden_states"
    upstream_layer_selection: int | None = None
    upstream_feature_normalize: bool = False
    upstream_alone: bool = False
    upstream_public_batch: bool | None = None
    hub: Literal["torch", "huggingface"] = "torch"
    cache: str | None = None
    cache_limit: str = LIMIT
    cache_dtype: Literal["float16", "bfloat16", "float32"] = "float16"


def settle_cache(args: argparse.Namespace) -> None:
    """Check the options of the feature cache and what they exclude; with a cache utterances are alone.

    Raises:
        UserError: names the options.
    """
    parse_size(args.cache_limit)
    if args.cache is None:
        return
    if args.upstream_trainable:
        raise UserError("--cache keeps features of a frozen upstream, but -f trains it. Give one of them.")
    if args.upstream_public_batch:
        raise UserError(PUBLIC_BATCH)
    folder = Path(args.cache).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--cache {args.cache} is a file. Name a folder.")
    args.cache = str(folder)
    args.upstream_alone = True


def check_config(config: dict[str, Any], mode: str) -> None:
    """Refuse misspelt sections and, for training, missing ones, before any model is built.

    Sections of the task's own are allowed: the expert receives every top-level key by name.

    Raises:
        UserError: names the section or field and the nearest valid one.
    """
    check_sections(config, SECTIONS)
    settings = RunnerSettings.from_config(config.get("runner"))
    if mode == "train":
        if not config.get("runner") and not config.get("optimizer"):
            raise UserError(
                "There is nothing to train: the config has neither runner nor optimizer. Evaluate instead, "
                f"with `{command_line('evaluate')} -t test` and the same -u, -d and -n."
            )
        if settings.total_steps < 1:
            raise UserError("config.runner.total_steps is missing: this config cannot train.")
        check_optimizer(config)
