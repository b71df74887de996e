"""The promises of an upstream (upstream/README.md), each checked on a small model of how tasks use it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from s3prl.utility.errors import UserError

from ..encoding import Encoder
from ..interfaces import SAMPLE_RATE, TOLERATED_FRAMES, device_of, traits_of
from .cost import noise

TOLERANCE = 1e-4  # of the largest value of a layer, or of 1 where that is smaller
BATCH = (2.1, 1.37, 1.0)  # seconds
LONGEST = 32000  # samples of the utterances whose frames are counted
LENGTHS = 24  # utterances whose frames are counted
STEPS = 3
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Finding:
    """One line of the certificate."""

    title: str
    kept: bool  # whether the promise is kept
    detail: str


def examine(upstream: nn.Module) -> list[Finding]:
    """Check every promise; an exception inside a check breaks that promise and hides no other.

    Weights are the same afterwards.
    """
    precise = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # its rounding would look like leaking padding
    try:
        return [_finding(title, check, upstream) for title, check in CHECKS.items()]
    finally:
        torch.backends.cudnn.allow_tf32 = precise


def _finding(title: str, check: Callable[[nn.Module], tuple[bool, str]], upstream: nn.Module) -> Finding:
    upstream.eval()
    try:
        return Finding(title, *check(upstream))
    except Exception as error:  # whatever a third party's model raises
        reason = (str(error).strip() or "no message").splitlines()[0]
        return Finding(title, False, f"{type(error).__name__}: {reason}")


def _batch(upstream: nn.Module) -> list[Tensor]:
    return noise(*BATCH, device=str(device_of(upstream)))


@torch.no_grad()
def hidden_states(upstream: nn.Module, wavs: list[Tensor]) -> list[Tensor]:
    """[batch, frames, dim] of every layer."""
    return list(Encoder(upstream, device_of(upstream))(wavs)["hidden_states"])


@torch.no_grad()
def _output(upstream: nn.Module) -> tuple[bool, str]:
    result = upstream(_batch(upstream))
    missing = [key for key in ("hidden_states", "last_hidden_state") if key not in result]
    if missing:
        return False, f"the result has no {' and no '.join(missing)}"
    states = result["hidden_states"]
    shapes, kinds = {tuple(state.shape) for state in states}, {str(state.dtype)[6:] for state in states}
    described = f"{len(states)} layer(s) of {states[0].size(-1)} dimensions, {', '.join(sorted(kinds))}"
    if len(shapes) > 1:
        return False, f"layers differ in shape: {sorted(shapes)}"
    if not all(state.is_floating_point() and state.isfinite().all() for state in states):
        return False, f"{described}: not finite floating-point numbers"
    if not torch.equal(result["last_hidden_state"], states[-1]):
        return False, f"{described}: last_hidden_state is not the last of hidden_states"
    return True, described


def _alone_equals_batched(upstream: nn.Module) -> tuple[bool, str]:
    wavs = _batch(upstream)
    together, largest, worst = hidden_states(upstream, wavs), 0.0, 0.0
    for row, wav in enumerate(wavs):
        for one, many in zip(hidden_states(upstream, [wav]), together, strict=True):
            frames = min(one.size(1), many.size(1))
            difference = (one[0, :frames] - many[row, :frames]).abs().max().item()
            largest = max(largest, difference)
            worst = max(worst, difference / max(1.0, one.abs().max().item()))
    text = f"they differ by {largest:.1g}"
    promised = traits_of(upstream).batch_invariant
    if worst <= TOLERANCE:
        return True, text if promised else f"{text}: `batch_invariant = True` would be true"
    if not promised:
        return True, f"{text}: the batch changes values, and no promise says otherwise"
    return False, f"{text}, although `batch_invariant` says that the batch changes nothing"


def _frames(upstream: nn.Module) -> tuple[bool, str]:
    stride = upstream.get_downsample_rates("hidden_states")
    count = traits_of(upstream).num_frames
    if count is None:
        return _rounded_frames(upstream, stride)
    shortest = next(samples for samples in range(1, LONGEST) if count(samples) > 0)
    spread = torch.linspace(shortest, LONGEST, LENGTHS - 3).long().tolist()
    for samples in (shortest, *spread, shortest + stride - 1, shortest + stride):
        promised = f"num_frames({samples}) is {count(samples)}"
        try:
            found = _found_frames(upstream, samples)
        except UserError as error:
            return False, f"{promised}, but the upstream refuses: {error}"
        if found != count(samples):
            return False, f"{promised}, but {found} frames come out"
    return True, f"exact; {_refusal(upstream, shortest)}"


def _rounded_frames(upstream: nn.Module, stride: int) -> tuple[bool, str]:
    for samples in torch.linspace(LONGEST // 4, LONGEST, LENGTHS // 3).long().tolist():
        found = _found_frames(upstream, samples)
        if abs(found - samples / stride) >= TOLERATED_FRAMES:
            return False, f"{samples} samples give {found} frames at {stride} samples per frame"
    return True, f"no num_frames: frames are counted as samples / {stride}, rounded"


def _found_frames(upstream: nn.Module, samples: int) -> int:
    (wav,) = noise(samples / SAMPLE_RATE, device=str(device_of(upstream)))
    return hidden_states(upstream, [wav])[0].size(1)


def _refusal(upstream: nn.Module, shortest: int) -> str:
    """How audio too short for a frame is met; no promise, but tasks give clearer messages with the first."""
    if shortest == 1:
        return "any length works"
    try:
        _found_frames(upstream, shortest - 1)
    except UserError:
        return f"from {shortest} samples, less is refused"
    except Exception as error:
        return f"at least {shortest} samples, less ends in a {type(error).__name__}"
    return f"at least {shortest} samples, less is not refused"


def _layer_count(upstream: nn.Module) -> tuple[bool, str]:
    wavs = _batch(upstream)
    counts = [len(hidden_states(upstream, batch)) for batch in (wavs, wavs[:1], wavs[::-1], wavs)]
    return len(set(counts)) == 1, " and ".join(map(str, sorted(set(counts)))) + " in evaluation"


def _deterministic(upstream: nn.Module) -> tuple[bool, str]:
    wavs = _batch(upstream)
    first, again = hidden_states(upstream, wavs), hidden_states(upstream, wavs)
    largest = max((one - two).abs().max().item() for one, two in zip(first, again, strict=True))
    return (
        largest == 0,
        "two calls agree to the bit" if largest == 0 else f"two calls differ by {largest:.2g}",
    )


def _fine_tuning(upstream: nn.Module) -> tuple[bool, str]:
    """A few optimizer steps in training mode must move the loss of evaluation mode."""
    weights = dict(upstream.named_parameters())
    if not weights:
        return True, "no parameters to train"
    before = copy.deepcopy(upstream.state_dict())
    trainable = {name: weight.requires_grad for name, weight in weights.items()}
    try:
        upstream.requires_grad_(True)
        return _train(upstream, weights)
    finally:
        upstream.load_state_dict(before)
        for name, weight in weights.items():
            weight.grad = None
            weight.requires_grad_(trainable[name])
        upstream.eval()


def _train(upstream: nn.Module, weights: dict[str, Tensor]) -> tuple[bool, str]:
    wavs = _batch(upstream)
    first = _loss(hidden_states(upstream, wavs)).item()
    optimizer = torch.optim.Adam(weights.values(), lr=LEARNING_RATE)
    upstream.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        _loss(upstream(wavs)["hidden_states"]).backward()
        gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        broken = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        if broken:
            return False, f"the gradient of {broken[0]} is not finite"
        optimizer.step()
    upstream.eval()
    last = _loss(hidden_states(upstream, wavs)).item()
    reached = f"{len(gradients)} of {len(weights)} parameter tensors get a gradient"
    moved = f"loss {first:.4g} -> {last:.4g} in {STEPS} steps"
    return bool(gradients) and abs(last - first) > 1e-6 * abs(first), f"{moved}; {reached}"


def _loss(states: list[Tensor]) -> Tensor:
    """Distance of all layers from one constant, which even normalised layers can come closer to."""
    return torch.stack([(state.float() - 1).square().mean() for state in states]).mean()


CHECKS: dict[str, Callable[[nn.Module], tuple[bool, str]]] = {
    "output": _output,
    "alone = batched": _alone_equals_batched,
    "frames": _frames,
    "layers": _layer_count,
    "deterministic": _deterministic,
    "fine-tuning": _fine_tuning,
}
