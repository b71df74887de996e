"""Pre-training of Mockingjay, TERA and Audio ALBERT: learning, checkpoints, resume, features made ready."""

import copy
import json

import numpy as np
import pytest
import soundfile
import torch
from pretraining import arguments, assert_resume_is_exact, config, losses, recordings, states, tones, train
from public_package import public_package_or_skip, public_s3prl

from s3prl import hub
from s3prl.pretrain.runner import Runner
from s3prl.training import distributed
from s3prl.upstream.common.mel_transformer.model import TransformerConfig, TransformerModel
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT

FAMILIES = ("mockingjay", "tera", "audio_albert")
PARTS = ("Transformer", "SpecHead")
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def tiny(family, **task):
    """The published configuration with a small transformer."""
    found = load_yaml(ROOT / "pretrain" / family / "config_model.yaml")
    found["transformer"] |= SMALL
    found["task"] |= task
    return found


def changing(folder, count=8):
    """Recordings of noise that is loud and quiet by turns, so that a part of a frame tells the rest."""
    (folder / "train").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        level = np.repeat(random.choice([0.3, 0.001], 10), 1600)
        wave = level * random.normal(0, 1, 16000)
        soundfile.write(folder / "train" / f"{number}.wav", wave.astype(np.float32), 16000)
    return folder


def ready(folder, settings, dim, count=8):
    """A folder of features made ready; the settings are those of settings.json."""
    (folder / "train").mkdir(parents=True)
    rows, random = [",file_path,length,label"], np.random.default_rng(0)
    for number in range(count):
        frames = 60 - number
        array = random.normal(size=(frames, dim)).astype(np.float32)
        np.save(folder / "train" / f"{number}.npy", array)
        rows.append(f"{number},train/{number}.npy,{frames},")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    if settings is not None:
        (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def on_ready(folder, model, **runner):
    """A config for features made ready."""
    whole = config(folder, model, **runner)
    whole["pretrain_expert"]["datarc"] |= {"libri_root": None, "file_path": str(folder)}
    return whole


def trained_states(runner, wavs):
    """The hidden states of the network as it was trained, without its alterations."""
    expert = runner.expert.eval()
    with torch.no_grad():
        features, _, frames = expert.encode(wavs)
        return expert.model.Transformer(features, frames), frames


def assert_same_states(ours, theirs, frames, **tolerance):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for utterance, valid in enumerate(frames):
            torch.testing.assert_close(one[utterance, :valid], other[utterance, :valid], **tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_trained_is_what_its_upstream_computes(tmp_path, family):
    model = tiny(family, mask_proportion=0, mask_frequency=0.5)
    fast = {"name": "Adam", "lr": 1e-2}
    whole = config(changing(tmp_path / "audio"), model, fast, total_steps=60, log_step=10, save_step=60)
    runner = train(family, tmp_path / "run", whole)
    found = losses(tmp_path / "run")
    assert found[-1] < 0.8 * found[0]
    wavs = tones()
    trained, frames = trained_states(runner, wavs)
    upstream = hub.get(f"{family}_local")(ckpt=str(tmp_path / "run" / "states-60.ckpt")).eval()
    with torch.no_grad():
        assert_same_states(upstream(wavs)["hidden_states"], trained, frames, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path, family):
    model = tiny(family, noise_proportion=0.5, mask_allow_overlap=False)
    optimizer = {"name": "AdamW_with_schedule", "lr": 1e-3}
    whole = config(recordings(tmp_path / "audio"), model, optimizer, gradient_accumulate_steps=2)
    assert_resume_is_exact(family, tmp_path, whole, PARTS)


def test_a_checkpoint_holds_what_the_original_held(tmp_path):
    model = tiny("tera")
    train("tera", tmp_path / "run", config(recordings(tmp_path / "audio"), model, total_steps=2))
    state = states(tmp_path / "run", 2)
    assert {*PARTS, "Optimizer", "Step", "Args", "Config", "Upstream_Config"} <= state.keys()
    assert state["Upstream_Config"] == model
    assert state["SpecHead"]["output.weight"].shape == (80, 16)


def test_layers_of_audio_albert_are_one_in_training_too(tmp_path):
    runner = Runner(
        arguments("audio_albert", tmp_path / "run"),
        config(recordings(tmp_path / "audio"), tiny("audio_albert")),
    )
    layers = runner.expert.model.Transformer.encoder.layer
    assert len(layers) == 2 and layers[0] is layers[1]


def test_the_large_mockingjay_reads_mel_and_predicts_linear_spectra(tmp_path):
    model = load_yaml(ROOT / "pretrain" / "mockingjay" / "config_model_large.yaml")
    model["transformer"] |= SMALL
    runner = train(
        "mockingjay", tmp_path / "run", config(recordings(tmp_path / "audio"), model, total_steps=2)
    )
    features, target, _ = runner.expert.encode(tones())
    assert features.shape[1:] == (101, 80) and target.shape[1:] == (101, 201)


def test_a_target_like_the_input_is_computed_once(tmp_path):
    runner = Runner(arguments("tera", tmp_path / "run"), config(recordings(tmp_path / "audio"), tiny("tera")))
    features, target, _ = runner.expert.encode(tones())
    assert target is features


def test_pictures_are_of_the_first_utterance(tmp_path):
    runner = train(
        "tera", tmp_path / "run", config(recordings(tmp_path / "audio"), tiny("tera"), total_steps=2)
    )
    pictures = runner.expert.pictures
    assert set(pictures) == {"mask_spec", "pred_spec", "true_spec"}
    assert len({picture.shape for picture in pictures.values()}) == 1
    assert pictures["true_spec"].shape[1] == 80 and not pictures["pred_spec"].requires_grad


def test_processes_copy_buffers_of_a_checkpoint_and_not_the_positions_that_each_grows(monkeypatch):
    model = torch.nn.Sequential(TransformerModel(TransformerConfig(**SMALL), 4), torch.nn.BatchNorm1d(4))
    model[0](torch.zeros(1, 30, 4))
    copied = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "broadcast", lambda tensor, src: copied.append(tensor))
    distributed.copy_from_leader([model], buffers_only=True)
    assert [each is buffer for each, buffer in zip(copied, model[1].buffers(), strict=True)] == [True] * 3
    distributed.copy_from_leader([model])
    assert len(copied) == 6 + len(list(model.parameters()))


def test_half_precision_trains_too(tmp_path):
    whole = config(recordings(tmp_path / "audio"), tiny("tera"), total_steps=2, bf16=True)
    train("tera", tmp_path / "run", whole)
    assert all(np.isfinite(losses(tmp_path / "run")))


def test_features_of_preprocess_any_give_a_checkpoint_that_reads_waves(tmp_path):
    audio = load_yaml(ROOT / "upstream" / "baseline" / "fbank.yaml")
    audio["delta"]["order"] = 0
    made = {"made_by": "the front end of s3prl", "shift": 160, **audio}  # the shift was added by the user
    folder = ready(tmp_path / "features", made, 80)
    runner = train("tera", tmp_path / "run", on_ready(folder, tiny("tera"), total_steps=2))
    assert states(tmp_path / "run", 2)["Upstream_Config"]["audio"] == audio
    upstream = hub.get("tera_local")(ckpt=str(tmp_path / "run" / "states-2.ckpt")).eval()
    features, frames = features_from_config(audio)(tones())
    with torch.no_grad():
        expected = runner.expert.eval().model.Transformer(features, frames)
        assert_same_states(upstream(tones())["hidden_states"], expected, frames, rtol=0, atol=1e-5)


def test_features_of_unknown_origin_can_be_trained_on_and_the_checkpoint_says_so(tmp_path):
    folder, model = ready(tmp_path / "features", {"made_by": "Kaldi"}, 40), tiny("tera")
    with pytest.raises(UserError, match=r"transformer\.input_dim: how many dimensions"):
        Runner(arguments("tera", tmp_path / "none"), on_ready(folder, model))
    model["transformer"]["input_dim"] = 40
    train("tera", tmp_path / "run", on_ready(folder, model, total_steps=2))
    assert "audio" not in states(tmp_path / "run", 2)["Upstream_Config"]
    with pytest.raises(UserError, match="extracted beforehand"):
        hub.get("tera_local")(ckpt=str(tmp_path / "run" / "states-2.ckpt"))


def set_input_dim(model):
    model["transformer"]["input_dim"] = 40


def misspell_level(model):
    model["audio"]["target_levl"] = -20


def misspell_size(model):
    model["transformer"]["hiden_size"] = 32


def misspell_section(model):
    model["tasks"] = model.pop("task")


def forget_audio(model):
    del model["audio"]


def drop_all_attention(model):
    model["transformer"]["attention_probs_dropout_prob"] = 1.5


def have_no_heads(model):
    model["transformer"]["num_attention_heads"] = 0


def hear_too_little(model):
    model["task"]["sequence_length"] = 1


def alter_nothing(model):
    model["task"] |= {"mask_proportion": 0, "mask_frequency": 0.001}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_input_dim, r"input_dim is 40, but the features have 80"),
        (misspell_level, "target_level"),
        (misspell_size, "hidden_size"),
        (misspell_section, "'task'"),
        (forget_audio, r"upstream_config\.audio"),
        (drop_all_attention, r"attention_probs_dropout_prob must be from 0 to below 1, not 1\.5"),
        (have_no_heads, "num_attention_heads must be at least 1, not 0"),
        (hear_too_little, "sequence_length is 1, but at least 2 frames"),
        (alter_nothing, r"upstream_config\.task: nothing would be altered"),
    ],
)
def test_mistakes_in_the_configuration_are_named_before_training(tmp_path, change, told):
    model = copy.deepcopy(tiny("tera"))
    change(model)
    with pytest.raises(UserError, match=told):
        Runner(arguments("tera", tmp_path / "run"), config(recordings(tmp_path / "audio"), model))


@pytest.mark.parametrize("path", sorted((ROOT / "pretrain").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_all_configurations_are_whole(path):
    assert load_yaml(path, expand=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_public_package_computes_the_same_from_our_checkpoint(tmp_path, family):
    place = public_package_or_skip()
    whole = config(recordings(tmp_path / "audio"), tiny(family), total_steps=2)
    runner = train(family, tmp_path / "run", whole)
    wavs = tones((16000,))  # the public one changes shorter waves of a batch
    trained, frames = trained_states(runner, wavs)
    with public_s3prl(place) as load, torch.no_grad():
        expert = load(f"upstream.{family}.expert").UpstreamExpert(str(tmp_path / "run" / "states-2.ckpt"))
        theirs = expert.eval()(wavs)["hidden_states"]
    assert_same_states(trained, theirs, frames, rtol=0, atol=1e-4)
