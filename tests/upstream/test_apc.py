"""APC and VQ-APC: published values, files that do not fit, models of other sizes."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.upstream.common.autoregressive import Apc, ApcConfig
from s3prl.upstream.common.vq import VqConfig, codebooks
from s3prl.utility.errors import UserError

FIXTURES = ["apc", "vq_apc"]


def build(fixture, **options):
    data = golden.load(fixture)
    return hub.get(f"{fixture}_local")(ckpt=str(data.folder / data.files[0]), **options), data


@pytest.fixture
def changed(tmp_path):
    """A function that writes VQ-APC's checkpoint after `change(state)` and returns its path."""

    def write(change):
        data = golden.load("vq_apc")
        state = torch.load(data.folder / data.files[0], weights_only=True)
        change(state)
        torch.save(state, tmp_path / "changed.ckpt")
        return str(tmp_path / "changed.ckpt")

    return write


@pytest.mark.parametrize("fixture", FIXTURES)
def test_hidden_states_equal_the_published_values(fixture):
    golden.check(*build(fixture))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_predicted_spectrum_equals_the_published_values(fixture):
    expert, data = build(fixture)
    expected = data.expected["prediction"]
    expert.eval()
    with torch.no_grad():
        prediction = expert.model.prediction(expert(data.wavs)["last_hidden_state"])
    ours = prediction[expected["index"]]
    torch.testing.assert_close(ours, expected["output"], rtol=0, atol=data.tolerance)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_an_utterance_is_the_same_in_any_batch_and_zero_after_its_end(fixture):
    expert, data = build(fixture)
    golden.check_invariance(expert, data)
    for state in expert(data.wavs)["hidden_states"]:
        assert state[1, expert.num_frames(len(data.wavs[1])) :].abs().sum() == 0


@pytest.mark.parametrize("fixture", FIXTURES)
def test_it_is_deterministic_trainable_and_survives_saving(fixture):
    expert, data = build(fixture)
    golden.check_contract(expert, data.wavs)


def test_the_prediction_trains_code_books_and_layers_through_the_choice_of_a_code():
    expert, data = build("vq_apc")
    expert.train()
    expert.model.prediction(expert(data.wavs)["last_hidden_state"]).square().mean().backward()
    for weight in expert.parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 0


@pytest.mark.parametrize("num_layers", [1, 5])
def test_a_model_of_any_number_of_layers_gives_the_output_of_each(num_layers, changed):
    def resize(state):
        paras = state["config"]["model"]["paras"]
        paras.update(num_layers=num_layers, residual=False, vq=None)
        state["model"] = Apc(ApcConfig(**paras), 80).state_dict()

    expert = hub.apc_local(ckpt=changed(resize)).eval()
    wavs = golden.load("apc").wavs
    assert [state.shape for state in expert(wavs)["hidden_states"]] == [(3, 38, 32)] * num_layers


def test_the_configuration_in_a_checkpoint_decides_on_features(changed):
    def slower(state):
        state["config"]["data"]["audio"].update(frame_shift=20, cmvn=False)

    expert = hub.vq_apc_local(ckpt=changed(slower))
    assert (expert.get_downsample_rates("hidden_states"), expert.num_frames(16000)) == (320, 49)


@pytest.mark.parametrize("name", ["apc_local", "apc", "apc_360hr", "apc_960hr", "apc_custom"])
def test_every_name_takes_a_local_file_and_what_the_runner_passes(name):
    data = golden.load("apc")
    expert = hub.get(name)(ckpt=str(data.folder / data.files[0]), model_config=None, refresh=False)
    assert len(expert(data.wavs[:1])["hidden_states"]) == 3


def test_all_published_names_exist():
    published = {"apc_url", "apc_gdriveid", "vq_apc", "vq_apc_360hr", "vq_apc_960hr", "vq_apc_url"}
    assert published <= set(hub.options())


def test_a_missing_or_foreign_checkpoint_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="-k FILE"):
        hub.apc_local()
    with pytest.raises(UserError, match=r"no checkpoint .*nowhere\.ckpt"):
        hub.apc_local(ckpt=str(tmp_path / "nowhere.ckpt"))
    torch.save({"model": {}, "step": 1}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt is not a checkpoint of APC.*config\.data\.audio"):
        hub.apc_local(ckpt=str(tmp_path / "other.ckpt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["model"].pop("postnet.bias"), r"changed\.ckpt .*lacks postnet\.bias"),
        (lambda state: state["model"].update(head=torch.zeros(1)), r"changed\.ckpt .*unknown head"),
        (lambda state: state["config"]["data"]["audio"].update(feat_dim=40), r"changed\.ckpt do not fit"),
        (lambda state: state["config"]["model"]["paras"].pop("hidden_size"), "needs the field 'hidden_size'"),
        (lambda state: state["config"]["model"]["paras"]["vq"].update(code_dim=[16]), r"code_dim \[16\]"),
        (lambda state: state["config"]["data"]["audio"].update(frame_lenght=25), "frame_length"),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_what_is_wrong(change, message, changed):
    path = changed(change)
    with pytest.raises(UserError, match=message):
        hub.vq_apc_local(ckpt=path)


def test_audio_too_short_for_a_frame_is_named_by_its_place():
    expert, data = build("apc")
    with pytest.raises(UserError, match=r"Utterance 1 of a batch of 2 has 399 samples.*at least 400"):
        expert([data.wavs[0], data.wavs[0][:399]])


def test_every_group_of_dimensions_has_its_own_code_book():
    config = VqConfig(codebook_size=[4, 3], code_dim=[6, 2])
    assert [book.codebook_CxE.weight.shape for book in codebooks(config, 8)] == [(6, 4), (2, 3)]
