"""What an upstream costs: parameters, multiplications, time and memory."""

import math
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..interfaces import SAMPLE_RATE
from .models import build

SECONDS = 10  # of audio that is measured
ROUNDS = 3
MACS_NOTE = (
    "MACs: matrix products, convolutions, attention and recurrences (torch.utils.flop_counter, halved); "
    "FFTs and elementwise work are not in it"
)


def noise(*seconds: float, device: str = "cpu") -> list[Tensor]:
    """Fixed noise that gets louder and softer like speech: [samples] for each of `seconds`."""
    generator = torch.Generator().manual_seed(0)
    wavs = []
    for length in (round(second * SAMPLE_RATE) for second in seconds):
        loudness = 0.05 + 0.1 * torch.arange(length).div(SAMPLE_RATE / 4 / math.pi).sin().square()
        wavs.append((loudness * torch.randn(length, generator=generator)).to(device))
    return wavs


def parameters(upstream: nn.Module) -> int:
    """Numbers that are learned; shared ones count once."""
    return sum(parameter.numel() for parameter in upstream.parameters())


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _mkldnn_rnn_flops(inputs: Any, weight_inputs: Any, weight_hidden: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * inputs[0] * inputs[1] * (math.prod(weight_inputs) + math.prod(weight_hidden))


def _cudnn_rnn_flops(inputs: Any, weights: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * inputs[0] * inputs[1] * sum(math.prod(shape) for shape in weights if len(shape) == 2)


def _uncounted_operators() -> dict[Any, Any]:
    """Operators that the counter of PyTorch passes over."""
    rules = {
        "_scaled_dot_product_flash_attention_for_cpu": _attention_flops,
        "mkldnn_rnn_layer": _mkldnn_rnn_flops,
        "_cudnn_rnn": _cudnn_rnn_flops,
    }
    operators = {getattr(torch.ops.aten, name, None): rule for name, rule in rules.items()}
    operators.pop(None, None)  # a release of PyTorch without one of them
    return operators


@torch.no_grad()
def macs_per_second(upstream: nn.Module, device: str = "cpu") -> float:
    """Multiply-accumulate operations for a second of audio, of one utterance of 10 s (see MACS_NOTE)."""
    with FlopCounterMode(display=False, custom_mapping=_uncounted_operators()) as counter:
        upstream(noise(SECONDS, device=device))
    return counter.get_total_flops() / 2 / SECONDS


@torch.no_grad()
def real_time_factor(upstream: nn.Module, device: str = "cpu") -> float:
    """Computing time / duration of one utterance of 10 s: median of 3 after one to warm up."""
    wavs = noise(SECONDS, device=device)
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        upstream(wavs)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) / SECONDS


def peak_memory(
    upstream: nn.Module, request: tuple[str, str | None, str | None], device: str, variants: dict[str, bool]
) -> int:
    """Bytes that a forward pass of 10 s takes beyond the model.

    On a GPU, PyTorch's own count (torch.cuda.max_memory_allocated). On the CPU the growth of the process's
    resident memory, in a process of its own that builds the model from `request` and
    `variants`, the arguments of `build`.
    """
    if not device.startswith("cuda"):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_resident_growth, request, variants).result()
    wavs = noise(SECONDS, device=device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.no_grad():
        upstream(wavs)
    return torch.cuda.max_memory_allocated(device) - before


@torch.no_grad()
def _resident_growth(request: tuple[str, str | None, str | None], variants: dict[str, bool]) -> int:
    upstream, wavs = build(*request, **variants), noise(SECONDS)
    reset = Path("/proc/self/clear_refs")
    if reset.exists():  # else the peak of loading the checkpoint would hide that of the forward pass
        reset.write_text("5")
    before = _peak_resident()
    upstream(wavs)
    return max(0, _peak_resident() - before)


def _peak_resident() -> int:
    """Bytes; Linux restarts the first count on request, which is unknown to getrusage."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
