"""HuBERT: published values, also from files that mention fairseq's classes; which frames are padding."""

import golden
import pytest
import torch

from s3prl import hub

FILES = [(name, file) for name in ("hubert_base", "hubert_large") for file in golden.load(name).files]


def build(fixture, file="ckpt.pt", **options):
    data = golden.load(fixture)
    return hub.hubert_local(ckpt=str(data.folder / file), **options).eval(), data


@pytest.mark.parametrize(("fixture", "file"), FILES)
def test_hidden_states_equal_the_published_values(fixture, file):
    golden.check(*build(fixture, file))


def test_a_frame_is_padding_when_all_samples_of_its_share_are():
    expert, _ = build("hubert_large")
    samples, frames = 6411, 19
    share = samples // frames
    for length in (400, 2 * share, 2 * share + 1, samples):
        padding = torch.arange(samples) >= length
        expected = padding[: share * frames].view(frames, share).all(1).sum().item()
        assert expert.padding_frames([samples, length], frames) == [0, expected]


def test_utterances_of_one_length_do_not_influence_each_other():
    expert, data = build("hubert_base")
    wavs = [wav[:2211] for wav in data.wavs]
    with torch.no_grad():
        together, alone = expert(wavs)["last_hidden_state"], expert(wavs[:1])["last_hidden_state"]
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-5)
