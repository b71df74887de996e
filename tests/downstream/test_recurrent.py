"""Recurrent layers on utterances of unequal length: packed sequences define the values, not the way."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s3prl.downstream.common import recurrent
from s3prl.downstream.common.recurrent import run_recurrent

LENGTHS = [7, 30, 1, 22]
LAYERS = {
    "LSTM": (nn.LSTM, {}),
    "GRU": (nn.GRU, {}),
    "RNN": (nn.RNN, {}),
    "RNN with ReLU": (nn.RNN, {"nonlinearity": "relu"}),
}


def packed(layer, features, lengths):
    """What PyTorch gives for packed sequences, with zeros behind every utterance."""
    sequence = pack_padded_sequence(features, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(layer(sequence)[0], batch_first=True, total_length=features.size(1))[0]


def results(run, layer, features, lengths):
    """Outputs on the frames of the utterances, and the gradients of a loss on them."""
    features = features.clone().requires_grad_()
    layer.zero_grad()
    output = run(layer, features, lengths)
    valid = torch.arange(features.size(1)) < torch.tensor(lengths)[:, None]
    own = output[valid]
    (own * torch.linspace(-1, 1, own.numel()).view_as(own)).sum().backward()
    return [own.detach(), features.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_are_those_of_packed_sequences(kind, both_ways):
    torch.manual_seed(0)
    make, options = LAYERS[kind]
    layer = make(5, 8, batch_first=True, bidirectional=both_ways, **options)
    features = torch.randn(len(LENGTHS), max(LENGTHS), 5)
    expected = results(packed, layer, features, LENGTHS)
    for ours, theirs in zip(results(run_recurrent, layer, features, LENGTHS), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=2e-6, rtol=1e-5)


def test_what_lies_behind_an_utterance_reaches_neither_its_outputs_nor_any_gradient():
    torch.manual_seed(0)
    layer = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    features = torch.randn(len(LENGTHS), max(LENGTHS), 5)
    padding = torch.arange(max(LENGTHS)) >= torch.tensor(LENGTHS)[:, None]
    noisy = features.masked_fill(padding[..., None], 100.0)
    clean = results(run_recurrent, layer, features.masked_fill(padding[..., None], 0.0), LENGTHS)
    for ours, theirs in zip(results(run_recurrent, layer, noisy, LENGTHS), clean, strict=True):
        assert torch.equal(ours, theirs)


def test_equal_lengths_give_what_the_layer_itself_gives():
    layer = nn.GRU(5, 8, batch_first=True, bidirectional=True)
    features = torch.randn(3, 12, 5)
    assert torch.equal(run_recurrent(layer, features, [12, 12, 12]), layer(features)[0])


def test_no_sequence_is_packed_on_a_cpu(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("packed on a CPU, which takes several times as long")

    monkeypatch.setattr(recurrent, "pack_padded_sequence", refuse)
    layer = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    assert run_recurrent(layer, torch.randn(4, 30, 5), LENGTHS).shape == (4, 30, 16)


def test_half_precision_training_gives_nearly_the_same_gradients():
    torch.manual_seed(0)
    layer = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    features = torch.randn(len(LENGTHS), max(LENGTHS), 5)
    expected = results(run_recurrent, layer, features, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        halved = results(run_recurrent, layer, features, LENGTHS)
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())
    for half, whole in zip(halved, expected, strict=True):
        assert torch.allclose(half.float(), whole, atol=0.05 * float(whole.abs().max()))
