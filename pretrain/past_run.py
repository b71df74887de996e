"""Runs of pre-training that -e, -a and -i go on from, those of the public S3PRL too."""

from pathlib import Path
from typing import Any

from s3prl.training.config_check import checked_arguments
from s3prl.training.past_run import ConfigFile, PastRuns
from s3prl.utility.errors import UserError

from .config_check import MODEL, SECTIONS, Arguments

# PyTorch is imported inside of functions: mistakes of the command line are told before it is loaded.


class PretrainRuns(PastRuns):
    """See `PastRuns`."""

    kind = "pre-training"
    weights_only = "-u and -n"
    sections = SECTIONS
    kept = ("multi_gpu",)
    files = (ConfigFile("config", "-c"), ConfigFile("upstream_config", "-g", MODEL))

    def adapt(self, state: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint of the public S3PRL, of 2021 or later, with the entries of ours.

        Its `Step` is one less than the updates that it holds, and it does not know its place in the data,
        of which a new epoch begins.
        """
        if "Runner" in state and "Upstream_Config" not in state:  # of 2021
            state = {**state, "Config": state["Runner"], "Upstream_Config": state.get("Config")}
        if "Optimizer" in state and isinstance(state.get("Step"), int) and "Epoch" not in state:
            state = {**state, "Step": state["Step"] + 1, "Epoch": 0}
        return state

    def config_of(self, state: dict[str, Any]) -> dict[str, Any]:
        """With the configuration of the model as a section, which has an entry of its own too.

        A method may have added sections for readers of its checkpoints; those are not of the run.
        """
        own = {name: section for name, section in state["Config"].items() if name in SECTIONS}
        return {MODEL: state["Upstream_Config"], **own}

    def check(
        self, state: dict[str, Any], arguments: dict[str, Any], path: Path, training: bool
    ) -> dict[str, Any]:
        """The configuration of the model too, in which the public S3PRL's argument of that name may be."""
        from s3prl.training.checkpoint import check_entry

        if not state.get("Upstream_Config"):
            raise UserError(
                f"{path} has no 'Upstream_Config', so it is not a {self.kind} checkpoint. To start from its "
                f"weights only, use -i together with {self.weights_only}."
            )
        check_entry(state, "Upstream_Config", dict, str(path))
        if isinstance(arguments.get("upstream_config"), dict):
            arguments = {**arguments, "upstream_config": None}
        return {**arguments, **checked_arguments(Arguments, arguments, f"{path}: Args")}


def check_weights(state: dict[str, Any], path: Path) -> None:
    """Refuse the checkpoint of a downstream task. Which weights a method needs is its own affair.

    Raises:
        UserError: it is one.
    """
    if "Featurizer" in state:
        raise UserError(f"{path} is a checkpoint of a downstream task. -i takes one of pre-training.")
