"""The doors of every upstream: UpstreamBase (what a model offers) and Featurizer (what a task receives).

`traits_of` tells what is known of any model, also of one that is no UpstreamBase.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s3prl.utility.errors import UserError
from s3prl.utility.padding import unpadded

from .features.frames import check_lengths
from .pickling import Tap, make_picklable
from .source import Source
from .waves import SAMPLE_RATE, Wav, prepared, utterances

HIDDEN_STATES = "hidden_states"  # the output that tasks use unless told otherwise
TOLERATED_FRAMES = 5  # a model may give this many frames more or fewer than its stride promises
RESERVED_KEYS = ("_hidden_states_info", "hidden_states", "last_hidden_state")

Hook = tuple[str, Callable[[Any, Any], Tensor]]
Survey = Callable[[Iterable[list[Tensor]]], None]


class _RegistersHooks(type):
    """Attach the constructor's hooks once the subclass has built the modules they point to."""

    def __call__(cls, *args: Any, **kwargs: Any) -> "UpstreamBase":
        upstream = super().__call__(*args, **kwargs)
        for hook in upstream.hooks:
            upstream.add_hook(*hook)
        return upstream


class UpstreamBase(nn.Module, metaclass=_RegistersHooks):
    """Base class of upstreams: `forward(wavs) -> dict` with `hidden_states` and `last_hidden_state`.

    `wavs` is a list of unpadded [samples] float32 tensors at 16 kHz, on the model's device;
    `hidden_states` a list of [batch, frames, dim], one per layer; `last_hidden_state` its last entry.
    A model whose `forward` does not return its layers can have them tapped by hooks instead.

    Traits, which a subclass overrides with what it can promise (as an attribute, property or method):

    - `batch_invariant`: an utterance's values are those it has alone, in any batch.
    - `num_frames(samples)`: the exact frames of an utterance of so many samples, 0 when it is too short for
      one; None when not known, and frames are then counted as samples / stride, rounded.
    - `utterance_cmvn`: every utterance is normalised, so its mean over time is 0 and tells nothing.
    - `survey(batches)`: a pass over the training batches (lists of wavs) in place of a training, for models
      that only measure.
    - `source`: where it finds features of recordings; it is called with those then, and not with waves.

    `folders` is where files of a task may be besides the working folder; `build_upstream` sets it.
    """

    batch_invariant: bool = False
    num_frames: Callable[[int], int] | None = None
    utterance_cmvn: bool = False
    survey: Survey | None = None
    source: Source | None = None
    folders: Sequence[str | Path] = ()

    def __init__(
        self,
        hooks: Sequence[Hook] | None = None,
        hook_postprocess: Callable[[list[tuple[str, Tensor]]], list[tuple[str, Tensor]]] | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            hooks: (module path such as `self.model.encoder.layers[3]`, transform(input, output) -> [batch,
                frames, dim], optional identifier) for every layer to tap, in any order.
            hook_postprocess: maps the tapped [(identifier, tensor)] to the final list.
        """
        super().__init__()
        self.hooks = list(hooks or [])
        self.hook_postprocess = hook_postprocess
        self._hook_hiddens: list[tuple[str, Tensor]] = []
        self._hook_handles: dict[str, torch.utils.hooks.RemovableHandle] = {}

    def get_downsample_rates(self, key: str) -> int:
        """Samples (at 16 kHz) per frame of the output `key`."""
        raise NotImplementedError(
            f"{type(self).__module__}.{type(self).__name__} does not say its stride: define "
            "get_downsample_rates(key) -> samples per frame."
        )

    def for_task(self, task: str) -> None:
        """Prepare for a task, whose name tells it from others: models that keep something per task do."""

    def misfit(self, trained: bool) -> str | None:
        """A sentence on options that do nothing when it is trained (or frozen); a UserError contradicts."""

    def add_hook(
        self, module_path: str, transform: Callable[[Any, Any], Tensor], unique_identifier: str | None = None
    ) -> None:
        """Tap the module at `module_path` (`self` is this upstream) from the next call on."""
        identifier = unique_identifier or module_path
        module = _module_at(self, module_path)
        if not isinstance(module, nn.Module):
            print(
                f"[{type(self).__name__}] {module_path} is not a module; its hook is skipped", file=sys.stderr
            )
            return
        self.remove_hook(identifier)
        tap = Tap(identifier, transform, self._hook_hiddens)
        self._hook_handles[identifier] = module.register_forward_hook(tap)

    def remove_hook(self, unique_identifier: str) -> None:
        """Remove one hook; nothing happens when there is none of this name."""
        handle = self._hook_handles.pop(unique_identifier, None)
        if handle is not None:
            handle.remove()

    def remove_all_hooks(self) -> None:
        """Remove every hook, so that `forward` alone decides what is returned."""
        for identifier in list(self._hook_handles):
            self.remove_hook(identifier)
        self.hooks.clear()

    def __call__(self, wavs: Sequence[Wav], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What `forward` and the hooks give for waves at 16 kHz.

        Args:
            wavs: a list of [samples] tensors or arrays; or one [batch, samples], or a single wave [samples],
                which is a batch of one.

        Raises:
            UserError: a wave that is not [samples] of finite floats, or too short for a frame (named by its
                place in the batch).
        """
        parameter = next(self.parameters(), None)
        double = parameter is not None and parameter.dtype == torch.float64
        wavs = prepared(wavs, device_of(self), torch.float64 if double else torch.float32)
        enough = self.num_frames or int  # where frames are not known, one sample is
        check_lengths(wavs, enough, getattr(self, "name", type(self).__name__))
        self._hook_hiddens.clear()
        result = super().__call__(wavs, *args, **kwargs) or {}
        if not isinstance(result, dict):
            raise TypeError(f"{type(self).__name__}.forward must return a dict, not {type(result).__name__}")
        if self._hook_hiddens:
            taken = [key for key in RESERVED_KEYS if key in result]
            if taken:
                raise ValueError(f"{type(self).__name__} has hooks, so its forward may not return {taken}")
            tapped = list(self._hook_hiddens)
            self._hook_hiddens.clear()
            if self.hook_postprocess is not None:
                tapped = self.hook_postprocess(tapped)
            names, layers = zip(*tapped, strict=True)
            result["_hidden_states_info"], result["hidden_states"] = names, list(layers)
            result["last_hidden_state"] = layers[-1]
            result.update({f"hidden_state_{number}": layer for number, layer in enumerate(layers)})
        return result

    def __getstate__(self) -> dict[str, Any]:
        make_picklable(self)
        hooks = ("hooks", "hook_postprocess")  # last, so that a Tap explains what cannot be pickled
        state = {name: value for name, value in self.__dict__.items() if name not in hooks}
        return state | {name: self.__dict__[name] for name in hooks if name in self.__dict__}

    @staticmethod
    def tolist(paired_wavs: list[Tensor], paired_feature: Tensor) -> list[Tensor]:
        """Cut [batch, frames, dim] into unpadded [frames, dim], in proportion to each wav's length."""
        ratio = max(len(wav) for wav in paired_wavs) / paired_feature.size(1)
        return [
            feature[: round(len(wav) / ratio)]
            for wav, feature in zip(paired_wavs, paired_feature, strict=True)
        ]


def _module_at(root: nn.Module, path: str) -> Any:
    """Follow a path such as `self.model.layers[3]` without evaluating it as code."""

    def follow(node: ast.AST) -> Any:
        if isinstance(node, ast.Name) and node.id == "self":
            return root
        if isinstance(node, ast.Attribute):
            return getattr(follow(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return follow(node.value)[ast.literal_eval(node.slice)]
        raise ValueError(f"A hook's module path looks like self.encoder.layers[3], not {path!r}")

    return follow(ast.parse(path, mode="eval").body)


def _no_preparation(task: str) -> None:
    """What `for_task` does in a model that keeps nothing per task."""


@dataclass(frozen=True)
class Traits:
    """What is known of a model; the defaults are the careful answers. See UpstreamBase for the meaning."""

    batch_invariant: bool = False
    num_frames: Callable[[int], int] | None = None
    for_task: Callable[[str], None] = _no_preparation
    survey: Survey | None = None
    utterance_cmvn: bool = False
    source: Source | None = None


def traits_of(upstream: nn.Module) -> Traits:
    """What an upstream declares of itself; of a model that is no UpstreamBase nothing is known."""
    if not isinstance(upstream, UpstreamBase):
        return Traits()
    return Traits(
        upstream.batch_invariant,
        upstream.num_frames,
        upstream.for_task,
        upstream.survey,
        upstream.utterance_cmvn,
        upstream.source,
    )


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters or buffers are; the CPU when there are none."""
    tensor = next((tensor for tensors in (model.parameters(), model.buffers()) for tensor in tensors), None)
    return torch.device("cpu") if tensor is None else tensor.device


class Layers(NamedTuple):
    """What an upstream has made of a batch of utterances, before layers are mixed."""

    stacked: Tensor | list[Tensor]  # [layers, batch, frames, dim], or [batch, frames, dim] for each layer
    frames: list[int]  # valid frames of each utterance
    means: bool = False  # over time: every utterance has one frame, the mean of its normalised ones


class Featurizer(nn.Module):
    """Turn an upstream's output into one feature per frame, by default a learned weighting of its layers.

    Layers are mixed by softmax(weights), which starts uniform (SUPERB, Yang et al., Interspeech 2021).
    Attributes: `output_dim`, `downsample_rate` (samples per frame), `layer_count` (layers that are mixed).
    """

    def __init__(
        self,
        upstream: nn.Module,
        feature_selection: str = "hidden_states",
        upstream_device: str | torch.device | None = None,
        layer_selection: int | None = None,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            upstream: the model, which is probed once with a second of noise.
            feature_selection: the key of the upstream's result to use.
            upstream_device: where the upstream is; by default where its parameters are.
            layer_selection: use this layer alone (negative counts from the last) instead of a weighting.
            normalize: normalise every layer over its dimensions (layer norm without affine) first.

        Raises:
            UserError: the upstream has no such key or no such layer.
        """
        super().__init__()
        self.name = "Featurizer"
        self.feature_selection = feature_selection
        self.layer_selection = layer_selection
        self.normalize = normalize
        device = upstream_device or device_of(upstream)
        result = probe(upstream, device, SAMPLE_RATE)
        selected = self._select(result)
        shapes = {tuple(layer.shape) for layer in selected}
        if len(shapes) > 1:
            raise UserError(
                f"The layers of '{feature_selection}' differ in shape ({sorted(shapes)}), so they cannot "
                "be weighted. Choose one with -l, or another key with -s."
            )
        self.layer_count = len(selected)
        if self.layer_count > 1:
            self.weights = nn.Parameter(torch.zeros(self.layer_count))
        self.output_dim = selected[0].size(-1)
        self.downsample_rate = self._stride(upstream, device, result)
        self._exact_frames = traits_of(upstream).num_frames

    def _stride(self, upstream: nn.Module, device: Any, result: dict) -> int:
        try:
            return upstream.get_downsample_rates(self.feature_selection)
        except (AttributeError, NotImplementedError):
            longer = self._select(probe(upstream, device, 11 * SAMPLE_RATE))[0].size(1)
            more = longer - self._select(result)[0].size(1)
            stride = round(10 * SAMPLE_RATE / more) if more > 0 else SAMPLE_RATE
            print(f"[Featurizer] The upstream does not say its stride; measured {stride} samples per frame.")
            return stride

    def _select(self, result: dict[str, Any]) -> list[Tensor]:
        """The layers that are asked for, [batch, frames, dim] each."""
        key = self.feature_selection
        if key not in result and key == "hidden_states":  # third-party upstreams of the oldest interface
            key = next((old for old in ("last_hidden_state", "default") if old in result), key)
        if key not in result:
            offered = ", ".join(name for name in result if not name.startswith("_"))
            raise UserError(f"The upstream has no output '{key}' (-s). It offers: {offered}.")
        feature = result[key]
        if isinstance(feature, dict):
            feature = list(feature.values())
        if not isinstance(feature, (list, tuple)):
            if self.layer_selection is not None:
                raise UserError(f"-l {self.layer_selection}: '{key}' is a single layer. Leave -l out.")
            return [feature]
        if self.layer_selection is None:
            return list(feature)
        if not -len(feature) <= self.layer_selection < len(feature):
            raise UserError(
                f"-l {self.layer_selection}: '{key}' has {len(feature)} layers, "
                f"numbered 0 to {len(feature) - 1}."
            )
        return [feature[self.layer_selection]]

    def normalized(self, layer: Tensor) -> Tensor:
        """A layer [..., dim], normalised over its dimensions if that is asked for."""
        return F.layer_norm(layer, layer.shape[-1:]) if self.normalize else layer

    def frames_of(self, samples: int, padded_frames: int) -> int:
        """Valid frames of an utterance of `samples` in a batch padded to `padded_frames`."""
        if self._exact_frames is not None and self.feature_selection in (
            "hidden_states",
            "last_hidden_state",
        ):
            return min(self._exact_frames(samples), padded_frames)
        return min(max(round(samples / self.downsample_rate), 1), padded_frames)

    def layers(self, lengths: Sequence[int], outputs: dict[str, Any]) -> Layers:
        """The layers that are asked for, as the upstream has returned them.

        Args:
            lengths: samples of each utterance.
            outputs: what the upstream has returned for them.

        Raises:
            ValueError: there are not as many frames as the stride promises.
        """
        selected = self._select(outputs)
        longest, frames = max(lengths), selected[0].size(1)
        if abs(frames - longest / self.downsample_rate) >= TOLERATED_FRAMES:
            raise ValueError(
                f"The upstream returned {frames} frames for {longest} samples, but its stride of "
                f"{self.downsample_rate} samples promises {longest / self.downsample_rate:.1f}: "
                "get_downsample_rates or the padding of the upstream is wrong."
            )
        return Layers(selected, [self.frames_of(samples, frames) for samples in lengths])

    def mix(self, layers: Layers) -> list[Tensor]:
        """One feature of all layers: unpadded [frames, dim] of every utterance."""
        return unpadded(self.mix_padded(layers), layers.frames)

    def unmixed(self, layers: Layers) -> list[Tensor]:
        """Every layer for itself: unpadded [layers, frames, dim] of every utterance."""
        stacked = layers.stacked
        if not isinstance(stacked, Tensor):
            stacked = torch.stack(list(stacked))
        stacked = self.normalized(stacked)
        return [stacked[:, index, :frames] for index, frames in enumerate(layers.frames)]

    def mix_padded(self, layers: Layers) -> Tensor:
        """One feature of all layers, [batch, frames, dim]; anything may stand behind an utterance's end."""
        stacked = layers.stacked
        if len(stacked) != self.layer_count:
            raise ValueError(
                f"The upstream returned {len(stacked)} layers, {self.layer_count} when it was probed. "
                "Layer drop does that in fine-tuning: use -f with -s last_hidden_state, or switch it off."
            )
        if self.layer_count == 1:
            return stacked[0] if layers.means else self.normalized(stacked[0])
        if not isinstance(stacked, Tensor):
            stacked = torch.stack([self.normalized(layer) for layer in stacked])
        elif not layers.means:
            stacked = self.normalized(stacked)
        weights = self.weights.float().softmax(-1)  # in float32: bf16 rounds two layers to one weight
        mixed = torch.mv(stacked.flatten(1).t(), weights.to(stacked.dtype))
        return mixed.view(stacked.shape[1:])

    def forward(self, paired_wavs: Sequence[Wav], paired_features: dict[str, Any]) -> list[Tensor]:
        """The feature of every utterance: unpadded [frames, dim], in the order of `paired_wavs`."""
        return self.mix(self.layers([len(wav) for wav in utterances(paired_wavs)], paired_features))


def probe(upstream: nn.Module, device: Any, samples: int) -> dict[str, Any]:
    """The upstream's result for fixed noise, in evaluation mode, leaving the random state untouched."""
    training = upstream.training
    upstream.eval()
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(0))
    source = traits_of(upstream).source
    with torch.no_grad():
        result = upstream([noise.to(device) if source is None else source.example(samples)])
    upstream.train(training)
    return result
