"""Unpadding and padding: the values and gradients of slices and pad_sequence, features free to use."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from s3prl.utility.padding import padded, unpadded

LENGTHS = {
    "mixed": [5, 2, 7, 1],
    "equal": [7, 7, 7, 7],
    "one frame": [1, 1, 1, 1],
    "all shorter": [3, 2, 1, 3],
}
FRAMES = {"one frame": 1}  # else 7
cases = pytest.mark.parametrize("case", LENGTHS)


def batch_of(case, dtype=torch.float32):
    torch.manual_seed(0)
    leaf = torch.randn(4, FRAMES.get(case, 7), 3, dtype=dtype, requires_grad=True)
    return leaf, leaf * 1  # as the featurizer has it: computed, and used nowhere else


def slices(batch, lengths):
    return [batch[index, :length] for index, length in enumerate(lengths)]


def gradient(leaf, loss):
    (result,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    return result


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_values_are_those_of_slicing_and_pad_sequence_and_so_are_gradients(case, dtype):
    leaf, batch = batch_of(case, dtype)
    ours, theirs = unpadded(batch, LENGTHS[case]), slices(batch, LENGTHS[case])
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their) and our.requires_grad
    together, reference = padded(ours), pad_sequence(theirs, batch_first=True)
    assert torch.equal(together, reference) and together.dtype == dtype
    weights = torch.randn_like(together)
    torch.testing.assert_close(
        gradient(leaf, (together * weights).sum()), gradient(leaf, (reference * weights).sum())
    )


@cases
def test_each_utterance_has_a_gradient_of_its_own_or_none(case):
    leaf, batch = batch_of(case)

    def loss(features):
        return (features[0] ** 2).sum() + features[0].exp().sum() + 3 * features[3].sum()  # not 1 and 2

    ours = gradient(leaf, loss(unpadded(batch, LENGTHS[case])))
    torch.testing.assert_close(ours, gradient(leaf, loss(slices(batch, LENGTHS[case]))))
    assert not ours[1:3].any()


@cases
def test_without_gradients_an_utterance_may_be_changed_in_place_and_no_other_notices(case):
    batch = batch_of(case)[1].detach()
    expected = [feature.clone() for feature in slices(batch, LENGTHS[case])]
    features = unpadded(batch, LENGTHS[case])
    features[1].mul_(2).add_(1)
    assert torch.equal(features[1], 2 * expected[1] + 1)
    assert all(torch.equal(features[index], expected[index]) for index in (0, 2, 3))


@cases
def test_with_gradients_a_change_in_place_is_refused_not_wrong(case):
    _, batch = batch_of(case)
    features = unpadded(batch, LENGTHS[case])
    with pytest.raises(RuntimeError, match="modified inplace"):
        features[1].mul_(2)


@pytest.mark.parametrize(
    "function",
    [lambda batch: unpadded(batch, [5, 2, 7, 1])[2], lambda batch: padded([batch[0], batch[1, :3]])],
)
def test_a_second_derivative_is_refused_not_wrong(function):
    leaf, batch = batch_of("mixed")
    (first,) = torch.autograd.grad(function(batch).square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_without_gradients_there_is_no_graph():
    _, batch = batch_of("mixed")
    with torch.no_grad():
        features = unpadded(batch, LENGTHS["mixed"])
        assert not padded(features).requires_grad
    assert not unpadded(batch.detach(), LENGTHS["mixed"])[0].requires_grad


def test_leaves_of_any_length_keep_gradients_of_their_own():
    features = [torch.ones(length, 2, requires_grad=length != 2) for length in (3, 2, 1)]
    weights = torch.arange(18.0).view(3, 3, 2)
    (padded(features) * weights).sum().backward()
    assert torch.equal(features[0].grad, weights[0])
    assert features[1].grad is None and torch.equal(features[2].grad, weights[2, :1])


def test_it_works_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        leaf, batch = batch_of("mixed")
        mixed = batch @ torch.eye(3)
        features = [feature.float() for feature in unpadded(mixed, LENGTHS["mixed"])]
        loss = (padded(features) @ torch.eye(3)).float().sum()
    assert mixed.dtype == torch.bfloat16
    loss.backward()
    assert leaf.grad[0, :5].eq(1).all() and not leaf.grad[0, 5:].any()
