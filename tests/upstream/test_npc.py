"""NPC: published values, the padding they depend on, variants of the network."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.upstream.npc.model import Npc, NpcConfig
from s3prl.utility.errors import UserError

SMALL = {"kernel_size": 13, "mask_size": 3, "hidden_size": 8, "n_blocks": 3}


def build(**options):
    data = golden.load("npc")
    return hub.npc_local(ckpt=str(data.folder / data.files[0]), **options), data


def test_hidden_states_equal_the_published_values():
    golden.check(*build(public_batch=True))


def test_the_predicted_spectrum_equals_the_published_values():
    expert, data = build(public_batch=True)
    expected = data.expected["prediction"]
    expert.eval()
    with torch.no_grad():
        prediction = expert.model.prediction(expert(data.wavs)["last_hidden_state"])
    ours = prediction[expected["index"]]
    torch.testing.assert_close(ours, expected["output"], rtol=0, atol=data.tolerance)


def test_masked_padding_makes_an_utterance_the_same_in_any_batch():
    expert, data = build()
    golden.check_invariance(expert, data)
    golden.check_alone(expert, data)


@pytest.mark.parametrize("public_batch", [False, True])
def test_it_is_deterministic_trainable_and_survives_saving(public_batch):
    expert, data = build(public_batch=public_batch)
    golden.check_contract(expert, data.wavs)


def test_the_prediction_of_a_frame_does_not_depend_on_the_frames_it_must_do_without():
    model = Npc(NpcConfig(**SMALL, activate="tanh"), feature_dim=5).eval()
    features = torch.randn(1, 41, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    model.prediction(model(features, [41])[-1])[0, 20].sum().backward()
    seen = features.grad[0].abs().sum(-1) > 0
    # the last block has spread frames by 3 to either side; the window of 13 adds 6
    assert seen.nonzero().squeeze(1).tolist() == [*range(11, 19), *range(22, 30)]


def test_masking_the_last_block_only_gives_one_masked_convolution():
    model = Npc(NpcConfig(**SMALL, disable_cross_layer=True, batch_norm=False), feature_dim=5).eval()
    states = model(torch.randn(2, 30, 5), [30, 20])
    assert [state.shape for state in states] == [(2, 30, 8)] * 5
    assert torch.equal(states[-1], states[-2])
    assert not any("bn" in name for name in model.state_dict())
    assert "masked_convs.2.conv.weight" in model.state_dict()


def test_an_activation_that_does_not_exist_is_a_clear_error(tmp_path):
    data = golden.load("npc")
    state = torch.load(data.folder / data.files[0], weights_only=True)
    state["config"]["model"]["paras"]["activate"] = "rellu"
    torch.save(state, tmp_path / "changed.ckpt")
    with pytest.raises(UserError, match=r"changed\.ckpt.*activate: rellu.*Did you mean 'relu'"):
        hub.npc_local(ckpt=str(tmp_path / "changed.ckpt"))


def test_every_name_takes_a_local_file_and_what_the_runner_passes():
    data = golden.load("npc")
    for name in ["npc", "npc_360hr", "npc_960hr", "npc_custom", "npc_url"]:
        expert = hub.get(name)(ckpt=str(data.folder / data.files[0]), model_config=None, refresh=False)
        assert len(expert(data.wavs[:1])["hidden_states"]) == 9


def test_a_checkpoint_that_is_missing_or_foreign_is_a_clear_error():
    with pytest.raises(UserError, match="-k FILE"):
        hub.npc_local()
    other = golden.load("apc")
    with pytest.raises(UserError, match=r"ckpt\.ckpt is a checkpoint of APC, not of NPC"):
        hub.npc_local(ckpt=str(other.folder / other.files[0]))
