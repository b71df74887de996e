"""On a CPU the padding of a batch is not computed; the values are those of the padded batch."""

import golden
import pytest
import torch
from test_hf import LAYER_NORM, wav2vec2_like
from torch.nn.utils.rnn import pad_sequence

from s3prl import hub
from s3prl.upstream.common.transformers.adapter import EvenSplitUpstream, TransformersUpstream
from s3prl.upstream.common.transformers.wavlm import FusedAttention
from s3prl.upstream.common.unpadded import convolved, normalised

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


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_no_padding_reaches_the_convolutions_or_the_layers(kind):
    upstream, lengths = build(kind), (32000, 6400, 19200)
    samples, frames = [], []
    convolutions = upstream.model.feature_extractor.conv_layers
    convolutions[1].register_forward_pre_hook(lambda _, inputs: samples.append(inputs[0].size(2) * 5))
    upstream.model.encoder.layers[0].register_forward_pre_hook(
        lambda _, inputs: frames.append(inputs[0].shape[:2])
    )
    upstream(waves(lengths))
    read = [min(samples // STRIDE + 1, upstream.num_frames(lengths[0])) for samples in lengths]
    assert sorted(frames) == sorted((1, one) for one in read)
    assert sum(samples) < 1.05 * sum(lengths)  # pieces overlap a little
    frames.clear()
    upstream.train()(waves(lengths))
    assert frames == [(3, upstream.num_frames(lengths[0]))]


@torch.no_grad()
def test_a_hook_on_an_inner_module_finds_the_whole_batch():
    upstream, lengths = build("hubert base"), (32000, 6400, 19200)
    upstream.add_hook("self.model.encoder.layers[0]", lambda inputs, output: inputs[0])
    upstream.forward = lambda wavs: upstream.encode(wavs) and {}
    (tapped,) = upstream(waves(lengths))["hidden_states"]
    assert tapped.shape[:2] == (3, upstream.num_frames(lengths[0]))


@pytest.mark.parametrize("kind", ["hubert base", "wavlm large", "data2vec"])
@torch.no_grad()
def test_the_order_of_a_batch_changes_no_value(kind):
    upstream, wavs = build(kind), waves(RAGGED["a little apart"])
    order = [3, 0, 5, 1, 4, 2]
    ours, other = upstream(wavs)["hidden_states"], upstream([wavs[index] for index in order])["hidden_states"]
    for one, shuffled in zip(ours, other, strict=True):
        torch.testing.assert_close(one[order], shuffled, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2 base", "wavlm large"])
def test_in_evaluation_gradients_are_those_of_the_padded_batch(kind):
    upstream, wavs = build(kind), waves(RAGGED["a little apart"])
    weights = [weight for name, weight in upstream.named_parameters() if "masked_spec_embed" not in name]

    def gradients(states):
        valid = [upstream.num_frames(len(wav)) for wav in wavs]
        rows = [state[row, :frames] for state in states for row, frames in enumerate(valid)]
        return torch.autograd.grad(sum(row.square().mean() for row in rows), weights)

    ours = gradients(upstream(wavs)["hidden_states"])
    theirs = gradients(padded_states(upstream, wavs))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * (1 + other.abs().max().item()))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("loudness", "offset"), [(0.1, 0.0), (1e-3, 0.5), (0.0, 0.0), (0.0, 0.3)], ids=str)
@torch.no_grad()
def test_a_group_norm_over_a_padded_batch_follows_from_the_wave(loudness, offset, bias):
    torch.manual_seed(0)
    convolution, norm = torch.nn.Conv1d(1, 16, 10, 5, bias=bias), torch.nn.GroupNorm(16, 16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    wav, longest = offset + loudness * torch.randn(4003), 9998
    whole = torch.nn.functional.pad(wav, (0, longest - len(wav))).double()
    frames = 700
    expected = norm.double()(convolution.double()(whole[None, None]))[0, :, :frames]
    ours = convolved(
        wav, [normalised(convolution.float(), norm.float(), wav, longest)], [(16, 10, 5)], frames
    )
    torch.testing.assert_close(ours, expected.T.float(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_position_bias_in_blocks_is_that_in_one_piece(monkeypatch):
    upstream, wavs = build("wavlm base"), waves((30000, 29000))
    whole = upstream(wavs)["last_hidden_state"]
    calls = []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr("s3prl.upstream.common.transformers.wavlm.LARGEST_BIAS", 2 * 4 * 93 * 20)
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda query, *rest: calls.append(query.size(2)) or attend(query, *rest),
    )
    blocks = upstream(wavs)["last_hidden_state"]
    assert calls == 2 * [20, 20, 20, 20, 13]
    torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-5)
    attention = upstream.model.encoder.layers[0].attention
    theirs = super(FusedAttention, attention).compute_bias(900, 900)
    assert torch.equal(attention.compute_bias(900, 900), theirs)


@pytest.mark.parametrize("lengths", RAGGED.values(), ids=RAGGED)
@torch.no_grad()
def test_distilhubert_has_the_values_of_the_padded_batch(lengths):
    expert = hub.distiller_local(ckpt=str(golden.DATA / "distilhubert" / "ckpt.ckpt")).eval()
    wavs = waves(lengths)
    ours, padded = expert(wavs), expert.model(pad_sequence(wavs, batch_first=True), lengths)
    theirs = [padded.features, *padded.layers, *padded.predictions]
    assert torch.equal(ours["pad_mask"].bool(), padded.valid)
    for one, other in zip(ours["hidden_states"], theirs, strict=True):
        assert one.shape == other.shape
        for row, samples in enumerate(lengths):
            read = min(samples // STRIDE + 1, other.size(1))
            torch.testing.assert_close(one[row, :read], other[row, :read], rtol=0, atol=2e-5)
