"""One recurrent layer on utterances of unequal length, in the way that is fastest on each device.

On GPUs these are PyTorch's packed sequences (cuDNN). On CPUs those are computed in many small steps, several
times slower than a padded batch, which oneDNN computes as a whole. There padding must not reach an utterance:
read forwards it never does; to be read backwards, every utterance is turned round by its own length.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FUNCTIONS = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu}


def run_recurrent(layer: nn.RNNBase, features: Tensor, lengths: list[int]) -> Tensor:
    """The outputs of a layer, [batch, frames, dim or 2 * dim]; arbitrary on frames behind an utterance.

    Args:
        layer: one layer (`num_layers=1`) with `batch_first=True`, one or two directions.
        features: [batch, frames, input dim].
        lengths: valid frames of each utterance, at least 1.
    """
    if features.is_cuda:
        packed = pack_padded_sequence(features, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=features.size(1))[0]
    if not layer.bidirectional or min(lengths) == features.size(1):
        return layer(features)[0]
    weights = [getattr(layer, name) for name in layer._all_weights[0] + layer._all_weights[1]]
    half = len(weights) // 2
    backwards = _backwards(lengths, features)
    ahead = _one_direction(layer, features, weights[:half])
    back = _one_direction(layer, _taken(features, backwards), weights[half:])
    return torch.cat([ahead, _taken(back, backwards)], dim=-1)


def _one_direction(layer: nn.RNNBase, features: Tensor, weights: list[Tensor]) -> Tensor:
    start = features.new_zeros(1, len(features), layer.hidden_size)
    states = (start, start) if layer.mode == "LSTM" else start
    function = FUNCTIONS[layer.mode]
    return function(features, states, weights, layer.bias, 1, 0.0, layer.training, False, True)[0]


def _backwards(lengths: list[int], features: Tensor) -> Tensor:
    """Which frame comes where when utterances are turned round, [batch, frames]; padding stays in place."""
    frames = torch.arange(features.size(1), device=features.device)
    ends = torch.tensor(lengths, device=features.device)[:, None]
    return torch.where(frames < ends, ends - 1 - frames, frames)


def _taken(features: Tensor, order: Tensor) -> Tensor:
    return features.gather(1, order[..., None].expand(-1, -1, features.size(-1)))
