"""What makes upstreams survive pickle and copy.deepcopy."""

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

RECORDER = "transformers.utils.output_capturing"
HOOKED = "_output_capturing_hooks_installed"


@dataclass
class Tap:
    """A forward hook that keeps what a module gives; of a copied upstream it fills the copy's list."""

    identifier: str
    transform: Callable[[Any, Any], Tensor]
    kept: list[tuple[str, Tensor]]

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.kept.append((self.identifier, self.transform(inputs, output)))

    def __deepcopy__(self, memo: dict) -> "Tap":
        return Tap(self.identifier, copy.deepcopy(self.transform, memo), copy.deepcopy(self.kept, memo))

    def __reduce__(self) -> tuple:
        name = getattr(self.transform, "__qualname__", "")
        if "<lambda>" in name or "<locals>" in name:
            raise pickle.PicklingError(
                f"The hook '{self.identifier}' is {name}, which pickle cannot find again: define its "
                "function with `def` at the top of a module."
            )
        return type(self), (self.identifier, self.transform, self.kept)


def make_picklable(model: nn.Module) -> None:
    """Remove what keeps PyTorch and the transformers library from pickling a model; its outputs stay equal.

    PyTorch refuses to pickle parametrisations, so modules with a weight norm get a `__reduce_ex__`. The
    library records hidden states by hooks that are local functions: they are removed, and it adds them again
    at the next call.
    """
    for module in model.modules():
        if parametrize.is_parametrized(module):
            type(module).__reduce_ex__ = _reduce  # a class of this module alone
        for key, hook in list(module._forward_hooks.items()):
            if getattr(hook, "__module__", None) == RECORDER:
                del module._forward_hooks[key]
        if getattr(module, HOOKED, False):
            setattr(module, HOOKED, False)


def _reduce(module: nn.Module, protocol: int) -> tuple:
    """The module without its norms, and the parameters to build them from again."""
    norms = {}
    for name, parts in module.parametrizations.items():
        if len(parts) != 1 or type(parts[0]).__name__ != "_WeightNorm":
            raise pickle.PicklingError(f"{name} is parametrised by no weight norm: save the state_dict().")
        norms[name] = (parts[0].dim, parts.original0, parts.original1)
    state = {**module.__dict__, "_modules": {**module._modules}}
    del state["_modules"]["parametrizations"]
    state["_load_state_dict_pre_hooks"] = OrderedDict(
        (key, hook)
        for key, hook in module._load_state_dict_pre_hooks.items()
        if getattr(hook.hook, "__name__", None) != "_weight_norm_compat_hook"  # `weight_norm` adds it again
    )
    return _with_norms, (parametrize.type_before_parametrizations(module), state, norms)


def _with_norms(
    kind: type[nn.Module], state: dict[str, Any], norms: dict[str, tuple[int, nn.Parameter, nn.Parameter]]
) -> nn.Module:
    module = kind.__new__(kind)
    module.__dict__.update(state)
    for name, (dim, magnitude, direction) in norms.items():
        module.register_parameter(name, nn.Parameter(torch.empty_like(direction)))
        parametrizations.weight_norm(module, name, dim)
        parts = module.parametrizations[name]
        parts.original0, parts.original1 = magnitude, direction
    return module.train(module.training)
