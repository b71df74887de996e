"""What is written of an upstream's output: layers as they are, or the weighting that a task has learned."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.utility import safe_load
from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights

from ..cache.features import FeatureCache, Heard
from ..encoding import Encoder, Wav
from ..interfaces import HIDDEN_STATES, SAMPLE_RATE, Featurizer

OTHER_UPSTREAM = "Give the -k and -g of the training."

Extract = Callable[[Sequence[Wav | Heard]], list[Tensor]]


def layers_of(encoder: Encoder, layers: Sequence[int] | None, selection: str = HIDDEN_STATES) -> Extract:
    """A function from unpadded [samples] wavs to [layers, frames, dim] of each.

    Args:
        layers: numbers of layers (negative ones count from the last), None for all.
        selection: the output of the upstream that they are layers of.

    Raises:
        UserError: a layer that does not exist, or layers that differ in shape.
    """
    noise = torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    states = _states(encoder, [noise], selection)
    chosen = list(range(len(states)) if layers is None else layers)
    for layer in chosen:
        _check_layer(layer, len(states))
    if len({states[layer].shape for layer in chosen}) > 1:
        raise UserError("The layers differ in shape and fit into no one array. Choose some with -l.")
    featurizer = Featurizer(
        encoder.upstream,
        feature_selection=selection,
        upstream_device=encoder.device,
        layer_selection=chosen[0] if len(states) > 1 else None,
    )

    def extract(wavs: Sequence[Wav]) -> list[Tensor]:
        states = _states(encoder, wavs, selection)
        stacked = torch.stack([states[layer] for layer in chosen], 1)  # [batch, layers, frames, dim]
        frames = [featurizer.frames_of(len(wav), stacked.size(2)) for wav in wavs]
        return [one[:, :valid] for one, valid in zip(stacked, frames, strict=True)]

    return extract


def cached_layers_of(cache: FeatureCache, layers: Sequence[int] | None) -> Extract:
    """As `layers_of`, of features that are in a cache, or will be.

    Raises:
        UserError: a layer that does not exist.
    """
    if cache.featurizer.layer_selection is not None:
        return cache.features
    chosen = list(range(cache.layer_count) if layers is None else layers)
    for layer in chosen:
        _check_layer(layer, cache.layer_count)
    return lambda heard: [one[chosen] for one in cache.features(heard)]


def weighted(encoder: Encoder, featurizer: Featurizer, cache: FeatureCache | None = None) -> Extract:
    """A function from unpadded [samples] wavs to the weighted [frames, dim] of each."""
    if cache is not None:
        return lambda heard: featurizer.mix(cache.layers(heard))
    return lambda wavs: featurizer(wavs, encoder(wavs))


def _check_layer(layer: int, count: int) -> None:
    if not -count <= layer < count:
        raise UserError(f"-l {layer}: the upstream has {count} layers, 0 to {count - 1}.")


def _states(encoder: Encoder, wavs: Sequence[Wav], selection: str) -> list[Tensor]:
    """[batch, frames, dim] of every layer."""
    result = encoder(wavs)
    if selection not in result:
        raise UserError(f"The upstream has no output '{selection}' (-s). It offers: {', '.join(result)}.")
    found = result[selection]
    return [found] if isinstance(found, Tensor) else list(found)


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
        launched_in = self.arguments.get("launch_dir")
        self.folders = (Path(launched_in),) if launched_in else ()  # where its relative paths began

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

    def load_upstream(self, upstream: nn.Module) -> None:
        """Give a fine-tuned upstream the weights that were trained with the task.

        Raises:
            UserError: they do not fit.
        """
        self._load(upstream, "Upstream")

    def featurizer(self, encoder: Encoder) -> Featurizer:
        """The weighting on an upstream.

        Raises:
            UserError: weights that do not fit.
        """
        arguments = self.arguments
        featurizer = Featurizer(
            encoder.upstream,
            feature_selection=self.feature_selection,
            upstream_device=encoder.device,
            layer_selection=arguments.get("upstream_layer_selection"),
            normalize=bool(arguments.get("upstream_feature_normalize")),
        )
        self._load(featurizer, "Featurizer")
        return featurizer.to(encoder.device).eval()

    @property
    def feature_selection(self) -> str:
        """The output of the upstream that was weighted."""
        return self.arguments.get("upstream_feature_selection") or HIDDEN_STATES

    def _load(self, model: nn.Module, name: str) -> None:
        if self.state.get(name):
            load_weights(model, self.state[name], f"{self.path} ({name})", advice=OTHER_UPSTREAM)
