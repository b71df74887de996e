"""wav2vec 2.0: published values, the further outputs of its layers."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.upstream.interfaces import Featurizer
from s3prl.upstream.wav2vec2 import hubconf
from s3prl.utility.errors import UserError

FILES = [(name, file) for name in ("wav2vec2_base", "wav2vec2_large") for file in golden.load(name).files]
SELECTIONS = ["fairseq_layers", "fairseq_layers_before_residual"]


def build(fixture, file="ckpt.pt", **options):
    data = golden.load(fixture)
    return hub.wav2vec2_local(ckpt=str(data.folder / file), **options).eval(), data


@pytest.mark.parametrize(("fixture", "file"), FILES)
def test_hidden_states_equal_the_published_values(fixture, file):
    golden.check(*build(fixture, file))


@pytest.mark.parametrize("fixture", ["wav2vec2_base", "wav2vec2_large"])
@pytest.mark.parametrize("selection", SELECTIONS)
@torch.no_grad()
def test_the_selected_layers_equal_the_published_values(fixture, selection):
    expert, data = build(fixture, feature_selection=selection)
    result = expert(data.wavs)
    for ours, theirs in zip(result[selection], data.expected[selection], strict=True):
        for row, valid in enumerate(data.expected["alone_frames"]):
            torch.testing.assert_close(ours[row, :valid], theirs[row, :valid], rtol=0, atol=data.tolerance)
    assert len(result["hidden_states"]) == len(data.expected["hidden_states"])
    features = Featurizer(expert, feature_selection=selection)(data.wavs, result)
    for feature, valid in zip(features, data.expected["alone_frames"], strict=True):
        assert len(feature) - valid in (0, 1)  # rounded, for all but the hidden states


@torch.no_grad()
def test_a_hub_repository_has_the_selected_layers_too(tmp_path):
    expert, data = build("wav2vec2_large", feature_selection=SELECTIONS[1])
    expert.model.save_pretrained(tmp_path)
    loaded = hubconf._from_repository(repository=str(tmp_path), feature_selection=SELECTIONS[1]).eval()
    for one, other in zip(loaded(data.wavs)[SELECTIONS[1]], expert(data.wavs)[SELECTIONS[1]], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_selected_layers_do_not_depend_on_the_batch_in_groups_of_equal_length():
    expert, data = build("wav2vec2_base", feature_selection=SELECTIONS[0], alone=True)
    together = expert(data.wavs)[SELECTIONS[0]]
    for row, wav in enumerate(data.wavs):
        for one, alone in zip(together, expert([wav])[SELECTIONS[0]], strict=True):
            torch.testing.assert_close(one[row, : alone.size(1)], alone[0], rtol=0, atol=1e-5)


def test_layer_norm_in_the_convolutions_keeps_padding_out():
    golden.check_invariance(*build("wav2vec2_large"))


def test_a_selection_that_does_not_exist_names_those_that_do():
    with pytest.raises(UserError, match=r"Did you mean 'fairseq_layers'\?"):
        build("wav2vec2_base", feature_selection="fairseq_layer")


def test_a_local_file_goes_before_the_published_one():
    file = golden.load("wav2vec2_base").folder / "ckpt.pt"
    expert = hub.wav2vec2_base_960(ckpt=str(file), model_config=None, refresh=False)
    assert len(expert.model.encoder.layers) == 3
