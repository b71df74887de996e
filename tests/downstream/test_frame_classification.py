"""Labels of frames from the user's own lists: segments, or a label for every frame."""

import json
from pathlib import Path

import numpy as np
import pytest
from own_data import make_config, tone, write_list, write_wave
from sklearn.metrics import accuracy_score, f1_score

from s3prl.downstream.common.frame import IGNORED
from s3prl.downstream.common.frame_labels import frame_items, frame_labels, labels_of
from s3prl.utility import get_best_dev
from s3prl.utility.errors import UserError

TRAIN = ("-m", "train", "-u", "fbank", "-d", "frame_classification", "-c", "own.yaml")
COLUMNS = ["path", "label", "start", "end"]


@pytest.fixture
def segments(workdir):
    """my/{train,dev,test}.csv: low tones, high tones, and between them a pause without a label."""
    rng = np.random.default_rng(0)
    for split, size in {"train": 16, "dev": 4, "test": 4}.items():
        rows = []
        for number in range(size):
            first, pause, second = rng.uniform(0.1, 0.4, 3)
            parts = [tone(300, first, rng), tone(0, pause, rng), tone(2500, second, rng)]
            path = workdir / f"my/wavs/{split}-{number}.wav"
            write_wave(path, np.concatenate(parts[:: 1 if number % 2 else -1]))
            labels = ("low", "high") if number % 2 else ("high", "low")
            ends = (first, second) if number % 2 else (second, first)
            rows.append([f"wavs/{path.name}", labels[0], 0.0, ends[0]])
            rows.append([f"wavs/{path.name}", labels[1], ends[0] + pause, ends[0] + pause + ends[1]])
        write_list(workdir / f"my/{split}.csv", COLUMNS, rows)
    return workdir / "my"


def test_a_short_training_learns_frames_and_repeats_its_score_without_the_training_list(
    segments, downstream, capsys
):
    steps = {"total_steps": 30, "log_step": 10, "eval_step": 30, "save_step": 30}
    make_config("frame_classification", segments, datarc={"train_batch_size": 4}, **steps)
    assert downstream(*TRAIN, "-p", "run") == 0
    assert Path("run/labels.txt").read_text().splitlines() == ["high", "low"]
    (segments / "train.csv").unlink()
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    result = json.loads(Path("run/result.json").read_text())["metrics"]
    assert result["acc"] > 0.9 and result["f1"] > 0.9  # chance is a half
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    assert f"accompanied by this test score {result['acc']}" in capsys.readouterr().out
    truth, predicted = (
        [line.split() for line in Path(f"run/test_{kind}.txt").read_text().splitlines()]
        for kind in ("truth", "predict")
    )
    assert [row[0] for row in truth] == [f"wavs/test-{number}" for number in range(4)]
    pairs = [
        pair for rows in zip(truth, predicted, strict=True) for pair in list(zip(*rows, strict=True))[1:]
    ]
    counted = [pair for pair in pairs if pair[0] != "-"]
    assert len(counted) < 0.9 * len(pairs)  # the pause does not count
    assert result["acc"] == pytest.approx(accuracy_score(*zip(*counted, strict=True)))
    assert result["f1"] == pytest.approx(f1_score(*zip(*counted, strict=True), average="macro"))


def listed(folder, columns, rows, name="train.csv", seconds=1.0):
    """A list of recordings that are there."""
    for path in {row[0] for row in rows}:
        write_wave(folder / path, np.ones(round(16000 * seconds)) / 2)
    write_list(folder / name, columns, rows)
    return folder / name


def test_a_frame_has_the_label_of_the_segment_that_holds_its_middle(tmp_path):
    rows = [["a.wav", "x", 0.0, 0.024], ["b.wav", "y", "", 1.0], ["a.wav", "y", 0.026, 0.04]]
    path = listed(tmp_path, COLUMNS, rows)
    first, second = frame_items(path, "train", ["x", "y"])
    assert (first.name, second.name) == ("a", "b") and len(first.label) == 100  # frames of 10 ms
    assert first.label[:5].tolist() == [0, 0, IGNORED, 1, IGNORED]  # the middle of the third is 0.025 s
    assert second.label.tolist() == [1] * 100 and second.label.dtype == np.int16
    assert labels_of(path) == ["x", "y"]


def test_labels_of_all_frames_are_read_of_csv_and_jsonl(tmp_path):
    rows = [["a.wav", " ".join(["x"] * 60 + ["-"] * 10 + ["y"] * 30)]]
    from_csv = frame_items(listed(tmp_path, ["path", "label"], rows), "train", ["x", "y"])
    rows = [["a.wav", rows[0][1].split()]]
    from_json = frame_items(listed(tmp_path, ["path", "label"], rows, "train.jsonl"), "train", ["x", "y"])
    for (item,) in (from_csv, from_json):
        assert item.label.tolist() == [0] * 60 + [IGNORED] * 10 + [1] * 30 and item.samples == 16000


def test_labels_at_another_rate_and_some_frames_too_many(tmp_path):
    rows = [["a.wav", " ".join(["x"] * 53)]]  # every 20 ms there are 50
    (item,) = frame_items(listed(tmp_path, ["path", "label"], rows), "train", ["x"], 320)
    assert item.label.tolist() == [0] * 50


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (COLUMNS, [["a.wav", "x", 0, 0.5], ["a.wav", "y", 0.3, 1]], "lines 2 and 3: two segments of a.wav"),
        (COLUMNS, [["a.wav", "x", 0.5, ""]], "line 2: the segment of a.wav has no end"),
        (COLUMNS, [["a.wav", "x y", 0, 0.5]], "line 2: the segment of a.wav needs one label without blanks"),
        (COLUMNS, [["a.wav", "x", 0, 1], ["b.wav", "z", 0, 1]], "1 label(s) that are none of the 2 classes"),
        (COLUMNS, [["a.wav", "x", 1.5, 2.5]], "a: a segment begins at 1.50 s, the audio ends at 1.00 s"),
        (COLUMNS, [["a.wav", "-", 0, 1]], "line 2: no frame of a has a label"),
        (["path", "label"], [["a.wav", "x " * 50]], "a (line 2): 50 labels, 1.00 s of audio"),
        (COLUMNS, [["a.wav", "x y", "", ""], ["a.wav", "x", 0, 1]], "lines 2 and 3: a.wav has a label for"),
    ],
)
def test_labels_that_cannot_be_are_refused_with_their_place(tmp_path, columns, rows, message):
    path = listed(tmp_path, columns, rows)
    with pytest.raises(UserError) as error:
        frame_items(path, "train", ["x", "y"])
    assert message in str(error.value) and str(path) in str(error.value)


def test_recordings_that_differ_in_their_suffix_only_keep_it_in_their_names(tmp_path):
    rows = [["a.wav", "x", 0, 1], ["a.flac", "x", 0, 1], ["b.wav", "x", 0, 1]]
    path = listed(tmp_path, COLUMNS, rows)
    assert [one.name for one in frame_labels(path)] == ["a.wav", "a.flac", "b"]
