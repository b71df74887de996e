"""How an upstream is run: devices and types of waves, gradients, utterances apart."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import UpstreamBase
from s3prl.utility.errors import UserError

WAVS = [torch.randn(samples) for samples in (6400, 3200, 6400, 1600)]


class LooksAtPadding(UpstreamBase):
    """Its frames carry the mean of the whole padded batch, as group norms do."""

    def __init__(self, **traits):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(320))
        self.batches = []
        for name, value in traits.items():
            setattr(self, name, value)

    def forward(self, wavs):
        self.batches.append([len(wav) for wav in wavs])
        frames = pad_sequence(wavs, batch_first=True).unfold(1, 320, 320) * self.scale
        state = frames + frames.mean((1, 2), keepdim=True)
        return {"hidden_states": [state], "last_hidden_state": state}


@pytest.mark.parametrize(
    ("promised", "alone", "apart"),
    [(False, False, False), (False, True, True), (True, False, False), (True, True, False)],
)
def test_utterances_are_computed_apart_only_when_asked_for_and_needed(promised, alone, apart):
    upstream = LooksAtPadding(batch_invariant=promised).eval()
    encoder = Encoder(upstream, "cpu", alone=alone)
    result = encoder(WAVS)["last_hidden_state"]
    assert upstream.batches == ([[6400, 6400], [3200], [1600]] if apart else [[6400, 3200, 6400, 1600]])
    assert encoder.batch_invariant == (promised or alone)
    if apart:
        for row, wav in zip(result, WAVS, strict=True):
            alone = upstream([wav])["last_hidden_state"][0]
            torch.testing.assert_close(row[: len(alone)], alone, rtol=0, atol=0)


def test_of_a_model_that_is_no_upstream_base_the_batch_is_assumed_to_change_values():
    class Stranger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.batch_invariant = LooksAtPadding(), True

        def forward(self, wavs):
            return self.model(wavs)

    stranger = Stranger().eval()
    Encoder(stranger, "cpu", alone=True)(WAVS)
    assert stranger.model.batches == [[6400, 6400], [3200], [1600]]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_arrays_of_any_precision_become_float32_tensors(kind):
    upstream = LooksAtPadding().eval()
    wav = WAVS[0].numpy().astype(kind)
    ours = Encoder(upstream, "cpu")([wav])["last_hidden_state"]
    assert ours.dtype == torch.float32
    assert torch.equal(ours, upstream([torch.from_numpy(wav).float()])["last_hidden_state"])


def test_whole_numbers_are_not_taken_for_samples():
    wav = (1000 * WAVS[0].numpy()).astype(np.int16)
    with pytest.raises(UserError, match="Divide 16-bit samples by 32768"):
        Encoder(LooksAtPadding(), "cpu")([wav])


@pytest.mark.parametrize("alone", [False, True])
def test_an_utterance_with_nan_is_named_by_its_place_in_the_whole_batch(alone):
    wavs = [*WAVS[:3], torch.full((1600,), float("nan"))]
    with pytest.raises(UserError, match="Utterance 3 of a batch of 4 has 1600 samples that are NaN"):
        Encoder(LooksAtPadding(), "cpu", alone=alone)(wavs)


def test_gradients_flow_in_training_mode_only():
    upstream = LooksAtPadding()
    encoder = Encoder(upstream, "cpu")
    assert encoder(WAVS)["last_hidden_state"].requires_grad
    upstream.eval()
    assert not encoder(WAVS)["last_hidden_state"].requires_grad
    upstream.train()
    with torch.no_grad():
        assert not encoder(WAVS)["last_hidden_state"].requires_grad
