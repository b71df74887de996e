"""Speaker diarization: labels, objective, predictions, and a run from training to the DER."""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import ROOT, metrics
from mixtures import make_config, make_data, write_folder

from s3prl.downstream.common.corpora import kaldi
from s3prl.downstream.common.items import Item
from s3prl.downstream.common.metrics.der import overall, score_recordings
from s3prl.downstream.diarization.chunks import activity, chunked, whole
from s3prl.downstream.diarization.expert import DownstreamExpert
from s3prl.downstream.diarization.model import Diarizer
from s3prl.downstream.diarization.objective import frame_errors, permutation_free_loss
from s3prl.downstream.diarization.predictions import read_file
from s3prl.utility.recordings import Recording
from s3prl.utility.rttm import Turn, read_rttm

FOLDER = ROOT / "downstream/diarization"
TRAIN = ("-m", "train", "-d", "diarization", "-c", "sd.yaml", "-p", "run")
STEPS = {"total_steps": 40, "log_step": 20, "eval_step": 20, "save_step": 40}
RNG = np.random.default_rng(0)


def item_of(folder, turns, seconds, **options):
    """The one recording of a data folder."""
    root = write_folder(folder / "data", {"a": (turns, seconds)}, RNG)
    return kaldi.items(root, "test", 2, **options)[0]


@pytest.mark.parametrize(
    ("stride", "first", "second"),
    [
        # bert, whose name comes first, speaks from 0.05 to 0.12 s; zoe from 0.10 s to the end at 0.16 s
        (160, "0000011111110000", "0000000000111111"),
        (320, "00111100", "00000111"),  # 2.5 and 6 labels: halves go to the even number
        (640, "0110", "0011"),  # 1.25 to 3, and 2.5 to 4
    ],
)
def test_labels_at_a_frame_every_10_20_and_40_ms(tmp_path, stride, first, second, monkeypatch):
    monkeypatch.setattr("mixtures.PITCHES", {"zoe": (300, 400), "bert": (500, 600)})
    item = item_of(tmp_path, [("zoe", 0.10, 0.16), ("bert", 0.05, 0.12)], 0.16)
    (chunk,) = chunked(item, stride, 2000)
    labels = activity(chunk.label, 2)
    assert ["".join(map(str, row)) for row in labels.T.tolist()] == [first, second]
    assert (chunk.recording.start, chunk.recording.stop) == (0, 0.16)


def test_a_turn_that_covers_a_whole_chunk_is_labelled(tmp_path):
    item = item_of(tmp_path, [("anna", 0.05, 0.55), ("bert", 0.32, 0.35)], 0.6)
    chunks = chunked(item, 160, 20)
    assert [activity(chunk.label, 2).sum(0).tolist() for chunk in chunks] == [[15, 0], [20, 3], [15, 0]]
    assert [(one.recording.start, one.recording.stop) for one in chunks] == [
        pytest.approx(times) for times in [(0, 0.2), (0.2, 0.4), (0.4, 0.6)]
    ]


@pytest.mark.parametrize("rate", [160, 320])
def test_an_end_that_upstreams_cannot_hear_alone_belongs_to_the_chunk_before(rate):
    item = Item("talk", Recording("talk.wav"), (Turn("talk", 1.99, 0.04, "anna"),), 2 * 16000 + 480)
    size = 16000 // rate
    first, second = (chunk.label for chunk in chunked(item, rate, size))
    assert (first.labels, second.first, second.labels) == (size, size, size + 480 // rate)
    assert activity(second, 1)[-1].all()
    longer = Item("talk", Recording("talk.wav"), (), 2 * 16000 + 1600)
    assert [chunk.label.labels for chunk in chunked(longer, rate, size)] == [size, size, 1600 // rate]


def test_recordings_that_end_just_behind_a_chunk_are_trained_on_and_evaluated(downstream, workdir):
    rng = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        found = {f"{split}-0": ([("anna", 0.1, 0.5), ("bert", 0.4, 0.9)], 1.01)}
        write_folder(workdir / "data" / split, found, rng)
    config = make_config(workdir / "data", {"chunk_size": 50}, **{**STEPS, "total_steps": 2})
    config["downstream_expert"]["datarc"]["use_last_samples"] = False
    Path("sd.yaml").write_text(yaml.safe_dump(config))
    assert downstream(*TRAIN, "-u", "fbank") == 0
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/best-states-dev.ckpt") == 0
    with h5py.File("run/scoring/predictions/test-0.h5") as file:
        assert file["T_hat"].shape == (101, 2)


def test_a_chunk_that_could_not_be_read_is_silence_in_its_recording():
    records = {
        "recording": ["b", "a", "a"], "first": [0, 4, 0],
        "predicted": [torch.ones(1, 2), torch.full((3, 2), 0.5), torch.ones(2, 2)],
    }  # fmt: skip
    found = whole(records)
    assert found["a"].tolist() == [[value] * 2 for value in (1, 1, 0, 0, 0.5, 0.5, 0.5)]
    assert found["b"].shape == (1, 2)


def random_batch(speakers, batch=5, frames=12):
    generator = torch.Generator().manual_seed(speakers)
    logits = torch.randn(batch, frames, speakers, generator=generator)
    truth = torch.randint(0, 2, (batch, frames, speakers), generator=generator, dtype=torch.uint8)
    valid = torch.arange(frames) < torch.tensor([12, 7, 1, 12, 5])[:, None]
    return logits, truth, valid


@pytest.mark.parametrize("speakers", [1, 2, 3, 4])
def test_the_loss_is_that_of_the_best_of_all_orders_of_speakers(speakers):
    logits, truth, valid = random_batch(speakers)
    logits.requires_grad_()
    losses, matched = permutation_free_loss(logits, truth, valid)
    expected = []
    for row, labels, mask in zip(logits, truth, valid, strict=True):
        tried = [
            F.binary_cross_entropy_with_logits(
                row[mask], labels[mask][:, list(order)].float(), reduction="none"
            )
            .mean(-1)
            .sum()
            for order in permutations(range(speakers))
        ]
        expected.append(min(tried))
    torch.testing.assert_close(losses, torch.stack(expected))
    found = F.binary_cross_entropy_with_logits(logits, matched.float(), reduction="none").mean(-1)
    torch.testing.assert_close((found * valid).sum(1), losses)  # the labels come in that order
    ours, theirs = (
        torch.autograd.grad(sum(values), logits, retain_graph=True) for values in (losses, expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_errors_of_frames_by_hand():
    truth = torch.tensor([[[1, 0], [1, 1], [0, 0], [1, 0], [0, 1]]])
    logits = torch.tensor([[[1.0, -1], [1, -1], [-1, 1], [-1, 1], [-1, -1]]])
    valid = torch.tensor([[True, True, True, True, False]])
    # right; one of two missed; a false alarm; the wrong speaker; padding
    assert frame_errors(logits, truth, valid).tolist() == [4, 8, 1, 1, 1, 4]


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_an_utterance_has_the_outputs_that_it_has_alone(layers):
    torch.manual_seed(0)
    model = Diarizer(3, 2, layers, 4)
    batch = torch.randn(2, 9, 3)
    torch.testing.assert_close(model(batch)[1:, :5], model(batch[1:, :5]))


def build(root, expdir, upstream_rate, datarc=None, **options):
    block = make_config(root, datarc)["downstream_expert"]
    torch.manual_seed(0)
    return DownstreamExpert(3, upstream_rate, block, expdir=str(expdir), **options).eval()


@pytest.mark.parametrize(
    ("upstream_rate", "datarc", "labels", "kept"),
    [
        (160, {}, 200, "160"),
        (320, {}, 100, "320"),
        (640, {}, 50, "640"),
        (320, {"frame_shift": 160}, 200, "160"),  # as in 2021
        (160, {"subsampling": 4}, 50, "160"),
    ],
)
def test_labels_follow_the_upstream_unless_the_config_says_otherwise(
    tmp_path, upstream_rate, datarc, labels, kept
):
    root = make_data(tmp_path / "data", {"train": 3, "dev": 2})
    expert = build(root, tmp_path / "run", upstream_rate, datarc)
    assert (tmp_path / "run/frame_shift").read_text().strip() == kept
    items = expert.listed("dev")
    targets = [expert.target(item) for item in items]
    assert [target.shape for target in targets] == [(labels, 2)] * 2
    frames = 32000 // upstream_rate
    features = [torch.randn(frames - 1, 3), torch.randn(frames, 3)]  # upstreams may lack the last frame
    records = {name: [] for name in ("errors", "loss", "utterances", "recording", "first", "predicted")}
    assert expert("dev", features, targets, items, records).isfinite()
    assert [values.shape for values in records["predicted"]] == [(labels, 2)] * 2


def test_a_run_evaluated_on_another_upstream_rate_keeps_its_own_labels(tmp_path):
    root = make_data(tmp_path / "data", {"dev": 1})
    build(root, tmp_path / "run", 320)
    later = build(root, tmp_path / "run", 160, mode="evaluate", init_ckpt=str(tmp_path / "run/dev-best.ckpt"))
    assert later.stride == 320


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data, and run/, trained on tones and evaluated on its test set in chunks of a second."""
    from run_downstream import main

    folder = tmp_path_factory.mktemp("sd")
    make_config(make_data(folder / "data", {"train": 24, "dev": 4, "test": 4}), {"chunk_size": 110}, **STEPS)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main([*TRAIN, "-u", "fbank", "--device", "cpu"]) == 0
        ckpt = "run/best-states-dev.ckpt"
        assert main(["-m", "evaluate", "-t", "test", "-e", ckpt, "--device", "cpu"]) == 0
    finally:
        os.chdir(before)
    return folder


def test_a_short_training_tells_two_tones_apart(trained):
    best = max(line["acc"] for line in metrics(trained / "run") if line["split"] == "dev")
    result = json.loads((trained / "run/result-test.json").read_text())["metrics"]
    assert best > 0.9 and result["acc"] > 0.9  # silence everywhere is right in 0.4 of the decisions
    assert result["der"] < 0.2
    assert (trained / "run/dev-best.ckpt").is_file()


def test_predictions_have_a_row_for_each_frame_of_whole_recordings(trained):
    paths = sorted((trained / "run/scoring/predictions").iterdir())
    assert [path.name for path in paths] == [f"test-{number}.h5" for number in range(4)]
    with h5py.File(paths[0]) as file:
        assert file["T_hat"].shape == (200, 2) and file["T_hat"].dtype == np.float32
        assert file["T_hat"][:].min() >= 0 and file["T_hat"][:].max() <= 1
        assert file["T_hat"].attrs["frame_shift"] == 160
    with h5py.File(trained / "run/scoring/predictions-dev.h5") as file:  # of the best checkpoint
        assert sorted(file) == [f"dev-{number}" for number in range(4)]
        assert {one.shape for one in file.values()} == {(200, 2)}


def test_predictions_of_the_development_set_are_made_again_by_an_evaluation(trained, monkeypatch):
    from run_downstream import main

    monkeypatch.chdir(trained)
    path = Path("run/scoring/predictions-dev.h5")
    before = read_file(path)
    path.unlink()
    assert main(["-m", "evaluate", "-t", "dev", "-e", "run/best-states-dev.ckpt", "--device", "cpu"]) == 0
    for name, (values, source) in read_file(path).items():
        assert source == before[name].source and source.data == str(trained / "data/dev")
        np.testing.assert_allclose(values, before[name].values, atol=2e-3)


def test_the_der_of_an_evaluation_is_that_of_the_rttm_it_writes(trained):
    turns = (read_rttm(trained / path) for path in ("data/test/rttm", "run/scoring/test.rttm"))
    found = overall(score_recordings(*turns)).rate
    result = json.loads((trained / "run/result-test.json").read_text())["metrics"]
    assert found == pytest.approx(result["rttm_der"], abs=1e-6) and found < 0.25


def bash(folder, script, *arguments):
    """A script of the task, as a user starts it; python3 is this Python."""
    links = folder / "bin"
    links.mkdir(exist_ok=True)
    (links / "python3").unlink(missing_ok=True)
    (links / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (links / "python3").chmod(0o755)
    return subprocess.run(
        [str(FOLDER / script), *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{links}:/usr/bin:/bin"},
    )  # fmt: skip


def test_score_sh_prints_the_sweep_with_the_lowest_der_at_the_bottom(trained):
    done = bash(trained, "score.sh", "run", "data/test")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if "OVERALL" in line]
    ders = [float(row[-1]) for row in rows]
    assert len(rows) == 10 and ders == sorted(ders, reverse=True)
    assert rows[-1] == done.stdout.splitlines()[-1].split()
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert float(lines["one speaker always"]) > ders[-1] and float(lines["all speakers always"]) > ders[-1]
    chosen = next(text for name, text in lines.items() if name.startswith("chosen on dev (threshold"))
    assert float(chosen.partition(";")[0]) >= ders[-1]
    result = json.loads((trained / "run/result-test.json").read_text())["metrics"]
    by_name = {row[0].partition(":")[0]: der for row, der in zip(rows, ders, strict=True)}
    assert by_name["result_th0.5_med1"] == pytest.approx(100 * result["rttm_der"], abs=0.006)
    for name, der in by_name.items():
        hypothesis = f"hyp_{name[len('result_th') :].replace('med', '')}.rttm"
        turns = (read_rttm(trained / path) for path in ("data/test/rttm", f"run/scoring/{hypothesis}"))
        assert 100 * overall(score_recordings(*turns)).rate == pytest.approx(der, abs=0.006)
        assert "test-3" in (trained / "run/scoring" / name).read_text()
    again = bash(trained, "report.sh", "run")
    assert again.returncode == 0 and again.stdout == done.stdout


def test_report_sh_says_what_to_do_before_anything_is_scored(tmp_path):
    done = bash(tmp_path, "report.sh", "nothing")
    assert done.returncode == 2
    assert "there is no nothing/scoring/report.txt" in done.stderr and "score.sh nothing" in done.stderr


def test_a_cached_sweep_writes_the_predictions_of_each_head(downstream, workdir):
    make_config(make_data(workdir / "data", {"train": 4, "dev": 2}), **{**STEPS, "total_steps": 2})
    options = ("-u", "fbank", "--cache", "features", "--sweep_lr", "1e-2,1e-3")
    assert downstream(*TRAIN, *options) == 0
    for head in ("lr1e-2", "lr1e-3"):
        assert Path(f"run/{head}/scoring/predictions-dev.h5").is_file()
        assert Path(f"run/{head}/frame_shift").read_text() == "160\n"
