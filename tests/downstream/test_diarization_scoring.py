"""From predictions of diarization to turns and a DER, and what is said where that cannot be."""

import h5py
import numpy as np
import pytest
from mixtures import write_folder
from scipy.signal import medfilt

from s3prl.downstream.diarization import make_rttm, predictions, score
from s3prl.downstream.diarization.decisions import decide, majority
from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn, read_rttm

TURNS = [("anna", 0.1, 0.5), ("bert", 0.4, 0.9)]
SOURCE = predictions.Source(320, 1, 7)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """run/, whose predictions of test/ are right at thresholds from 0.4 on, and those of dev/ up to 0.6."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split, (right, wrong) in {"test": (0.9, 0.35), "dev": (0.65, 0.1)}.items():
        write_folder(tmp_path / split, {f"{split}-{number}": (TURNS, 1.0) for number in range(2)}, rng)
        values = np.full((50, 2), wrong)
        for speaker, (_, start, end) in enumerate(TURNS):
            values[round(50 * start) : round(50 * end), speaker] = right
        predicted = {f"{split}-{number}": values for number in range(2)}
        folder = tmp_path / "run/scoring"
        source = SOURCE._replace(data=str(tmp_path / split))
        if split == "dev":
            predictions.write_file(folder / predictions.DEV_FILE, predicted, source)
        else:
            predictions.write_folder(folder / predictions.FOLDER, predicted, source)
    return tmp_path / "run"


@pytest.mark.parametrize("frames", [1, 3, 11, 35])
def test_the_filter_is_the_median_of_scipy(frames):
    active = np.random.default_rng(frames).random((37, 3)) > 0.4
    expected = medfilt(active.astype(float), (frames, 1)) > 0.5
    np.testing.assert_array_equal(majority(active, frames), expected)


@pytest.mark.parametrize("frames", [0, 2, -1])
def test_a_filter_of_an_even_number_of_frames_is_refused(frames):
    with pytest.raises(UserError, match=f"median filter of {frames} frames: it must be an odd number"):
        decide(np.zeros((4, 1)), median=frames)


def test_the_threshold_and_the_filter_are_also_chosen_on_the_development_set(experiment, capsys):
    assert score.main(["run", "test"]) == 0
    out = capsys.readouterr().out
    assert "chosen on dev (threshold 0.3, median 1): 122.22; there it is 0.00" in out  # 1.1 s too much of 0.9
    assert "one speaker always: 66.67" in out  # of 0.9 s: 0.1 missed, 0.3 confused; 0.2 false alarm
    assert out.splitlines()[-1].split()[-1] == "0.00"
    assert read_rttm(experiment / "scoring/hyp_0.5_1.rttm")["test-0"] == [
        Turn("test-0", 0.1, 0.4, "test-0_0"),
        Turn("test-0", 0.4, 0.5, "test-0_1"),
    ]


def test_collar_overlap_thresholds_and_filters_are_options(experiment, capsys):
    assert score.main(["run", "test", "--collar", "0.1", "--skip_overlap", "--medians", "3"]) == 0
    out = capsys.readouterr().out
    assert "collar 0.1 s, overlap not scored" in out
    assert sorted(path.name for path in (experiment / "scoring").glob("result_*")) == [
        f"result_th0.{number}_med3" for number in range(3, 8)
    ]


def test_predictions_without_a_frame_shift_have_that_of_the_experiment_folder(experiment, capsys):
    for path in (experiment / "scoring/predictions").iterdir():
        with h5py.File(path, "a") as file:
            for name in list(file["T_hat"].attrs):  # as the public S3PRL writes it
                del file["T_hat"].attrs[name]
    assert score.main(["run", "test"]) == 2
    assert "The predictions of test-0 do not say how many samples" in capsys.readouterr().err
    (experiment / "frame_shift").write_text("320\n")
    assert score.main(["run", "test"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "0.00"


def test_predictions_of_another_evaluation_are_removed(experiment):
    folder = experiment / "scoring/predictions"
    predictions.write_folder(folder, {"test-1": np.zeros((5, 2))}, SOURCE)
    assert [path.name for path in folder.iterdir()] == ["test-1.h5"]


def remove_dev(run):
    (run / "scoring" / predictions.DEV_FILE).unlink()


def other_step(run, **change):
    path = run / "scoring" / predictions.DEV_FILE
    found = {name: one.values for name, one in predictions.read_file(path).items()}
    predictions.write_file(path, found, SOURCE._replace(**(change or {"step": 3})))


def other_frame_shift(run):
    other_step(run, frame_shift=160)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_dev, "there is no run/scoring/predictions-dev.h5"),
        (other_step, "is of another step or frame shift than"),
        (other_frame_shift, "is of another step or frame shift than"),
    ],
)
def test_what_is_missing_to_choose_on_dev_is_said_and_the_rest_is_scored(experiment, capsys, change, message):
    change(experiment)
    assert score.main(["run", "test"]) == 0
    out = capsys.readouterr().out
    assert message in out and "-t dev -e run/best-states-dev.ckpt" in out and "OVERALL" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "dev"], "dev does not have 2 of the 2 recordings that were predicted: test-0, test-1"),
        (["nothing", "test"], "There is no folder nothing"),
        (["test", "test"], "test/scoring/predictions has no predictions. Make them first"),
        (["run", "test", "--collar", "-1"], "--collar -1.0: give seconds, 0 or more"),
        (["run", "test", "--medians", "1", "10"], "it must be an odd number"),
        (["run", "test", "--thresholds", "0.5", "nan"], "A threshold of nan: it must be a probability"),
    ],
)
def test_what_cannot_be_scored_is_told(experiment, capsys, arguments, message):
    assert score.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(experiment.glob("scoring/hyp_*"))


def test_a_recording_without_predictions_counts_as_missed(experiment, capsys):
    (experiment / "scoring/predictions/test-1.h5").unlink()
    assert score.main(["run", "test"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].split()[-1] == "50.00"
    assert "1 of 2 recordings of test, such as test-1, have no predictions" in printed.err


def test_make_rttm_takes_the_options_of_the_public_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.array([[0.9, 0.1], [0.3, 0.6], [0.9, 0.6], [0.9, 0.6], [0.2, 0.6]])
    predictions.write_folder(tmp_path, {"talk": values}, SOURCE)
    (tmp_path / "files.txt").write_text("talk.h5\n")
    assert make_rttm.main(["--threshold", "0.5", "--median", "3", "files.txt", "one.rttm"]) == 0
    assert read_rttm("one.rttm")["talk"] == [
        Turn("talk", 0.02, 0.06, "talk_0"), Turn("talk", 0.02, 0.08, "talk_1")
    ]  # fmt: skip
    options = ["--frame_shift", "800", "--subsampling", "2", "--sampling_rate", "8000"]
    assert make_rttm.main([*options, "files.txt", "other.rttm"]) == 0
    assert read_rttm("other.rttm")["talk"][-1] == Turn("talk", 0.2, 0.8, "talk_1")


def test_predictions_of_an_interrupted_evaluation_are_not_scored_with_older_ones(experiment, capsys):
    path = experiment / "scoring/predictions/test-1.h5"
    with h5py.File(path, "a") as file:
        file["T_hat"].attrs["step"] = 3
    assert score.main(["run", "test"]) == 2
    printed = capsys.readouterr().err
    assert "are of different steps (3, 7)" in printed and "-t test -e run/best-states-dev.ckpt" in printed


@pytest.mark.parametrize(
    ("options", "listed", "message"),
    [
        (["--frame_shift", "-160"], b"talk.h5", "--frame_shift -160: it must be at least 1"),
        (["--frame_shift", "160", "--sampling_rate", "0"], b"talk.h5", "--sampling_rate 0: it must be"),
        (["--threshold", "nan"], b"talk.h5", "A threshold of nan: it must be a probability"),
        ([], b"\xff\xfe", "files.txt is no text file in UTF-8"),
        ([], b"\n", "files.txt names no file"),
        ([], b"talk.h5\nother/talk.h5", "other/talk.h5 and talk.h5 are both of the recording talk"),
    ],
)
def test_make_rttm_tells_what_it_cannot_do(tmp_path, monkeypatch, capsys, options, listed, message):
    monkeypatch.chdir(tmp_path)
    predictions.write_folder(tmp_path, {"talk": np.ones((5, 2))}, SOURCE)
    (tmp_path / "files.txt").write_bytes(listed)
    assert make_rttm.main([*options, "files.txt", "new/hyp.rttm"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new/hyp.rttm").exists()


def test_make_rttm_makes_the_folder_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predictions.write_folder(tmp_path, {"talk": np.ones((5, 1))}, SOURCE)
    (tmp_path / "files.txt").write_bytes(b"talk.h5\r\n")
    assert make_rttm.main(["files.txt", "new/hyp.rttm"]) == 0
    assert read_rttm("new/hyp.rttm") == {"talk": [Turn("talk", 0.0, 0.1, "talk_0")]}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no HDF5", "is no HDF5 file of predictions, or is damaged"), (None, "has no data set T_hat")],
)
def test_a_file_that_holds_no_predictions_is_named(tmp_path, content, message):
    path = tmp_path / "talk.h5"
    if content is None:
        with h5py.File(path, "w") as file:
            file["other"] = [1]
    else:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        predictions.read_one(path)
    assert message in str(error.value) and str(path) in str(error.value)
