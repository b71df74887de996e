"""Mockingjay, TERA and Audio ALBERT: published values, chunks, options, files that do not fit."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.training.checkpoint import load
from s3prl.upstream.common.mel_transformer.augment import spec_augment
from s3prl.upstream.common.mel_transformer.expert import scaled
from s3prl.upstream.common.mel_transformer.model import (
    SpecPredictionHead,
    TransformerConfig,
    TransformerModel,
    sinusoids,
)
from s3prl.upstream.common.mel_transformer.pretrained import read
from s3prl.utility.errors import UserError

ENTRIES = {
    "mockingjay": "mockingjay_local",
    "mockingjay_preln": "mockingjay_local",
    "tera": "tera_local",
    "tera_fbank_chunked": "tera_local",
    "audio_albert": "audio_albert_local",
}
FAMILIES = {fixture: entry.removesuffix("_local") for fixture, entry in ENTRIES.items()}
FILES = [(fixture, file) for fixture in ENTRIES for file in golden.load(fixture).files]
SMALL = TransformerConfig(hidden_size=16, num_attention_heads=2, intermediate_size=24)


def build(fixture, file=None, **options):
    data = golden.load(fixture)
    expert = hub.get(ENTRIES[fixture])(ckpt=str(data.folder / (file or data.files[0])), **options)
    return expert.eval(), data


def build_changed(tmp_path, change, fixture="mockingjay", **options):
    data = golden.load(fixture)
    state = load(data.folder / data.files[0])
    change(state)
    torch.save(state, tmp_path / "changed.ckpt")
    return hub.get(ENTRIES[fixture])(ckpt=str(tmp_path / "changed.ckpt"), **options)


def build_with(tmp_path, text, fixture="mockingjay"):
    options = tmp_path / "options.yaml"
    options.write_text(text)
    return build(fixture, options_config=str(options))


@pytest.mark.parametrize(("fixture", "file"), FILES)
def test_hidden_states_equal_the_published_values(fixture, file):
    golden.check(*build(fixture, file, public_batch=True))


@pytest.mark.parametrize(("fixture", "file"), FILES)
def test_the_prediction_head_equals_the_published_values(fixture, file):
    data = golden.load(fixture)
    pretrained, expected = read(data.folder / file, FAMILIES[fixture]), data.expected["prediction"]
    head = pretrained.head().eval()
    with torch.no_grad():
        prediction = head(data.expected["hidden_states"][-1][expected["index"]])
    torch.testing.assert_close(prediction, expected["output"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("fixture", ENTRIES)
def test_alone_gives_an_utterance_the_same_values_in_any_batch(fixture):
    expert, data = build(fixture)
    assert golden.check_invariance(expert, data) <= 1e-5
    assert expert.batch_invariant
    by_itself, _ = build(fixture)
    with torch.no_grad():
        for wav in data.wavs:
            one, other = expert([wav])["last_hidden_state"], by_itself([wav])["last_hidden_state"]
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fixture", ENTRIES)
def test_it_is_deterministic_trainable_and_survives_saving(fixture):
    expert, data = build(fixture)
    golden.check_contract(expert, data.wavs)


@pytest.mark.parametrize("public_batch", [False, True])
def test_a_long_utterance_is_encoded_in_chunks_that_do_not_see_each_other(public_batch):
    expert, data = build("tera_fbank_chunked", public_batch=public_batch)
    wavs = [torch.cat(data.wavs), data.wavs[1]]  # 78 and 24 frames
    with torch.no_grad():
        features, frames = expert.features(wavs)
        states = expert(wavs)["last_hidden_state"]
        size = 20  # 78 frames in four chunks of at most 25
        for start in range(0, frames[0], size):
            chunk = expert.model(features[:1, start : min(start + size, frames[0])])[-1]
            torch.testing.assert_close(states[:1, start : start + chunk.size(1)], chunk, rtol=0, atol=1e-5)
        size = 20 if public_batch else 24  # the public S3PRL cuts all utterances where it cuts the longest
        for start in range(0, frames[1], size):
            chunk = expert.model(features[1:, start : min(start + size, frames[1])])[-1]
            torch.testing.assert_close(states[1:, start : start + chunk.size(1)], chunk, rtol=0, atol=1e-5)


def test_frames_behind_the_end_are_not_seen():
    model = TransformerModel(SMALL, 8).eval()
    features = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(0))
    other = features.clone()
    other[1, 5:] = 1e4
    with torch.no_grad():
        for one, changed in zip(model(features, [9, 5]), model(other, [9, 5]), strict=True):
            assert torch.equal(one[1, :5], changed[1, :5])


def test_the_model_and_its_head_can_be_trained_without_an_expert():
    model, head = TransformerModel(SMALL, 8), SpecPredictionHead(SMALL, 5)
    states = model(torch.randn(2, 9, 8), [9, 4])
    assert len(states) == SMALL.num_hidden_layers + 1
    head(states[-1]).abs().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in [*model.parameters(), *head.parameters()])


def test_positions_grow_with_the_utterance():
    model = TransformerModel(SMALL, 8).eval()
    features = torch.randn(1, 30, 8)
    short = model(features[:, :7])[0]
    model(features)
    assert torch.equal(model(features[:, :7])[0], short)
    assert "input_representations.positions" not in model.state_dict()
    slow = torch.tensor(2 / 100)  # position 2, at 10000 ** (2 / 4)
    torch.testing.assert_close(sinusoids(3, 4)[2, 2:], torch.stack([slow.sin(), slow.cos()]))


def test_layers_of_audio_albert_are_one():
    shared, _ = build("audio_albert")
    assert len({id(weight) for weight in shared.model.encoder.parameters()}) == 16
    assert len(shared.model.encoder.layer) == 3


def test_the_level_of_a_wave_does_not_matter_and_silence_stays_finite():
    expert, data = build("tera")
    with torch.no_grad():
        quiet = expert([wav * 0.05 for wav in data.wavs])["last_hidden_state"]
        loud = expert(data.wavs)["last_hidden_state"]
        for one, other, frames in zip(quiet, loud, data.expected["alone_frames"], strict=True):
            torch.testing.assert_close(one[:frames], other[:frames], rtol=0, atol=1e-3)
    wavs = [torch.zeros(3000), data.wavs[0].clone().requires_grad_()]
    assert expert(wavs)["last_hidden_state"].isfinite().all()
    silence = torch.zeros(10, requires_grad=True)
    (louder,) = scaled([silence], 0.1)
    louder.sum().backward()
    assert louder.abs().sum() == 0 and silence.grad.isfinite().all()


def test_no_target_level_leaves_waves_as_they_are(tmp_path):
    def unset(state):
        state["Config"]["audio"]["target_level"] = "None"

    assert build_changed(tmp_path, unset).target_rms is None


@pytest.mark.parametrize("fixture", ENTRIES)
def test_an_utterance_without_a_frame_is_named(fixture):
    expert, data = build(fixture)
    least = 400 if fixture == "tera_fbank_chunked" else 201
    shortest = expert([data.wavs[0][:least]])["last_hidden_state"]
    assert shortest.size(1) == expert.num_frames(least) > 0
    for samples in (0, least - 1):
        with pytest.raises(UserError, match=rf"Utterance 1 .* {samples} samples.*at least {least}"):
            expert([data.wavs[0], torch.zeros(samples)])


def test_options_replace_dropout_and_return_the_last_state_alone(tmp_path):
    expert, data = build_with(tmp_path, "dropout: '0.35'\noutput_hidden_states: 'False'\n")
    assert expert.model.config.hidden_dropout_prob == 0.35
    assert expert.model.encoder.layer[0].attention.self.dropout == 0.35
    result, full = expert(data.wavs), build("mockingjay")[0](data.wavs)
    assert len(result["hidden_states"]) == 1
    assert torch.equal(result["last_hidden_state"], full["last_hidden_state"])


def test_options_take_random_weights_and_keep_the_model_out_of_training(tmp_path):
    published = build("mockingjay")[0].model.state_dict()
    expert, data = build_with(tmp_path, "load_pretrain: 'False'\nno_grad: 'True'\n")
    weight = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(expert.model.state_dict()[weight], published[weight])
    assert not expert.train()(data.wavs)["last_hidden_state"].requires_grad


@pytest.mark.parametrize("before", [True, False])
def test_spec_augment_acts_in_training_only(tmp_path, before):
    text = f"spec_aug: 'True'\nspec_aug_prev: '{before}'\ndropout: '0.0'\n"
    expert, data = build_with(tmp_path, text)
    wavs = [torch.cat([data.wavs[0]] * 4)]
    plain = build("mockingjay")[0](wavs)["hidden_states"]
    assert all(
        torch.equal(one, other) for one, other in zip(expert(wavs)["hidden_states"], plain, strict=True)
    )
    torch.manual_seed(0)
    changed = expert.train()(wavs)["hidden_states"]
    assert len(changed) == len(plain)
    assert torch.allclose(changed[0], plain[0], atol=1e-5) == (not before)


def test_spec_augment_zeroes_bands_and_nothing_else():
    torch.manual_seed(0)
    features = torch.ones(4, 200, 40)
    masked = spec_augment(features, 4)
    assert features.min() == 1.0
    rows, columns = (masked.amax(dim=dim) == 0 for dim in (2, 1))  # wholly masked frames, dimensions
    assert rows.any() and columns.any()
    assert torch.equal(masked == 0, rows[:, :, None] | columns[:, None])
    assert rows.sum(1).max() <= 140 and columns.sum(1).max() <= 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("droput: '0.1'\n", "dropout"),
        ("dropout: many\n", "dropout must be a number"),
        ("dropout: 1.0\n", "dropout must be `default` or from 0"),
        ("no_grad: perhaps\n", "no_grad must be true or false"),
        ("permute_input: 'True'\n", "permute_input"),
    ],
)
def test_options_that_cannot_be_read_are_named(tmp_path, text, told):
    with pytest.raises(UserError, match=told):
        build_with(tmp_path, text)


def test_numbers_written_as_text_are_read(tmp_path):
    def as_text(state):
        state["Config"]["transformer"] |= {
            "layer_norm_eps": "1e-12",
            "share_layer": "False",
            "hidden_size": "32",
        }

    assert build_changed(tmp_path, as_text).model.config == build("mockingjay")[0].model.config


def remove_weight(state):
    del state["Transformer"]["encoder.layer.1.output.dense.bias"]


def add_weight(state):
    state["Transformer"]["extra.weight"] = torch.zeros(1)


def cut_weight(state):
    state["Transformer"]["input_representations.spec_transform.weight"] = torch.zeros(32, 40)


def misspell_activation(state):
    state["Config"]["transformer"]["hidden_act"] = "geglu"


def split_heads(state):
    state["Config"]["transformer"]["num_attention_heads"] = 5


def garble_size(state):
    state["Config"]["transformer"]["hidden_size"] = "wide"


def forget_audio(state):
    del state["Config"]["audio"]


def stack_frames(state):
    state["Config"]["transformer"]["downsample_rate"] = 3


def drop_everything(state):
    state.clear()
    state["Model"] = {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (remove_weight, r"lacks encoder\.layer\.1\.output\.dense\.bias"),
        (add_weight, r"unknown extra\.weight"),
        (cut_weight, r"\[32, 40\] instead of \[32, 80\]"),
        (misspell_activation, r"changed\.ckpt.*'gelu'"),
        (split_heads, r"changed\.ckpt.*multiple"),
        (garble_size, r"hidden_size must be a whole number"),
        (forget_audio, r"extracted beforehand"),
        (stack_frames, r"downsample_rate 3"),
        (drop_everything, r"no checkpoint of Mockingjay.*Model"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(tmp_path, change, told):
    with pytest.raises(UserError, match=told):
        build_changed(tmp_path, change)


@pytest.mark.parametrize("fixture", ENTRIES)
def test_layer_norms_by_the_names_of_2020_give_the_same(tmp_path, fixture):
    def rename(state):
        for part in ("Transformer", "SpecHead"):
            old = {"weight": "gamma", "bias": "beta"}
            for name in [name for name in state[part] if "LayerNorm" in name]:
                stem, _, last = name.rpartition(".")
                state[part][f"{stem}.{old[last]}"] = state[part].pop(name)

    ours, data = build(fixture)
    renamed = build_changed(tmp_path, rename, fixture).eval()
    assert any("gamma" in name for name in load(tmp_path / "changed.ckpt")["Transformer"])
    with torch.no_grad():
        pairs = zip(ours(data.wavs)["hidden_states"], renamed(data.wavs)["hidden_states"], strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    read(tmp_path / "changed.ckpt", FAMILIES[fixture]).head()


def test_a_file_without_a_head_still_gives_features(tmp_path):
    def behead(state):
        del state["SpecHead"]

    assert build_changed(tmp_path, behead).output_dim == 32
    with pytest.raises(UserError, match="no prediction head"):
        read(tmp_path / "changed.ckpt", "mockingjay").head()


@pytest.mark.parametrize("family", ["mockingjay", "tera", "audio_albert"])
def test_without_a_file_the_message_says_how_to_give_one(family):
    with pytest.raises(UserError, match=f"{family}_local needs a checkpoint: -k FILE"):
        hub.get(f"{family}_local")(ckpt=None, model_config=None, refresh=False)


@pytest.mark.parametrize("name", ["tera_960hr", "mockingjay_origin", "audio_albert_url", "tera_gdriveid"])
def test_published_names_exist(name):
    assert name in hub.options()
