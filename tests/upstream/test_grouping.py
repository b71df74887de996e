"""Utterances computed apart by length, so that a model that looks at padding gives what it gives alone."""

import torch
from torch.nn.utils.rnn import pad_sequence

from s3prl.upstream.grouping import in_equal_lengths

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
