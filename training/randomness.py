"""Random states: seed everything, save and restore exactly, work apart from the global state."""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def mixed_seed(*parts: int | str) -> int:
    """One 63-bit seed that is a function of all parts, well spread even for neighbouring numbers."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_cpu(seed: int) -> None:
    """Seed Python, numpy and PyTorch's CPU generator; cheap enough for every item of a data set."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def seed_generators(seed: int) -> None:
    """Seed Python, numpy and PyTorch, all CUDA devices included."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """All random states as tensors and plain values, so that a checkpoint can hold them safely."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (
            str(name),
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(one.cpu(), device)


class OwnRandomness:
    """Random states of one learner among several: what is drawn inside a `with` block is drawn from them.

    States are kept in the generators' own formats, so that a block costs less than 0.1 ms. Outside of such
    blocks nothing may rely on the global states.
    """

    def __init__(self, device: torch.device) -> None:
        """
        Args:
            device: where the learner computes; of several GPUs, the states of this one alone are kept apart.
        """
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._generators.append(torch.cuda.default_generators[index])
        self.__exit__()

    def __enter__(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        for generator, state in zip(self._generators, self._torch, strict=True):
            generator.set_state(state)

    def __exit__(self, *_: object) -> None:
        self._python, self._numpy = random.getstate(), np.random.get_state()
        self._torch = [generator.get_state() for generator in self._generators]


@contextlib.contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Run a block from a fixed seed and leave the random state of everything else untouched."""
    before = random_state()
    seed_cpu(seed)
    if before["cuda"]:
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        set_random_state(before)
