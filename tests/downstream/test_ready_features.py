"""Folders of ready features in place of an upstream: `-u ready_features -k data/libri_fbank80`."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import phones
import pytest
import timit_tones
import torch
import voices
import yaml
from conftest import ROOT, metrics

from s3prl import hub
from s3prl.downstream.common.frame import fit_to_labels, labels_per_frame
from s3prl.preprocess import generate_len_for_bucket, preprocess_libri, preprocess_timit
from s3prl.preprocess.set_folder import SetFolder
from s3prl.upstream.baseline.feature_tables import FeatureTables
from s3prl.upstream.baseline.ready import ReadyFolder
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording

PREPARED = ["--delta=False", "--apply_cmvn=False", "--n_jobs", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A corpus whose phones are tones, and its features: fbank every 10 ms, mel every 12.5 ms."""
    root = phones.make_phone_corpus(tmp_path_factory.mktemp("phones"))
    for kind in ("fbank", "mel"):
        options = ["-i", str(root / "LibriSpeech"), "--output_path", str(root), f"--feature_type={kind}"]
        assert preprocess_libri.main([*options, *PREPARED]) == 0
    return root


@pytest.fixture
def folder(root, tmp_path):
    """A copy of the features, to be changed."""
    return Path(shutil.copytree(root / "libri_fbank80", tmp_path / "features"))


def run_config(task, datarc, steps=40, lr=0.01):
    """A config file of a run of a second."""
    config = load_yaml(ROOT / f"downstream/{task}/mini.yaml")
    config["runner"].update(
        total_steps=steps, log_step=steps // 2, draw_curves=False, eval_step=steps, save_step=steps
    )
    config["optimizer"]["lr"] = lr
    config.pop("scheduler", None)
    config["downstream_expert"]["datarc"].update({"num_workers": 0, **datarc})
    Path("probe.yaml").write_text(yaml.safe_dump(config))
    return ["-m", "train", "-d", task, "-c", "probe.yaml"]


def on_phones(root, task="phone_linear", steps=40, **datarc):
    places = {"libri_root": f"{root}/LibriSpeech", "phone_path": f"{root}/labels", "bucket_file": None}
    return run_config(task, {**places, "split_path": f"{root}/labels", **datarc}, steps)


def ready(folder):
    return ["-u", "ready_features", "-k", folder]


def test_a_probe_learns_the_same_from_ready_features_as_from_the_upstream_that_made_them(root, downstream):
    made_by = json.loads((root / "libri_fbank80/settings.json").read_text())
    made_by.pop("made_by")
    Path("fbank.yaml").write_text(yaml.safe_dump(made_by))
    train = on_phones(root)
    assert downstream(*train, *ready(root / "libri_fbank80"), "-n", "ready") == 0
    assert downstream(*train, "-u", "baseline_local", "-g", "fbank.yaml", "-n", "computed") == 0
    found, expected = (metrics(Path("result/downstream", name)) for name in ("ready", "computed"))
    for one, other in zip(found, expected, strict=True):
        shared = one.keys() & other.keys() - {"seconds", "time"}
        assert {"step"} < shared
        for name in shared:
            if isinstance(one[name], float) and ("acc" in name or "loss" in name):
                assert one[name] == pytest.approx(other[name], rel=1e-4), name
    best = "result/downstream/ready/dev-best.ckpt"
    assert downstream("-m", "evaluate", "-t", "test", "-e", best) == 0
    result = json.loads(Path("result/downstream/ready/result.json").read_text())
    assert result["metrics"]["acc"] > 0.6


def test_frames_of_another_pace_meet_the_labels_of_their_time(root, downstream):
    assert downstream(*on_phones(root, "phone_linear_concat"), *ready(root / "libri_mel80"), "-n", "mel") == 0
    assert downstream("-m", "evaluate", "-t", "test", "-e", "result/downstream/mel/dev-best.ckpt") == 0
    result = json.loads(Path("result/downstream/mel/result.json").read_text())
    assert result["metrics"]["acc"] > 0.6


def test_a_label_is_met_by_the_frame_that_has_begun_last():
    frames = torch.arange(8.0)[:, None]
    for shift in (80, 160, 200, 320, 480):
        fitted = fit_to_labels([frames], [10], labels_per_frame(shift, 160))[0, :, 0]
        assert fitted.tolist() == [min(160 * label // shift, 7) for label in range(10)]
    assert labels_per_frame(200, 160) == Fraction(5, 4)
    assert labels_per_frame(321, 160) == 2  # a stride that was measured
    assert labels_per_frame(16000, 160) == 100


def test_speakers_are_told_apart_by_ready_features_too(downstream, tmp_path):
    root = voices.make_readers(tmp_path / "LibriSpeech")
    options = ["-i", str(root), "--output_path", str(tmp_path), "--feature_type=fbank", *PREPARED]
    assert preprocess_libri.main(options) == 0
    for task in ("speaker_linear_utter_libri", "speaker_linear_frame_libri"):
        datarc = {
            "libri_root": str(root),
            "split_path": f"{root}/lists",
            "bucket_file": None,
            "train_batch_size": 8,
        }
        assert downstream(*run_config(task, datarc), *ready("libri_fbank80"), "-n", task) == 0
        last = metrics(Path("result/downstream", task))[-1]
        assert max(value for name, value in last.items() if name.endswith("acc")) > 0.6, last


def test_timit_is_found_by_the_names_of_its_preparation_and_by_those_of_kaldi(downstream, tmp_path):
    root = timit_tones.make_timit(tmp_path / "TIMIT")
    options = ["-i", str(root), "--output_path", str(tmp_path), "--feature_type=mfcc", *PREPARED]
    assert preprocess_timit.main(options) == 0
    datarc = {"timit_root": str(root), "split_path": str(root), "bucket_file": None}
    train = run_config("timit_phone_linear", datarc, steps=4)
    assert downstream(*train, *ready("timit_mfcc13"), "-n", "timit") == 0
    kaldi = SetFolder(tmp_path / "kaldi")
    for name in ("FABC0_SI501", "FABC0_SX7", "MDEF0_SX7"):
        kaldi.write("train", name, np.zeros((3, 4)))
    kaldi.write_table("train", {"FABC0_SI501": 3, "FABC0_SX7": 3, "MDEF0_SX7": 3})
    tables = FeatureTables(tmp_path / "kaldi")
    for name in ("SX7.WAV", "sx7.wav", "SX7.WAV.wav"):
        assert tables.find(f"{root}/TRAIN/DR1/MDEF0/{name}").file == "train/MDEF0_SX7.npy"
    assert tables.find(f"{root}/TRAIN/DR1/MDEF0/SX97.WAV") is None


def test_one_name_in_two_sets_is_that_of_the_folder_above_the_recording(tmp_path):
    folder = SetFolder(tmp_path)
    for part in ("train", "dev"):
        folder.write_table(part, {"001": 3})
    tables = FeatureTables(tmp_path)
    assert tables.find("corpus/dev/001.wav").file == "dev/001.npy"
    with pytest.raises(UserError, match=r"several features .* dev/001\.npy, train/001\.npy"):
        tables.find("corpus/001.wav")


def test_without_recordings_the_lists_and_labels_are_enough(root, downstream, tmp_path):
    train = on_phones(root, steps=8)
    override = "config.downstream_expert.datarc.libri_root=None"
    assert downstream(*train, *ready(root / "libri_fbank80"), "-n", "alone", "-o", override) == 0
    assert metrics(Path("result/downstream/alone"))[-1]["step"] == 8


def test_utterances_without_features_are_named_before_training_or_left_out(root, folder, downstream, capsys):
    table = folder / "train-clean-100.csv"
    lost = next(name for name in phones.names() if name in (root / "labels/train_split.txt").read_text())
    table.write_text("".join(line for line in table.read_text().splitlines(True) if lost not in line))
    train = [*on_phones(root, steps=8), *ready(folder), "-n", "lost"]
    assert downstream(*train) == 2
    message = capsys.readouterr().err
    assert "1 of " in message and lost in message and "--bad_audio skip" in message
    assert downstream(*train, "--bad_audio", "skip") == 0
    listed = Path("result/downstream/lost/bad_audio.tsv").read_text()
    assert lost in listed and "has no features of" in listed


def test_a_split_without_any_features_cannot_be_left_out(tmp_path):
    folder = SetFolder(tmp_path)
    folder.write("train", "a", np.zeros((3, 4)))
    folder.write_table("train", {"a": 3})
    source = ReadyFolder(tmp_path)
    for skip in (False, True):
        with pytest.raises(
            UserError, match="1 of 1 utterances of the split 'dev' have no features"
        ) as refused:
            source.check("dev", {Recording("b.flac"): 0}, skip)
        assert "--bad_audio" not in str(refused.value)


def test_a_folder_is_of_use_whichever_of_its_files_is_damaged(folder):
    names = [entry.file for entry in FeatureTables(folder).entries()]
    (folder / names[0]).write_bytes(b"")
    assert ReadyFolder(folder).dim == 80
    for name in names[1:]:
        (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{names[0]} cannot be read"):
        ReadyFolder(folder)


def test_another_shift_than_is_known_is_measured_and_can_be_told(root, downstream, capsys, tmp_path):
    folder = Path(shutil.copytree(root / "libri_mel80", tmp_path / "mel"))
    (folder / "settings.json").unlink()  # as the folders that the public S3PRL offers
    train = [*on_phones(root, steps=8), *ready(folder)]
    assert downstream(*train, "-n", "wrong") == 2
    message = capsys.readouterr().err
    assert "not 10 ms" in message and '"shift": 200' in message and "settings.json" in message
    (folder / "settings.json").write_text('{"shift": 200}')
    assert downstream(*train, "-n", "right") == 0
    assert "a frame every 12.5 ms" in capsys.readouterr().out
    (folder / "settings.json").write_text('{"shift": "200"}')
    assert downstream(*train, "-n", "text") == 2
    assert "shift is '200'" in capsys.readouterr().err


def test_a_file_that_is_damaged_or_of_other_features_is_named(folder):
    source = hub.ready_features(ckpt=str(folder)).source
    first, second, third, *_ = phones.names()
    path = folder / "train-clean-100" / f"{first}.npy"
    path.write_bytes(path.read_bytes()[:-50])
    np.save(path.with_name(f"{second}.npy"), np.zeros((5, 40), dtype=np.float32))
    path.with_name(f"{third}.npy").unlink()
    for name, reason in ((first, "cannot be read"), (second, "has 40 dimensions"), (third, "cannot be read")):
        with pytest.raises(UserError, match=rf"{name}\.npy.* {reason}"):
            source.look_up(Recording(f"LibriSpeech/{name}.flac"))


def test_features_are_those_of_the_files_zero_behind_the_shorter(folder):
    upstream = hub.ready_features(ckpt=str(folder))
    names = phones.names()[:2]
    found = [upstream.source.look_up(Recording(f"anywhere/{name}.flac")) for name in names]
    states = upstream(found)["hidden_states"]
    assert len(states) == 1 and upstream.get_downsample_rates("hidden_states") == 160
    for row, name in zip(states[0], names, strict=True):
        expected = torch.from_numpy(np.load(folder / "train-clean-100" / f"{name}.npy"))
        assert torch.equal(row[: len(expected)], expected) and not row[len(expected) :].any()


def test_what_a_folder_of_features_cannot_do_is_said(root, folder, downstream, capsys, tmp_path):
    upstream = hub.ready_features(ckpt=str(folder))
    with pytest.raises(UserError, match=r"was given waves\. Use an upstream that computes"):
        upstream([torch.zeros(16000)])
    for part in ({"start": 0.5}, {"crop": 2.0}, {"trim": True}, {"gain": 3.0}):
        with pytest.raises(UserError, match="the folder has features of whole ones only"):
            upstream.source.look_up(Recording("103-1240-0000.flac", **part))
    train = on_phones(root)
    for options, reason in [
        (["-u", "ready_features"], "needs a folder of features: -k"),
        (ready(tmp_path / "none"), "there is no such folder of features"),
        (["-u", folder], f"is -u ready_features -k {folder}"),
        ([*ready(folder), "--cache", "kept"], "Leave --cache out"),
        ([*ready(folder), "-g", ROOT / "upstream/baseline/mel.yaml"], "Leave -g out"),
        ([*ready(folder), "-l", "3"], "has 1 layers"),
    ]:
        assert downstream(*train, *options, "-n", "refused") == 2
        assert reason in capsys.readouterr().err
    assert generate_len_for_bucket.main(["-i", str(root / "LibriSpeech"), "-o", str(tmp_path / "rec")]) == 0
    assert downstream(*train, *ready(tmp_path / "rec" / "len_for_bucket"), "-n", "refused") == 2
    assert "has tables of recordings, not of features" in capsys.readouterr().err


def test_a_task_that_hears_crops_is_refused_before_training(folder, downstream, capsys, tmp_path):
    root = voices.make_celebrities(tmp_path / "VoxCeleb1")
    datarc = {"file_path": str(root), "max_timestep": 1600}
    train = run_config("voxceleb1", datarc)
    assert downstream(*train, *ready(folder), "-n", "crops") == 2
    assert "features of whole ones only" in capsys.readouterr().err
