"""Utterances computed apart by length, for models that are not batch-invariant."""

import torch
from torch.nn.utils.rnn import pad_sequence

from s3prl.upstream.grouping import in_equal_lengths, similar_lengths

WAVS = [torch.randn(samples) for samples in (6400, 3200, 6400, 1600)]


class LooksAtPadding(torch.nn.Module):
    """Its frames carry the mean of the whole padded batch, as group norms do."""

    def forward(self, wavs):
        frames = pad_sequence(wavs, batch_first=True).unfold(1, 320, 320)  # [batch, frames, 320]
        state = frames + frames.mean((1, 2), keepdim=True)
        return {"hidden_states": [state, 2 * state], "last_hidden_state": 2 * state, "name": "x"}


def test_every_utterance_has_the_values_it_has_alone():
    upstream = LooksAtPadding()
    result = in_equal_lengths(upstream, WAVS)
    assert result["name"] == "x"
    assert len(result["hidden_states"]) == 2
    for row, wav in enumerate(WAVS):
        alone = upstream([wav])
        for ours, theirs in zip(result["hidden_states"], alone["hidden_states"], strict=True):
            torch.testing.assert_close(ours[row, : theirs.size(1)], theirs[0])
            assert not ours[row, theirs.size(1) :].any()
        torch.testing.assert_close(
            result["last_hidden_state"][row, : len(wav) // 320], alone["last_hidden_state"][0]
        )


def test_groups_of_similar_length_hold_little_padding_and_fit_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    second = 16000
    assert similar_lengths([5 * second]) == [[0]]
    assert similar_lengths([5 * second, 9 * second, 5 * second + 100]) == [[1], [2, 0]]
    assert similar_lengths([second, 2 * second, second - 3000]) == [[1], [0, 2]]
    assert similar_lengths([10 * second] * 5) == [[0, 1], [2, 3], [4]]
    assert similar_lengths([second // 2] * 40) == [list(range(40))]
    assert similar_lengths([100 * second, 100 * second]) == [[0], [1]]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert similar_lengths([second, 2 * second, second - 3000]) == [[1, 0], [2]]
    assert similar_lengths([10 * second] * 5) == [[0, 1, 2, 3, 4]]
