"""M2D: the published values, its checkpoints and statistics, the scripts."""

import os
import subprocess
import zipfile

import golden
import pytest
import torch
from conftest import ROOT

from s3prl import hub
from s3prl.upstream.m2d.features import slaney_mel_banks
from s3prl.upstream.m2d.loading import load, parse_ckpt
from s3prl.upstream.m2d.statistics import read, write
from s3prl.utility.errors import UserError

STATISTICS = {"m2d": (-9.25, 3.9), "m2d_speech": (-10.57, 4.37)}
FIXTURES = {name: golden.load(name) for name in STATISTICS}
SPEECH = FIXTURES["m2d_speech"]
FILE = SPEECH.folder / SPEECH.files[0]


def build(name, **options):
    fixture = FIXTURES[name]
    mean, std = STATISTICS[name]
    file = fixture.folder / fixture.files[0]
    return hub.m2d(ckpt=f"{file},{mean},{std}", model_config=None, refresh=False, **options)


@pytest.fixture(params=STATISTICS)
def name(request):
    return request.param


def rewritten(tmp_path, change):
    """The speech fixture's weights, changed, in a file of the same folder name."""
    weights = dict(torch.load(FILE, weights_only=True)["model"])
    path = tmp_path / FILE.parent.name / FILE.name
    path.parent.mkdir(parents=True)
    torch.save(change(weights), path)
    return path


def test_hidden_states_equal_the_published_values(name):
    golden.check(build(name, public_batch=True), FIXTURES[name])


def test_the_log_mel_equals_the_published_one(name):
    ours = build(name, public_batch=True).features(FIXTURES[name].wavs)
    expected = FIXTURES[name].expected["log_mel"].transpose(1, 2)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_the_mel_filters_equal_the_published_ones():
    ours = slaney_mel_banks(201, 80, 16000, 50.0, 8000.0)
    torch.testing.assert_close(ours.T, FIXTURES["m2d"].expected["mel_filters"], rtol=0, atol=1e-8)


def test_every_layer_of_the_encoder_equals_that_of_a_spectrogram_given_directly(name):
    expert, expected = build(name), FIXTURES[name].expected
    mean, std = STATISTICS[name]
    index = expected["encode_lms"]["index"]
    spectrogram = (expert.features([FIXTURES[name].wavs[index]]) - mean) / std
    layers = expert.model(spectrogram)
    for ours, theirs in zip(layers, expected["encode_lms"]["layers"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(layers[-1], expected["encode_lms"]["output"], rtol=0, atol=1e-4)


def test_it_is_deterministic_and_trainable_and_survives_saving(name):
    golden.check_contract(build(name), FIXTURES[name].wavs)


def test_wavs_of_equal_length_have_the_values_they_have_alone(name):
    expert = build(name)
    wavs = [FIXTURES[name].wavs[0], FIXTURES[name].wavs[0].flip(0)]
    with torch.no_grad():
        batch = expert(wavs)["hidden_states"]
        for row, wav in enumerate(wavs):
            for together, alone in zip(batch, expert([wav])["hidden_states"], strict=True):
                torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-4)


def test_every_utterance_has_the_values_it_has_alone_as_published(name):
    expert, fixture = build(name), FIXTURES[name]
    golden.check_invariance(expert, fixture)
    golden.check_alone(expert, fixture)
    golden.check_contract(build(name, public_batch=True), fixture.wavs)
    assert expert.batch_invariant and not build(name, public_batch=True).batch_invariant


@pytest.mark.parametrize("samples", [201, 7519, 7520, 7679, 7680, 15359, 15360, 23199])
def test_the_number_of_frames_is_exact_around_the_edges_of_patches_and_chunks(name, samples):
    expert = build(name)
    with torch.no_grad():
        layers = expert([torch.randn(samples)])["hidden_states"]
    assert {layer.size(1) for layer in layers} == {expert.num_frames(samples)}


def test_chunks_are_encoded_each_alone_and_the_encoder_runs_once_for_all_of_them():
    expert = build("m2d_speech")
    calls = []
    expert.model.blocks[0].register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape[0]))
    spectrogram = torch.randn(2, 3 * 48 + 10, 80)
    with torch.no_grad():
        whole = expert.model(spectrogram)[-1]
        assert calls == [2 * 3, 2]
        for start in range(0, spectrogram.size(1), 48):
            chunk = expert.model(spectrogram[:, start : start + 48])[-1]
            ours = whole[:, start // 2 : start // 2 + chunk.size(1)]
            torch.testing.assert_close(ours, chunk, rtol=0, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_an_utterance_without_a_frame_is_named(index):
    wavs = [SPEECH.wavs[0], SPEECH.wavs[0]]
    wavs[index] = wavs[index][:200]
    with pytest.raises(UserError, match=rf"Utterance {index} of a batch of 2 has 200 samples.*at least 201"):
        build("m2d_speech")(wavs)


def test_full_training_files_files_of_evar_and_bare_weights_give_the_same_model(tmp_path):
    full = rewritten(
        tmp_path / "full",
        lambda weights: {
            "model": {
                **weights,
                "mask_token": torch.zeros(1),
                "decoder_blocks.0.norm1.weight": torch.zeros(1),
            },
            "optimizer": {"state": {}},
            "epoch": 3,
        },
    )
    evar = rewritten(
        tmp_path / "evar",
        lambda weights: {
            **{f"module.ar.runtime.backbone.{key}": value for key, value in weights.items()},
            "module.head.weight": torch.zeros(1),
        },
    )
    bare = rewritten(tmp_path / "bare", lambda weights: weights)
    reference, statistics = load(str(FILE))
    for path in (full, evar, bare):
        model, same_statistics = load(str(path))
        assert same_statistics == statistics
        for key, value in reference.state_dict().items():
            assert torch.equal(model.state_dict()[key], value)


@pytest.mark.parametrize("entry", ["m2d", "m2d_url", "m2d_custom"])
def test_a_published_archive_is_read_as_it_is(tmp_path, entry):
    archive = tmp_path / f"{FILE.parent.name}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(FILE, f"{FILE.parent.name}/checkpoint-300.pth")
        file.writestr(f"{FILE.parent.name}/checkpoint-90.pth", b"an earlier one")
        file.writestr("README.txt", b"")
    golden.check(getattr(hub, entry)(ckpt=f"{archive},-10.57,4.37", public_batch=True), SPEECH)


def test_a_missing_a_foreign_and_an_incomplete_file_are_clear_errors(tmp_path):
    with pytest.raises(UserError, match=r"-k FILE,MEAN,STD"):
        hub.m2d(ckpt=None, model_config=None, refresh=False)
    with pytest.raises(UserError, match=r"no checkpoint .*nowhere\.pth"):
        hub.m2d(ckpt="nowhere.pth,-10,4")
    other = rewritten(tmp_path / "other", lambda _: {"weight": torch.zeros(1)})
    with pytest.raises(UserError, match="not a checkpoint of M2D: it lacks cls_token"):
        hub.m2d(ckpt=f"{other},-10,4")
    lacking = rewritten(tmp_path / "lacking", lambda w: {k: v for k, v in w.items() if k != "norm.bias"})
    with pytest.raises(UserError, match=r"checkpoint-1\.pth do not fit.*norm\.bias"):
        hub.m2d(ckpt=f"{lacking},-10,4")
    unknown = rewritten(tmp_path / "unknown", lambda w: {**w, "blocks.0.ls1.gamma": torch.zeros(64)})
    with pytest.raises(UserError, match=r"blocks\.0\.ls1\.gamma"):
        hub.m2d(ckpt=f"{unknown},-10,4")


def test_a_model_of_32_khz_audio_is_refused(tmp_path):
    path = tmp_path / "m2d_vit_base-80x608p16x16p32k-240413" / "checkpoint-1.pth"
    with pytest.raises(UserError, match="32 kHz"):
        hub.m2d(ckpt=f"{path},-10,4")


@pytest.mark.parametrize("wrong", ["-10", "-10,none", "-10,0", "nan,4"])
def test_statistics_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError, match=r"FILE,MEAN,STD"):
        hub.m2d(ckpt=f"{FILE},{wrong}")


def test_statistics_are_split_from_names_with_blanks_and_commas(tmp_path):
    assert parse_ckpt("my model,v2.pth, -10.5, 4e0") == ("my model,v2.pth", (-10.5, 4.0))
    odd = tmp_path / "a,1,2"
    odd.touch()
    assert parse_ckpt(str(odd)) == (str(odd), None)
    one, other = hub.m2d(ckpt=f"{FILE},1,2"), hub.m2d_local(ckpt=str(FILE), norm_mean=1, norm_std=2)
    assert one.statistics == other.statistics == (1.0, 2.0)


def test_without_statistics_those_kept_for_the_task_are_used_else_those_of_pretraining(workdir, capsys):
    expert = hub.m2d(ckpt=str(FILE))
    pretraining = expert.statistics
    expert.for_task("voxceleb1-config")
    assert expert.statistics == pretraining
    assert "using those of pre-training" in capsys.readouterr().err
    write(type(pretraining)(-10.5, 4.25), "voxceleb1-config")
    expert.for_task("voxceleb1-config")
    assert expert.statistics == (-10.5, 4.25)
    given = hub.m2d(ckpt=f"{FILE},-1,2")
    given.for_task("voxceleb1-config")
    assert given.statistics == (-1, 2)


def test_an_old_file_without_statistics_says_what_to_give(tmp_path):
    old = rewritten(tmp_path, lambda weights: {k: v for k, v in weights.items() if k != "norm_stats"})
    expert = hub.m2d(ckpt=str(old))
    with pytest.raises(UserError, match="m2d_calcnorm"):
        expert(SPEECH.wavs)


def test_a_broken_file_of_statistics_is_named(workdir):
    path = workdir / "result" / "m2d_statistics" / "task.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("mean: -10\n")
    with pytest.raises(UserError, match=r"task\.yaml.*mean and std"):
        read("task")


def test_a_script_runs_the_two_documented_commands(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES:$*"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = [
        ROOT / "upstream/m2d/ks.sh",
        "0",
        "m2d",
        "/your/m2d_s-80x608p80x2-230220/checkpoint-1000.pth",
        "7",
    ]
    result = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    name = "m2d_s-80x608p80x2-230220-checkpoint-1000-KS-lr1e-4-s7"
    assert result.stdout.splitlines() == [
        name,
        f"0:{ROOT}/run_downstream.py -m train -n {name} -u m2d -d speech_commands "
        f"-o config.optimizer.lr=1e-4 -k {script[3]},-11.506255149841309,4.314857482910156 --seed 7",
        f"0:{ROOT}/run_downstream.py -m evaluate -e result/downstream/{name}/dev-best.ckpt",
    ]
    five_folds = subprocess.run(
        [ROOT / "upstream/m2d/er.sh", *script[1:]], capture_output=True, text=True, env=environment
    )
    assert five_folds.stdout.count("datarc.test_fold='fold") == 5
    assert subprocess.run([script[0]], capture_output=True, env=environment).returncode == 2
