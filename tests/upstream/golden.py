"""What the public S3PRL returned for small checkpoints with random weights, to compare ours with."""

import copy
import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.upstream.interfaces import Featurizer

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Golden:
    """One fixture: where its files are, three wavs, what the public S3PRL made of them."""

    folder: Path
    wavs: list[Tensor]
    expected: dict[str, Any]
    tolerance: float
    files: list[str]  # checkpoints, all with the same weights


def load(fixture: str) -> Golden:
    """Read `tests/data/<fixture>/`."""
    folder = DATA / fixture
    meta = json.loads((folder / "meta.json").read_text())
    wavs = torch.load(folder / "wavs.pt", weights_only=True)
    expected = torch.load(folder / "expected.pt", weights_only=True)
    return Golden(folder, wavs, expected, meta["tolerance"], meta["files"])


@torch.no_grad()
def check(expert: nn.Module, golden: Golden) -> float:
    """Compare an upstream with the fixture; returns the largest difference of its hidden states.

    `expert` gives the values of the public batch. Compared are the valid frames of all hidden states (in the
    batch, and alone where that differs), the number of frames, the samples per frame and the Featurizer's
    output.
    """
    expert.eval()
    wavs, expected, frames = golden.wavs, golden.expected, golden.expected["alone_frames"]
    assert expert.get_downsample_rates("hidden_states") == expected["downsample_rate"]
    assert [expert.num_frames(len(wav)) for wav in wavs] == frames
    result = expert(wavs)
    assert torch.equal(result["last_hidden_state"], result["hidden_states"][-1])
    difference = _difference(result["hidden_states"], expected["hidden_states"], frames)
    if "alone" in expected:
        index = expected["alone"]["index"]
        alone = expert([wavs[index]])["hidden_states"]
        difference = max(difference, _difference(alone, expected["alone"]["hidden_states"], [frames[index]]))
    assert difference <= golden.tolerance, f"hidden states differ by {difference:.2g}"
    featurizer = Featurizer(expert)
    for ours, theirs in zip(featurizer(wavs, result), expected["featurizer"], strict=True):
        shared = min(len(ours), len(theirs))
        assert abs(len(ours) - len(theirs)) <= 3  # theirs are rounded, ours counted
        torch.testing.assert_close(ours[:shared], theirs[:shared], rtol=0, atol=golden.tolerance)
    return difference


def _difference(ours: list[Tensor], theirs: list[Tensor], frames: list[int]) -> float:
    """Largest difference of [batch, frames, dim] tensors over the valid frames."""
    assert len(ours) == len(theirs), f"{len(ours)} hidden states instead of {len(theirs)}"
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape, f"{list(one.shape)} instead of {list(other.shape)}"
        for row, valid in enumerate(frames):
            largest = max(largest, (one[row, :valid] - other[row, :valid]).abs().max().item())
    return largest


@torch.no_grad()
def check_alone(expert: nn.Module, golden: Golden) -> None:
    """Compare an utterance of the batch with what the public S3PRL gives for it alone."""
    expert.eval()
    expected, states = golden.expected["alone"], expert(golden.wavs)["hidden_states"]
    for ours, theirs in zip(states, expected["hidden_states"], strict=True):
        row = ours[expected["index"], : theirs.size(1)]
        torch.testing.assert_close(row, theirs[0], rtol=0, atol=golden.tolerance)


@torch.no_grad()
def check_invariance(expert: nn.Module, golden: Golden, tolerance: float | None = 1e-4) -> float:
    """The largest difference between an utterance alone and in the batch; at most `tolerance` (None: any)."""
    expert.eval()
    batch, largest = expert(golden.wavs)["hidden_states"], 0.0
    for row, wav in enumerate(golden.wavs):
        valid = expert.num_frames(len(wav))
        for together, alone in zip(batch, expert([wav])["hidden_states"], strict=True):
            assert alone.size(1) == valid
            largest = max(largest, (together[row, :valid] - alone[0]).abs().max().item())
    assert tolerance is None or largest <= tolerance, f"alone and in the batch differ by {largest:.2g}"
    return largest


@torch.no_grad()
def check_copies(expert: nn.Module, wavs: list[Tensor]) -> None:
    """A copy, and what pickle brings back, have weights of their own and give the same; zeroes `expert`."""
    expected = expert(wavs)["hidden_states"]
    copies = copy.deepcopy(expert), pickle.loads(pickle.dumps(expert))
    for weight in expert.parameters():
        weight.zero_()
    for other in copies:
        assert not any(module.training for module in other.modules())
        assert other.state_dict().keys() == expert.state_dict().keys()
        trainable = [weight.requires_grad for weight in other.parameters()]
        assert trainable == [weight.requires_grad for weight in expert.parameters()]
        states = other(wavs)["hidden_states"]
        assert all(torch.equal(one, theirs) for one, theirs in zip(states, expected, strict=True))


def check_contract(expert: nn.Module, wavs: list[Tensor]) -> None:
    """Finite and deterministic in evaluation, the same after a round trip of its weights, trainable."""
    expert.eval()
    with torch.no_grad():
        first, again = (expert(wavs)["hidden_states"] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert all(state.isfinite().all() for state in first)
    file = io.BytesIO()
    torch.save(expert.state_dict(), file)
    file.seek(0)
    expert.load_state_dict(torch.load(file, weights_only=True))
    weights = list(expert.parameters())
    if not weights:
        return
    before = copy.deepcopy(expert.state_dict())
    expert.train()
    optimizer = torch.optim.SGD(weights, lr=1e-3)
    losses = []
    for _ in range(3):
        torch.manual_seed(0)  # the same dropout each time, so that only the weights move the loss
        states = expert(wavs)["hidden_states"]
        assert len(states) == len(first)
        loss = torch.stack([(state - 0.5).square().mean() for state in states]).sum()
        optimizer.zero_grad()
        loss.backward()
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)
        optimizer.step()
        losses.append(loss.item())
    assert len(set(losses)) == 3, "fine-tuning does not move the loss"
    expert.load_state_dict(before)
    expert.zero_grad()
    expert.eval()
