"""On a CPU the padding of a batch is not computed; the values are those of the padded batch."""

import pytest
import torch
from test_hf import LAYER_NORM, wav2vec2_like

from s3prl.upstream.common.transformers.adapter import EvenSplitUpstream, TransformersUpstream
from s3prl.upstream.common.unpadded import FRAMES_AT_ONCE, convolved, normalised

STRIDE = 320
NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0
)
STACKED = {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
KINDS = {
    "wav2vec2 base": (TransformersUpstream, "Wav2Vec2", {"conv_bias": False}),
    "wav2vec2 large": (TransformersUpstream, "Wav2Vec2", LAYER_NORM),
    "a bias before the group norm": (TransformersUpstream, "UniSpeech", {}),
    "hubert base": (EvenSplitUpstream, "Hubert", {"conv_bias": False}),
    "hubert large": (EvenSplitUpstream, "Hubert", LAYER_NORM),
    "wavlm base": (EvenSplitUpstream, "WavLM", {"conv_bias": False}),
    "wavlm large": (EvenSplitUpstream, "WavLM", LAYER_NORM),
    "data2vec": (TransformersUpstream, "Data2VecAudio", STACKED),
}
RAGGED = {
    "far apart, with the shortest that has a frame": (9100, 400, 30723, 16079, 719),
    "a little apart": (6411, 9000, 5003, 8999, 6411, 9320),
    "of one length": (8000, 8000, 8000),
    "one": (7000,),
    "one more frame by rounding": (24000, 3599, 3600, 3601, 23999),
}


def build(kind):
    upstream, name, config = KINDS[kind]
    model = wav2vec2_like(name, **{**config, **NO_DROPOUT})
    return upstream(model, normalize="large" in kind).eval()


def waves(lengths):
    generator = torch.Generator().manual_seed(1)
    return [0.02 + 0.1 * torch.randn(samples, generator=generator) for samples in lengths]


def padded_states(upstream, wavs):
    """The hidden states of the whole batch in one piece, as training computes them (there is no dropout)."""
    states = upstream.train()(wavs)["hidden_states"]
    upstream.eval()
    return states


@pytest.mark.parametrize("lengths", RAGGED.values(), ids=RAGGED)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_an_utterance_has_the_values_of_the_padded_batch(kind, lengths):
    upstream, wavs = build(kind), waves(lengths)
    ours, padded = upstream(wavs)["hidden_states"], padded_states(upstream, wavs)
    assert len(ours) == len(padded) == 3
    for one, other in zip(ours, padded, strict=True):
        assert one.shape == other.shape
        for row, samples in enumerate(lengths):
            read = min(samples // STRIDE + 1, other.size(1))  # as the public S3PRL counts
            assert read >= upstream.num_frames(samples)
            torch.testing.assert_close(one[row, :read], other[row, :read], rtol=0, atol=2e-5)
