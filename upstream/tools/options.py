"""Options of the tools that choose an upstream; they are called as those of run_downstream.py."""

import argparse


def add_upstream_options(parser: argparse.ArgumentParser) -> None:
    """`-k`, `-g`, `-r`, `--upstream_alone` and `--upstream_public_batch`, for one upstream."""
    add = parser.add_argument
    add("-k", "--upstream_ckpt", metavar="PATH|URL|ID", help="its checkpoint")
    add("-g", "--upstream_model_config", metavar="YAML", help="its configuration")
    add_variants(parser)


def add_variants(parser: argparse.ArgumentParser) -> None:
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
        help="let models on spectrograms see the zeros behind shorter waves, as in the public S3PRL",
    )
