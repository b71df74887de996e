"""Whose features a set of the cache holds: an upstream is known by its weights and by what it computes.

A name tells little: the same one may stand for another checkpoint, another configuration or newer code. So a
set belongs to weights (their sum), to the output and layers that are asked for, and to what the upstream
makes of fixed noise, which is compared within the tolerance that other hardware needs.
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from s3prl.utility.errors import UserError
from s3prl.utility.files import partial_of

from ..interfaces import SAMPLE_RATE

ABOUT = "about.json"
PROBES = (1, 8)  # seconds of noise; some models compute long waves in parts
SAMPLED = 256  # values of a layer that are compared
TOLERANCE = 2e-4  # relative distance of a layer; threads and other processors have 1e-5
TOLERANCE_OF_GPU = 5e-3  # TF32 has 1e-3
MOST_VARIANTS = 100

Compute = Callable[[Tensor], Tensor]


class RandomFeatures(UserError):
    """An upstream that gives the same wave other features each time."""


class Probe(NamedTuple):
    """What an upstream makes of fixed noise."""

    values: Tensor  # [probes, layers, SAMPLED]
    pace: float  # seconds of computing for a second of audio


def probe(compute: Compute) -> Probe:
    """Apply a function from a wave [samples] to [layers, frames, dim] to fixed noise.

    Raises:
        RandomFeatures: it gives something else the second time.
    """
    found, pace = [], 0.0
    for seconds in PROBES:
        noise = 0.1 * torch.randn(seconds * SAMPLE_RATE, generator=torch.Generator().manual_seed(seconds))
        start = time.perf_counter()
        layers = compute(noise).cpu()
        pace = (time.perf_counter() - start) / seconds
        found.append(_sampled(layers))
        if seconds == PROBES[0] and not _close(found[0], _sampled(compute(noise).cpu()), TOLERANCE_OF_GPU):
            raise RandomFeatures("the upstream gives the same wave other features each time")
    return Probe(torch.stack(found), pace)


def find_set(cache: Path, name: str, about: dict[str, Any], values: Tensor, device: str) -> Path:
    """The folder of the set of this upstream, which is made where there is none yet.

    Args:
        cache: the folder of the cache.
        name: of the upstream, for the folder; sets are found whatever the upstream was called before.
        about: plain values that a set belongs to.
        values: of `probe`.
        device: the kind of device that has computed them.

    Raises:
        OSError: nothing can be written there.
    """
    label = re.sub(r"[^\w.]+", "_", Path(name).name) or "upstream"
    for variant in range(MOST_VARIANTS):
        text = json.dumps({**about, "variant": variant}, sort_keys=True)
        code = xxhash.xxh3_64_hexdigest(text.encode())
        folder = next(iter(sorted(cache.glob(f"*-{code}"))), cache / f"{label}-{code}")
        try:
            known, filler = _probe_in(folder)
        except FileNotFoundError:
            _write_once(folder, {"upstream": name, **about, "device": device, "probe": _written(values)})
            known, filler = _probe_in(folder)
        tolerance = TOLERANCE if filler == device == "cpu" else TOLERANCE_OF_GPU
        if known is not None and _close(known, values, tolerance):
            return folder
    raise UserError(f"{cache} has {MOST_VARIANTS} variants of {name}. Clear it, or choose another folder.")


def read_json(path: Path) -> dict[str, Any]:
    """The fields of a JSON file; none where it is damaged or missing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _sampled(layers: Tensor) -> Tensor:
    """[layers, frames, dim] -> evenly spaced values [layers, SAMPLED]."""
    flat = layers.float().flatten(1)
    return flat[:, torch.linspace(0, flat.size(1) - 1, SAMPLED).long()]


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    distance, size = (one - other).norm(dim=-1), torch.maximum(one.norm(dim=-1), other.norm(dim=-1))
    return bool((distance <= tolerance * size).all())


def _written(values: Tensor) -> dict[str, Any]:
    content = values.contiguous().numpy().astype("<f4").tobytes()
    return {"shape": list(values.shape), "float32": base64.b64encode(content).decode()}


def _probe_in(folder: Path) -> tuple[Tensor | None, str | None]:
    """The probe of a set and the kind of device that computed it; None for both where its file is damaged.

    Such a set's features are used by nobody.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        content = base64.b64decode(about["probe"]["float32"])
        values = torch.from_numpy(np.frombuffer(content, "<f4").astype(np.float32))
        return values.view(about["probe"]["shape"]), about["device"]
    except (ValueError, KeyError, TypeError, RuntimeError):
        return None, None


def _write_once(folder: Path, about: dict[str, Any]) -> None:
    """Write about.json, whole, unless another process was quicker."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ABOUT
    temporary = partial_of(path)
    try:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # no hard links on this file system
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
