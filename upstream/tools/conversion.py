"""The content of old checkpoints in the layout and with the plain values that checkpoints have today."""

import argparse
import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..common.mel_transformer.pretrained import renamed

WRAPPER = "module."  # of a model that several GPUs trained
PLAIN = (type(None), bool, int, float, str, bytes)
KEYS = (*PLAIN, np.generic)
NUMERIC = "biuf"  # kinds of NumPy's types: bool, int, unsigned int, float


def converted(state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Everything in a checkpoint as today's files have it, and what has changed, in words.

    - Objects become plain values: arguments (`Args`) a dict, other objects a dict of their attributes; what
      has none, such as a function, is left out.
    - `Settings` of 2020 (`Config` and `Paras`) become `Config` and `Args`, `Global_step` becomes `Step`.
    - Of a transformer on spectrograms, the configuration of the model moves from `Config` to
      `Upstream_Config`, and that of its training from `Runner` to `Config`; `online` is `audio` there.
    - Weights lose the prefix `module.` of several GPUs, and layer norms the names `gamma` and `beta`.
    """
    cleaner = _Cleaner()
    result = {str(key): cleaner.plain(value, str(key)) for key, value in state.items()}
    changes = cleaner.changes
    _move_settings(result, changes)
    if isinstance(result.get("Transformer"), dict):
        _move_model_config(result, changes)
    if isinstance(result.get("Args"), argparse.Namespace):
        result["Args"] = vars(result["Args"])
        changes.append("Args: a dict instead of a Namespace")
    for key, value in result.items():
        if isinstance(value, dict):
            result[key] = _todays_names(value, key, changes)
    return result, list(dict.fromkeys(changes))


def _move_settings(state: dict[str, Any], changes: list[str]) -> None:
    settings = state.get("Settings")
    if isinstance(settings, dict) and isinstance(settings.get("Config"), dict):
        del state["Settings"]
        for old, new in (("Config", "Config"), ("Paras", "Args")):
            if old in settings and new not in state:
                state[new] = settings[old]
                changes.append(f"Settings.{old} -> {new}")
        changes.append("Settings is gone")
    if "Global_step" in state and "Step" not in state:
        state["Step"] = state.pop("Global_step")
        changes.append("Global_step -> Step")


def _move_model_config(state: dict[str, Any], changes: list[str]) -> None:
    config = state.get("Config")
    if isinstance(config, dict) and "transformer" in config and not state.get("Upstream_Config"):
        changes.append("Config -> Upstream_Config")
        changes.append(
            "Runner -> Config" if "Runner" in state else "Config: empty, as the file has no Runner"
        )
        state["Upstream_Config"], state["Config"] = config, state.pop("Runner", None) or {}
    model = state.get("Upstream_Config")
    if isinstance(model, dict) and "online" in model and "audio" not in model:
        model["audio"] = model.pop("online")
        changes.append("Upstream_Config.online -> Upstream_Config.audio")


def _todays_names(section: dict[str, Any], where: str, changes: list[str]) -> dict[str, Any]:
    """A state dict with today's names of its weights; other dicts as they are."""
    if not section or not all(isinstance(value, Tensor) for value in section.values()):
        return section
    if all(name.startswith(WRAPPER) for name in section):
        section = {name.removeprefix(WRAPPER): value for name, value in section.items()}
        changes.append(f"{where}: weights without the prefix {WRAPPER}")
    names = renamed(section)
    if names.keys() != section.keys():
        changes.append(f"{where}: layer norms with weight and bias instead of gamma and beta")
    return names


class _Cleaner:
    """Makes plain values of everything, and keeps what was changed."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self._open: set[int] = set()  # objects around the present one

    def plain(self, value: Any, where: str) -> Any:
        """The same of tensors and plain values; Namespaces stay what they are."""
        if isinstance(value, enum.Enum):
            return self.plain(value.value, where)
        if isinstance(value, np.ndarray | np.generic):  # first, as a float64 of NumPy is a float as well
            numbers = np.ndim(value) and value.dtype.kind in NUMERIC
            return torch.from_numpy(np.array(value)) if numbers else self.plain(value.tolist(), where)
        for kind in PLAIN:
            if isinstance(value, kind):
                return value if type(value) is kind else kind(value)
        if isinstance(value, Tensor):
            return value.detach().cpu()
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, torch.dtype | torch.device | torch.Size):
            return list(value) if isinstance(value, torch.Size) else str(value)
        if id(value) in self._open:
            self.changes.append(f"{where}: left out, since it contains itself")
            return None
        self._open.add(id(value))
        try:
            return self._inside(value, where)
        finally:
            self._open.discard(id(value))

    def _inside(self, value: Any, where: str) -> Any:
        if isinstance(value, nn.Module):
            return self._instead(dict(value.state_dict()), value, where)
        if isinstance(value, Mapping):
            return self._dict(value, where)
        if isinstance(value, list | tuple | set | frozenset):
            items = [self.plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, argparse.Namespace):
            return argparse.Namespace(**self._dict(vars(value), where))
        if isinstance(value, Sequence):  # such as omegaconf's ListConfig
            return [self.plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if dataclasses.is_dataclass(value) or (hasattr(value, "__dict__") and not callable(value)):
            return self._instead(vars(value), value, where)
        self.changes.append(f"{where}: left out, a {type(value).__name__}")
        return None

    def _instead(self, attributes: Mapping[str, Any], value: Any, where: str) -> dict[str, Any]:
        self.changes.append(f"{where}: a dict instead of a {type(value).__name__}")
        return self._dict(attributes, where)

    def _dict(self, items: Mapping[Any, Any], where: str) -> dict[Any, Any]:
        return {
            self.plain(key, where) if isinstance(key, KEYS) else str(key): self.plain(item, f"{where}.{key}")
            for key, item in items.items()
        }


def told(changes: Iterable[str]) -> str:
    """The changes, one in a line."""
    return "\n".join(f"  {change}" for change in changes)
