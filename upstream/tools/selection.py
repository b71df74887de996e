"""What is written of an upstream's output: layers as they are, or the weighting that a task has learned."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.paths import add_launch_folder

from ..interfaces import SAMPLE_RATE, Featurizer

Extract = Callable[[list[Tensor]], list[Tensor]]


def layers_of(upstream: nn.Module, layers: Sequence[int] | None) -> Extract:
    """A function from unpadded [samples] wavs to [layers, frames, dim] of each.

    Args:
        layers: numbers of layers (negative ones count from the last), None for all.

    Raises:
        UserError: a layer that does not exist, or layers that differ in shape.
    """
    states = _probe(upstream)
    chosen = list(range(len(states)) if layers is None else layers)
    for layer in chosen:
        if not -len(states) <= layer < len(states):
            raise UserError(
                f"--layers {layer}: the upstream has {len(states)} layers, 0 to {len(states) - 1}."
            )
    if len({states[layer].shape for layer in chosen}) > 1:
        raise UserError("The layers differ in shape and fit into no one array. Choose some with --layers.")
    featurizer = Featurizer(upstream, layer_selection=chosen[0] if len(states) > 1 else None)

    def extract(wavs: list[Tensor]) -> list[Tensor]:
        states = upstream(wavs)["hidden_states"]
        stacked = torch.stack([states[layer] for layer in chosen], 1)  # [batch, layers, frames, dim]
        frames = [featurizer.frames_of(len(wav), stacked.size(2)) for wav in wavs]
        return [one[:, :valid] for one, valid in zip(stacked, frames, strict=True)]

    return extract


@torch.no_grad()
def _probe(upstream: nn.Module) -> list[Tensor]:
    device = next((parameter.device for parameter in upstream.parameters()), "cpu")
    noise = torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    result = upstream([noise.to(device)])
    if "hidden_states" not in result:
        raise UserError(f"The upstream has no hidden_states; it offers {', '.join(result)}.")
    return list(result["hidden_states"])


class TrainedWeighting:
    """The weighting of layers in a checkpoint of a downstream task, and the upstream it was trained on."""

    def __init__(self, path: Path) -> None:
        """Read a `states-*.ckpt`, a `dev-best.ckpt` or the like.

        Raises:
            UserError: it cannot be read, or is no checkpoint of a task.
        """
        self.path = path
        self.state = safe_load.load(path)
        missing = [key for key in ("Featurizer", "Args") if key not in self.state]
        if missing:
            raise UserError(
                f"--weights {path} has no {missing[0]}: it is no checkpoint of a downstream task."
            )
        arguments = self.state["Args"]
        self.arguments: dict[str, Any] = arguments if isinstance(arguments, dict) else vars(arguments)
        add_launch_folder(self.arguments.get("launch_dir") or Path.cwd())  # its paths may be relative

    def of(self, name: str, given: str | None) -> str | None:
        """The argument `name` of the training; `given` on the command line, it must not differ.

        Raises:
            UserError: it differs.
        """
        trained = self.arguments.get(name)
        if given is not None and trained is not None and given != trained:
            raise UserError(
                f"{self.path} was trained with {name} = {trained}, not {given}: its weighting is of no use "
                "for that. Leave the option out, or choose another checkpoint."
            )
        return given if trained is None else trained

    def apply(self, upstream: nn.Module) -> tuple[Extract, nn.Module]:
        """A function from unpadded [samples] wavs to the weighted [frames, dim] of each; the Featurizer.

        A fine-tuned upstream gets the weights that were trained with the task.

        Raises:
            UserError: weights that do not fit.
        """
        self._load(upstream, "Upstream")
        arguments = self.arguments
        featurizer = Featurizer(
            upstream,
            feature_selection=arguments.get("upstream_feature_selection") or "hidden_states",
            layer_selection=arguments.get("upstream_layer_selection"),
            normalize=bool(arguments.get("upstream_feature_normalize")),
        )
        self._load(featurizer, "Featurizer")
        device = next((parameter.device for parameter in upstream.parameters()), "cpu")
        featurizer.to(device).eval()
        return lambda wavs: featurizer(wavs, upstream(wavs)), featurizer

    def _load(self, model: nn.Module, name: str) -> None:
        if not self.state.get(name):
            return
        try:
            model.load_state_dict(self.state[name])
        except RuntimeError as error:
            raise UserError(f"The {name} of {self.path} does not fit the upstream: {error}") from error


def fingerprint(*models: nn.Module) -> str:
    """A sum over names and values of all parameters, which tells models apart."""
    digest = hashlib.sha256()
    for model in models:
        for name, weight in model.named_parameters():
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
