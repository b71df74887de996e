"""Options that choose an upstream, the same for the tools and run_downstream.py."""

import argparse

from ..cache.budget import LIMIT


def add_upstream_options(parser: argparse.ArgumentParser) -> None:
    """`-k`, `-g`, `-r`, `--upstream_alone` and `--upstream_public_batch`, for one upstream."""
    add = parser.add_argument
    add("-k", "--upstream_ckpt", metavar="PATH|URL|ID", help="its checkpoint")
    add("-g", "--upstream_model_config", metavar="YAML", help="its configuration")
    add_variants(parser)


def add_variants(parser: argparse._ActionsContainer) -> None:
    """`-r`, `--upstream_alone` and `--upstream_public_batch`."""
    add = parser.add_argument
    add("-r", "--upstream_refresh", action="store_true", help="download cached checkpoints again")
    add(
        "--upstream_alone",
        action="store_true",
        help="give every utterance the features it has alone, whatever its batch; slower on a GPU",
    )
    add(
        "--upstream_public_batch",
        action="store_true",
        help="compute models on spectrograms with the zeros behind shorter waves, as the public S3PRL does",
    )


def add_cache_options(parser: argparse._ActionsContainer) -> None:
    """`--cache`, `--cache_limit` and `--cache_dtype`."""
    add = parser.add_argument
    add(
        "--cache",
        metavar="FOLDER",
        help="compute the features of the frozen upstream once and keep them here, for all runs",
    )
    add("--cache_limit", metavar="SIZE", default=LIMIT, help=f"of the cache's folder (default: {LIMIT})")
    add(
        "--cache_dtype",
        choices=["float16", "bfloat16", "float32"],
        default="float16",
        help="of features in the cache (default: float16)",
    )
