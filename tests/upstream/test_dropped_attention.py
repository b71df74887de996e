"""Attention with dropout on a CPU: what is computed, and that the share of what is dropped is right."""

import pytest
import torch

from s3prl.upstream.common import dropped_attention
from s3prl.upstream.common.dropped_attention import attention


def heads(frames=11, batch=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 3, frames, 4, generator=generator).requires_grad_() for _ in range(3)]


def padding(lengths, frames):
    return (torch.arange(frames) < torch.tensor(lengths)[:, None])[:, None, None]


def plain(query, key, value, keep, dropout, mask):
    """By the definition: `keep` is [batch, heads, frames, frames]."""
    scores = query @ key.transpose(-1, -2) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    kept = 1 - round(dropout * 65536) / 65536
    return (scores.softmax(-1) * keep / kept) @ value


@pytest.mark.parametrize("cells", [50, 250, 2**20])
@pytest.mark.parametrize("lengths", [None, [11, 6]])
def test_values_and_gradients_are_those_of_the_definition(monkeypatch, cells, lengths):
    monkeypatch.setattr(dropped_attention, "CELLS", cells)
    drawn = []
    draw = dropped_attention._keep
    monkeypatch.setattr(dropped_attention, "_keep", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    mask = None if lengths is None else padding(lengths, 11)
    ours = heads()
    found = attention(*ours, mask, 0.4)
    valid = lengths or [11, 11]
    pieces, keep = iter(drawn), torch.zeros(2, 3, 11, 11)
    for utterance, frames in enumerate(valid):
        rows = min(frames, cells // frames)
        together = min(3, max(cells // (rows * frames), 1))
        for head in range(0, 3, together):
            for start in range(0, frames, rows):
                stop = min(start + rows, frames)
                keep[utterance, head : head + together, start:stop, :frames] = next(pieces)
    theirs = heads()
    expected = plain(*theirs, keep, 0.4, mask)
    seen = torch.stack([(torch.arange(11) < frames)[None, :, None].float() for frames in valid])
    torch.testing.assert_close(found * seen, expected * seen)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * seen * weights).sum().backward()
    (expected * seen * weights).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_what_is_dropped_is_the_share_asked_for_and_the_mean_stays(dropout):
    torch.manual_seed(0)
    with torch.no_grad():
        frames = 300
        nothing, values = torch.zeros(1, 2, frames, 8), torch.ones(1, 2, frames, 8)
        found = attention(nothing, nothing, values, None, dropout)  # the share kept, over its expectation
    assert found.mean().item() == pytest.approx(1, abs=0.01)
    spread = (dropout / (1 - dropout) / frames) ** 0.5
    assert found[..., 0].std().item() == pytest.approx(spread, rel=0.1)


def test_dropping_is_repeated_with_the_same_seed_only():
    query, key, value = heads()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(attention(query, key, value, None, 0.3))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_without_dropout_it_is_the_attention_of_pytorch():
    query, key, value = heads()
    mask = padding([11, 6], 11)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    assert torch.equal(attention(query, key, value, mask, 0.0), expected)


@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (1, 1, 1, 11)])
def test_masks_other_than_the_padding_of_each_utterance_are_left_to_pytorch(shape):
    given = heads()
    mask = torch.ones(shape, dtype=torch.bool).tril(5)
    torch.manual_seed(0)
    found = attention(*given, mask, 0.2)
    torch.manual_seed(0)
    expected = torch.nn.functional.scaled_dot_product_attention(*given, mask, dropout_p=0.2)
    assert torch.equal(found, expected)


def test_masks_of_numbers_and_half_precision_are_left_to_pytorch():
    query, key, value = heads()
    hidden = torch.zeros(2, 1, 1, 11)
    hidden[..., 6:] = -1e4
    other = value.detach().clone()
    other[:, :, 6:] = 1e3
    torch.manual_seed(0)
    one = attention(query, key, value, hidden, 0.2)
    torch.manual_seed(0)
    torch.testing.assert_close(one, attention(query, key, other, hidden, 0.2))
    assert attention(*(each.bfloat16() for each in (query, key, value)), None, 0.2).dtype == torch.bfloat16
