"""DistilHuBERT: what the student learns, how it begins, and files that every reader understands."""

import os
import re
import subprocess
import sys
from argparse import Namespace
from collections import defaultdict

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, same
from pretraining import ADAM, assert_resume_is_exact, config, datarc, losses, recordings, states, tones, train
from public_package import public_package_or_skip
from torch.nn import functional as F

from s3prl import hub
from s3prl.pretrain.common.data import DataRc
from s3prl.pretrain.distiller.config import ModelConfig
from s3prl.pretrain.distiller.pretrain_expert import UpstreamPretrainExpert
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.override import apply_override
from s3prl.utility.typed import typed

HUBERT = str(ROOT / "tests/data/hubert_base/ckpt_fairseq.pt")  # 3 layers of 32 dimensions, 8 heads
SIZES = {
    "extractor_conv_feature_layers": "[(20,10,5)] + [(20,3,2)] * 4 + [(20,2,2)] * 2",
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 8,
    "final_dim": 32,
}


def model_config(teacher=None, task=None, **distiller):
    student = {**SIZES, "n_tasks": 2, "pred_layer_id": [1, 3], **distiller}
    return {
        "distiller": student,
        "teacher": {"model": "hubert_local", "ckpt": HUBERT, **(teacher or {})},
        "task": {"sequence_length": 12000, **(task or {})},
        "audio": {"target_level": "None"},
    }


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return recordings(tmp_path_factory.mktemp("audio"))


@pytest.fixture
def build(audio):
    def expert(given=None, **distiller):
        torch.manual_seed(0)
        return UpstreamPretrainExpert(datarc(audio), given or model_config(**distiller))

    return expert


@pytest.fixture(scope="module")
def trained(audio, tmp_path_factory):
    """A short run: the folder, and its expert in evaluation mode."""
    return trained_with(audio, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trained_one_head(audio, tmp_path_factory):
    """A run with one prediction head."""
    return trained_with(audio, tmp_path_factory.mktemp("run"), n_tasks=1, pred_layer_id=[3])


def trained_with(audio, folder, **distiller):
    runner = train("distiller", folder, config(audio, model_config(**distiller)))
    return folder, runner.expert.eval()


def assert_equal_states(one, other, frames):
    """The states of a batch on the frames of each utterance; behind them anything may stand."""
    assert len(one) == len(other)
    for mine, yours in zip(one, other, strict=True):
        for index, count in enumerate(frames):
            torch.testing.assert_close(mine[index, :count], yours[index, :count], rtol=0, atol=1e-5)


def network_states(expert, wavs):
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    with torch.no_grad():
        result = expert.model(padded, [len(wav) for wav in wavs])
    return [result.features, *result.layers, *result.predictions]


def test_the_loss_is_the_papers_over_the_frames_of_utterances(build):
    expert = build(cosine_loss=0.5, feat_pen_loss=0.1).eval()
    wavs, records = tones((16000, 9000)), defaultdict(list)
    with torch.no_grad():
        loss, _ = expert(expert.encode(wavs), records, global_step=1, log_step=100)
        states, student = expert.teacher.upstream(wavs)["hidden_states"], network_states(expert, wavs)
        convolved = expert.model.convolved(torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True))
    frames = [expert.model.num_frames(len(wav)) for wav in wavs]

    def mean(value):  # [batch, frames] -> over the frames of both utterances
        return torch.cat([row[:count] for row, count in zip(value, frames, strict=True)]).mean()

    rec, sim = [], []
    for prediction, target in zip(student[-2:], (states[1], states[3]), strict=True):
        rec.append(mean((prediction - target).abs().mean(-1)))
        cosine = (prediction * target).sum(-1) / (prediction.norm(dim=-1) * target.norm(dim=-1))
        sim.append(mean(-torch.log(torch.sigmoid(cosine))))
    penalty = mean(convolved.square().mean(-1))
    torch.testing.assert_close(loss, sum(rec) / 2 + 0.5 * sum(sim) / 2 + 0.1 * penalty)
    torch.testing.assert_close(torch.stack([records["rec_l1"][0], records["rec_l3"][0]]), torch.stack(rec))
    torch.testing.assert_close(records["sim_loss"][0], sum(sim) / 2)
    torch.testing.assert_close(records["feat_pen"][0], penalty)


def test_padding_adds_nothing_to_the_loss(build):
    expert = build().eval()
    lesson = expert.encode(tones((16000, 9000)))
    changed = lesson.targets.clone()
    changed[:, 1, expert.model.num_frames(9000) :] += 100
    one, other = (expert(data, defaultdict(list))[0] for data in (lesson, lesson._replace(targets=changed)))
    assert torch.equal(one, other)


def test_squared_differences_are_a_choice(build):
    expert = build(loss_type="l2", cosine_loss=0).eval()
    wav = tones((16000,))
    loss, _ = expert(expert.encode(wav), defaultdict(list))
    target = torch.stack([expert.teacher.upstream(wav)["hidden_states"][layer] for layer in (1, 3)])
    torch.testing.assert_close(loss, F.mse_loss(torch.stack(network_states(expert, wav)[-2:]), target))


def test_the_student_begins_with_the_modules_of_its_teacher(build):
    fresh = build()
    expert = build(init_teacher_conv_layers=True, init_teacher_encoder_layers=True)
    teacher, student = expert.teacher.upstream.model, expert.model
    wav = tones((8000,))[0][None]
    with torch.no_grad():
        features = teacher.feature_extractor(wav).transpose(1, 2)
        torch.testing.assert_close(student.convolved(wav), features)
        projected = teacher.feature_projection.projection(features)
        torch.testing.assert_close(student.post_extract_proj(features), projected)
        torch.testing.assert_close(
            student.encoder.pos_conv(projected), teacher.encoder.pos_conv_embed(projected)
        )
        for number in (0, 1):
            expected = teacher.eval().encoder.layers[number](projected)
            expected = expected[0] if isinstance(expected, tuple) else expected
            torch.testing.assert_close(student.eval().encoder.layers[number](projected, None), expected)
        assert not torch.allclose(fresh.model.convolved(wav), features, atol=1e-2)


def test_what_is_not_the_teachers_begins_like_bert(build):
    layers = [layer for layer in build().model.encoder.modules() if isinstance(layer, torch.nn.Linear)]
    weights = torch.cat([layer.weight.flatten() for layer in layers])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(layer.bias.any() for layer in layers)


def test_a_student_of_another_width_takes_the_convolutions_alone(build):
    narrow = {"encoder_embed_dim": 16, "encoder_attention_heads": 4}
    expert = build(**narrow, init_teacher_conv_layers=True)
    wav = tones((8000,))[0][None]
    features = expert.teacher.upstream.model.feature_extractor(wav).transpose(1, 2)
    torch.testing.assert_close(expert.model.convolved(wav), features)


@pytest.mark.parametrize(
    ("folder", "distiller", "told"),
    [
        ("hubert_base", {"encoder_attention_heads": 4}, "attention heads: 8 instead of 4"),
        (
            "hubert_base",
            {"encoder_ffn_embed_dim": 64},
            r"\[48, 32\] instead of \[64, 32\]",
        ),
        ("hubert_base", {"encoder_layers": 4}, "lacks encoder.layers.3"),
        ("hubert_large", {"encoder_attention_heads": 4}, "norm in front: True instead of False"),
    ],
)
def test_layers_that_do_not_fit_are_named_and_can_be_left_out(build, folder, distiller, told):
    teacher = {"ckpt": HUBERT.replace("hubert_base", folder)}
    wrong = model_config(teacher, pred_layer_id=[1, 2], **distiller, init_teacher_encoder_layers=True)
    with pytest.raises(UserError, match=told) as error:
        build(wrong)
    assert "Set init_teacher_encoder_layers: false" in str(error.value)
    build(model_config(teacher, pred_layer_id=[1, 2], **distiller))


def test_convolutions_that_do_not_fit_are_named(build):
    given = model_config({"ckpt": HUBERT.replace("hubert_base", "hubert_large")}, pred_layer_id=[1, 2])
    given["distiller"] |= {
        "extractor_conv_feature_layers": SIZES["extractor_conv_feature_layers"].replace("20", "24"),
        "init_teacher_conv_layers": True,
    }
    with pytest.raises(UserError, match=r"also has feature_extractor.conv_layers.1.layer_norm"):
        build(given)


def test_a_distilled_model_may_teach_and_lend_its_modules(build, trained):
    folder, before = trained
    teacher = {"model": "distiller_local", "ckpt": str(folder / "states-6.ckpt")}
    expert = build(model_config(teacher, init_teacher_conv_layers=True, init_teacher_encoder_layers=True))
    assert same(expert.model.feature_extractor.state_dict(), before.model.feature_extractor.state_dict())
    assert same(expert.model.encoder.layers.state_dict(), before.model.encoder.layers.state_dict())


@pytest.mark.parametrize(
    ("teacher", "distiller", "told"),
    [
        ({"model": "hubert_locol"}, {}, r"upstream_config\.teacher .*Did you mean 'hubert_local'"),
        ({"ckpt": None}, {}, r"teacher \(its fields model, ckpt and .* hubert_local needs a checkpoint"),
        ({"n_layers": 12}, {}, r"teacher\.n_layers is 12, but hubert_local has 3 layers"),
        ({"mdoel": "hubert_base"}, {}, r"teacher has no field 'mdoel'. Did you mean 'model'"),
        ({}, {"pred_layer_id": [1, 4]}, r"pred_layer_id: 4 is no layer of hubert_local"),
        ({}, {"pred_layer_id": [1, 2, 3]}, r"distiller: n_tasks is 2"),
        ({}, {"encoder_layers": 0}, r"distiller\.encoder_layers must be at least 1, not 0"),
        ({}, {"conv_pos_groups": 12}, r"encoder_embed_dim 32 is no multiple of conv_pos_groups 12"),
        ({}, {"dropout": 1.5}, r"distiller\.dropout must be from 0 to 1, not 1\.5"),
        ({}, {"final_dim": 16}, r"final_dim is 16, but the layers of hubert_local.* have 32"),
        ({}, {"cosin_loss": 1}, r"distiller has no field 'cosin_loss'. Did you mean 'cosine_loss'"),
        ({"model": "fbank", "ckpt": None}, {"pred_layer_id": [0], "n_tasks": 1, "final_dim": 240}, "160"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_training(build, teacher, distiller, told):
    with pytest.raises(UserError, match=told):
        build(model_config(teacher, **distiller))


def test_any_upstream_with_the_same_stride_may_teach(build):
    wavlm = str(ROOT / "tests/data/wavlm_base/ckpt.pt")
    expert = build(model_config({"model": "wavlm_local", "ckpt": wavlm}, pred_layer_id=[0, 1]))
    loss, _ = expert(expert.encode(tones()), defaultdict(list))
    assert loss.isfinite()
    with pytest.raises(UserError, match="Set init_teacher_encoder_layers: false"):
        build(model_config({"model": "wavlm_local", "ckpt": wavlm}, pred_layer_id=[0, 1],
                           init_teacher_encoder_layers=True))  # fmt: skip


def test_ready_features_are_no_audio(audio):
    with pytest.raises(UserError, match=r"datarc\.libri_root is missing"):
        UpstreamPretrainExpert(datarc(audio, libri_root=None), model_config())


def test_the_loss_goes_down(audio, tmp_path):
    optimizer = {"name": "AdamW_with_schedule", "lr": 2e-3}
    train(
        "distiller",
        tmp_path,
        config(audio, model_config(), optimizer, total_steps=60, log_step=10, save_step=60),
    )
    found = losses(tmp_path)
    assert found[-1] < 0.8 * found[0]


def test_the_upstream_and_the_hub_give_the_hidden_states_of_the_trained_network(trained):
    folder, expert = trained
    wavs = tones((16000, 9000))
    upstream = hub.distiller_local(ckpt=str(folder / "states-6.ckpt")).eval()
    with torch.no_grad():
        found = upstream(wavs)["hidden_states"]
    assert len(found) == 5  # convolutions, two layers, two predictions
    assert_equal_states(found, network_states(expert, wavs), map(upstream.num_frames, map(len, wavs)))


def test_the_weights_of_a_single_prediction_head_have_the_names_of_the_original(trained_one_head):
    folder, expert = trained_one_head
    weights = states(folder, 6)["Distiller"]
    assert {"output_layer.2.layer.weight", "output_layer.2.layer.bias"} <= weights.keys()
    upstream, wavs = hub.distiller_local(ckpt=str(folder / "states-6.ckpt")).eval(), tones()
    with torch.no_grad():
        found = upstream(wavs)["hidden_states"]
    assert_equal_states(found, network_states(expert, wavs), map(upstream.num_frames, map(len, wavs)))


def test_a_student_narrower_than_its_teacher_offers_the_layers_that_can_be_weighted(audio, tmp_path):
    narrow = model_config(encoder_embed_dim=16, encoder_attention_heads=4)
    train("distiller", tmp_path, config(audio, narrow, total_steps=2))
    upstream, wavs = hub.distiller_local(ckpt=str(tmp_path / "states-2.ckpt")).eval(), tones()
    result = upstream(wavs)
    assert [state.size(-1) for state in result["hidden_states"]] == [16, 16, 16]
    assert result["last_hidden_state"].size(-1) == 32  # of the last prediction, by -s
    assert Featurizer(upstream)(wavs, result)[0].size(-1) == 16


def test_the_teacher_is_neither_saved_nor_changed(trained):
    folder, expert = trained
    state = states(folder, 6)
    assert set(state["Distiller"]) == set(expert.model.state_dict())
    assert not any(
        isinstance(value, dict) and "model.encoder.layer_norm.weight" in value for value in state.values()
    )
    untouched = hub.hubert_local(ckpt=HUBERT)
    assert same(expert.teacher.upstream.state_dict(), untouched.state_dict())
    expert.train()
    assert not expert.teacher.upstream.training
    expert.eval()


def test_a_run_that_was_interrupted_ends_with_the_same_weights(audio, tmp_path):
    assert_resume_is_exact("distiller", tmp_path, config(audio, model_config()), ("Distiller",))


def test_a_checkpoint_holds_the_run_and_the_network_for_readers_of_the_original(trained):
    state = states(trained[0], 6)
    assert state["Config"]["optimizer"] == ADAM and state["Config"]["teacher"]["ckpt"] == HUBERT
    assert state["Upstream_Config"] == model_config()
    assert state["Config"]["distiller"]["encoder_layers"] == 2  # not in the given configuration


@pytest.mark.parametrize("run", ["trained", "trained_one_head"])
def test_the_public_package_gives_the_same_hidden_states(run, tmp_path, request):
    package = public_package_or_skip()
    folder, expert = request.getfixturevalue(run)
    torch.save(tones(), tmp_path / "wavs.pt")
    code = (
        "import json, sys, torch\n"
        "from s3prl.upstream.distiller.expert import UpstreamExpert\n"
        "model = UpstreamExpert(sys.argv[1]).eval()\n"
        "with torch.no_grad(): states = model(torch.load(sys.argv[2]))['hidden_states']\n"
        "torch.save(states, sys.argv[3])\n"
    )
    files = [str(folder / "states-6.ckpt"), str(tmp_path / "wavs.pt"), str(tmp_path / "states.pt")]
    public = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])}
    subprocess.run([sys.executable, "-c", code, *files], check=True, env=public, cwd=tmp_path)
    frames = [expert.model.num_frames(len(wav)) for wav in tones()]
    assert_equal_states(torch.load(tmp_path / "states.pt"), network_states(expert, tones()), frames)


def test_frozen_convolutions_stay_as_they_are(audio, tmp_path):
    given = model_config(feature_grad_mult=0, init_teacher_conv_layers=True)
    runner = train("distiller", tmp_path, config(audio, given, total_steps=2))
    teacher = runner.expert.teacher.upstream.model.feature_extractor.conv_layers[0].conv.weight
    assert torch.equal(runner.expert.model.feature_extractor.conv_layers[0][0].weight, teacher)


def test_an_utterance_too_short_for_a_frame_is_left_out(tmp_path):
    root = recordings(tmp_path, 4)
    soundfile.write(root / "train" / "click.wav", np.zeros(399), 16000)
    dataset = UpstreamPretrainExpert(datarc(root), model_config()).get_train_dataloader().dataset
    assert (len(dataset), dataset.dropped, dataset.crop) == (4, 1, 12000)


def test_a_crop_shorter_than_a_frame_is_refused(build):
    with pytest.raises(UserError, match=r"task\.sequence_length is 399 samples, but a frame needs 400"):
        build(model_config(task={"sequence_length": 399})).get_train_dataloader()


def test_it_trains_in_bfloat16(audio, tmp_path):
    runner = train("distiller", tmp_path, config(audio, model_config(), total_steps=2, bf16=True))
    assert all(value.isfinite().all() for value in runner.expert.model.state_dict().values())
    assert states(tmp_path, 2)["Distiller"]["post_extract_proj.weight"].dtype == torch.float32


def test_predictions_and_targets_are_drawn_at_log_steps(build):
    expert = build()
    lesson = expert.encode(tones((9000, 16000)))
    expert(lesson, defaultdict(list), global_step=5, log_step=10)
    assert not expert.pictures
    expert(lesson, defaultdict(list), global_step=10, log_step=10)
    assert set(expert.pictures) == {"pred_l1", "true_l1", "pred_l3", "true_l3"}
    assert expert.pictures["pred_l3"].shape == (expert.model.num_frames(9000), 32)


@pytest.mark.parametrize("name", ["config", "mini"])
def test_the_configurations_fit_with_the_overrides_that_they_suggest(name):
    folder = ROOT / "pretrain/distiller"
    files = folder / f"{name}_runner.yaml", folder / f"{name}_model.yaml"
    suggested = [text for file in files for text in re.findall('-o "(.*)"', file.read_text())]
    assert len(suggested) == 2
    for override in (None, *suggested):
        whole = load_yaml(files[0]) | {"upstream_config": load_yaml(files[1])}
        apply_override(override, Namespace(), whole, tell=False)
        given = typed(ModelConfig, whole["upstream_config"], "the model")
        assert given.teacher.model == ("hubert_base" if override is None else "hubert_local")
        RunnerSettings.from_config({**whole["runner"], "n_epochs": None})
        typed(DataRc, whole["pretrain_expert"]["datarc"], "datarc")
