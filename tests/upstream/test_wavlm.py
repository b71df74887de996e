"""WavLM: published values; its position bias; half precision."""

import golden
import pytest
import torch

from s3prl import hub

FIXTURES = ["wavlm_base", "wavlm_large"]


def build(fixture, **options):
    data = golden.load(fixture)
    return hub.wavlm_local(ckpt=str(data.folder / "ckpt.pt"), **options).eval(), data


@pytest.mark.parametrize("fixture", FIXTURES)
def test_hidden_states_equal_the_published_values(fixture):
    golden.check(*build(fixture))


@torch.no_grad()
def test_long_audio_uses_the_farthest_buckets():
    expert, data = build("wavlm_base")
    long = torch.cat([data.wavs[0]] * 8)
    before = expert([long])["last_hidden_state"]
    expert.model.encoder.layers[0].attention.rel_attn_embed.weight[15].add_(3)  # max_distance or more behind
    after = expert([long])["last_hidden_state"]
    assert (before - after).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("fixture", FIXTURES)
def test_mixed_precision_stays_near_the_published_values(fixture):
    expert, data = build(fixture)
    with torch.autocast("cpu", torch.bfloat16):
        states = expert(data.wavs)["hidden_states"]
    difference = golden._difference(
        [state.float() for state in states], data.expected["hidden_states"], data.expected["alone_frames"]
    )
    assert difference < 0.2
