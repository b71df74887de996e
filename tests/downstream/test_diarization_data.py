"""Data folders as Kaldi has them: what is read, and which mistakes are found before anything runs."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from mixtures import make_config, make_data, write_folder

from s3prl.downstream.common.corpora import kaldi
from s3prl.utility.errors import UserError

TRAIN = ("-m", "train", "-d", "diarization", "-u", "fbank", "-c", "sd.yaml", "-p", "run")
TURNS = [("anna", 0.1, 0.5), ("bert", 0.4, 0.9)]


@pytest.fixture
def folder(tmp_path):
    """A data folder with the recordings a and b, of a second each."""
    recordings = {"a": (TURNS, 1.0), "b": (TURNS[:1], 1.0)}
    return write_folder(tmp_path / "data", recordings, np.random.default_rng(0))


def test_a_data_folder_is_read_with_lengths_and_turns(folder):
    first, second = kaldi.items(folder, "test", 2)
    assert (first.name, first.recording.path, first.samples) == ("a", str(folder / "wav/a.wav"), 16000)
    assert [(turn.speaker, turn.start, turn.end) for turn in first.label] == TURNS
    assert [turn.speaker for turn in second.label] == ["anna"]


def test_without_wav_scp_the_recordings_are_those_of_the_folder_wav(folder):
    (folder / "wav.scp").unlink()
    assert [item.name for item in kaldi.items(folder, "test", 2)] == ["a", "b"]


def test_a_file_of_the_folder_wav_with_a_blank_in_its_name_is_told(folder):
    (folder / "wav.scp").unlink()
    (folder / "wav/b.wav").rename(folder / "wav/b c.wav")
    with pytest.raises(UserError, match=r"wav/b c\.wav: the recording's name 'b c' has a slash or a blank"):
        kaldi.items(folder, "test", 2)


def test_without_segments_the_turns_are_those_of_the_rttm(folder):
    before = kaldi.items(folder, "test", 2)
    (folder / "segments").unlink()
    (folder / "utt2spk").unlink()
    after = kaldi.items(folder, "test", 2)
    assert [[turn.speaker for turn in item.label] for item in after] == [["anna", "bert"], ["anna"]]
    assert [item.recording for item in after] == [item.recording for item in before]


def test_lengths_of_reco2dur_are_believed(folder):
    (folder / "reco2dur").write_text("a 0.95\n")
    assert [item.samples for item in kaldi.items(folder, "test", 2)] == [15200, 16000]


def test_a_length_of_reco2dur_that_the_file_does_not_have_is_told(folder):
    """What would be learned behind the end of the file is silence that nobody recorded."""
    (folder / "reco2dur").write_text("a 1.05\nb 14.6\n")
    with pytest.raises(
        UserError, match=r"reco2dur: 1 recording\(s\) are shorter .*\n  b: 14\.6 s, but 1\.00 s of "
    ):
        kaldi.items(folder, "test", 2)


def test_a_recording_in_which_nobody_speaks_is_read(folder):
    lines = (folder / "segments").read_text().splitlines()
    (folder / "segments").write_text("\n".join(lines[:2]) + "\n")
    assert [len(item.label) for item in kaldi.items(folder, "test", 2)] == [2, 0]


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("wav.scp", "wav/b.wav", "gone.wav", "wav.scp, line 2: there is no file "),
        ("wav.scp", "wav/b.wav", "sph2pipe b.sph |", "wav.scp, line 2: what stands behind b is a command"),
        ("wav.scp", "b wav/b.wav", "b", "wav.scp, line 2 has 1 field(s) and needs 2"),
        ("wav.scp", "b wav", "a wav", "wav.scp, line 2: the recording a stands also at"),
        ("wav.scp", "b wav", "../b wav", "line 2: the recording's name '../b' has a slash"),
        (
            "segments",
            "0.40 0.90",
            "0.90 0.40",
            "segments, line 2: the segment a-1 ends at 0.4 s and begins at 0.9",
        ),
        ("segments", "0.40 0.90", "-0.40 0.90", "segments, line 2: '-0.40' is no time in seconds"),
        (
            "segments",
            "0.40 0.90",
            "0.40 1.90",
            "a: a segment of bert ends at 1.90 s, the recording at 1.00 s",
        ),
        ("segments", "a-1 a", "a-1 c", "segments, line 2: the folder has no recording c"),
        ("segments", "a-1 a", "a-9 a", "segments, line 2: "),
        ("utt2spk", "a-1 bert", "a-1", "utt2spk, line 2 has 1 field(s)"),
        (
            "utt2spk",
            "a-1 bert",
            "a-0 bert",
            "utt2spk, line 2: the utterance a-0 is of bert, and before it was",
        ),
        ("reco2dur", "", "a long\n", "reco2dur, line 1: 'long' is no time"),
    ],
)
def test_mistakes_in_a_data_folder_are_named_with_their_line(folder, table, old, new, message):
    path = folder / table
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as error:
        kaldi.items(folder, "test", 2)
    assert message in str(error.value) and str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["segments", "rttm"], "has neither a file segments nor a file rttm"),
        (["utt2spk"], "has a file segments but no file utt2spk"),
        (["wav.scp", "wav"], "has neither a file wav.scp nor a folder wav"),
    ],
)
def test_files_that_a_data_folder_lacks_are_named(folder, names, message):
    for name in names:
        (folder / name).rename(folder / f".{name}")
    with pytest.raises(UserError, match=message):
        kaldi.items(folder, "test", 2)


@pytest.mark.parametrize("learned_from", ["segments", "rttm"])
def test_a_negative_duration_in_an_rttm_is_named_with_its_line(folder, learned_from):
    if learned_from == "rttm":
        (folder / "segments").unlink()
    path = folder / "rttm"
    path.write_text(path.read_text().replace(" 0.50 ", " -0.50 "))
    with pytest.raises(UserError, match="rttm, line 2: the duration"):
        kaldi.items(folder, "test", 2)


def test_tables_of_a_windows_editor_are_read(folder):
    before = kaldi.items(folder, "test", 2)
    for name in ("wav.scp", "segments", "utt2spk", "rttm"):
        text = (folder / name).read_text()
        (folder / name).write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert kaldi.items(folder, "test", 2) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SPEAKER b 1", "SPEAKER b.wav 1", r"rttm has turns of 1 recording\(s\) .* not have: b.wav\."),
        ("SPEAKER b 1", ";; b 1", r"rttm has no turn of 1 recording\(s\) .* according to segments: b\."),
    ],
)
def test_an_rttm_that_would_score_other_recordings_than_segments_is_refused(folder, old, new, message):
    text = (folder / "rttm").read_text()
    assert old in text
    (folder / "rttm").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        kaldi.items(folder, "test", 2)


def test_audio_that_cannot_be_read_stops_or_is_left_out_when_asked(folder):
    (folder / "wav/a.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"1 of 2 audio files of .* cannot be used") as error:
        kaldi.items(folder, "test", 2)
    assert "--bad_audio skip" in str(error.value)
    assert [item.name for item in kaldi.items(folder, "test", 2, skip_unreadable=True)] == ["b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datarc": {"num_speakers": 1}}, "has 2 speakers (anna, bert)"),
        ({"datarc": {"num_speaker": 2}}, "Did you mean 'num_speakers'?"),
        ({"datarc": {"rate": 8000}}, "datarc.rate must be 16000, to which every recording is brought"),
        ({"datarc": {"frame_shift": 240}}, "Labels every 240 samples"),
        ({"datarc": {"use_last_samples": False}}, "no recording has the 2000 labels (20 s) of a whole chunk"),
        ({"modelrc": {"rnn_layer": 2}}, "Did you mean 'rnn_layers'?"),
        ({"loaderrc": {"train_dir": "gone"}}, "The data folder of the split 'train' was looked for in "),
    ],
)
def test_a_run_that_cannot_work_ends_before_it_begins(downstream, workdir, capsys, changes, message):
    config = make_config(make_data(workdir / "data", {"train": 1, "dev": 1}))
    for block, fields in changes.items():
        config["downstream_expert"][block].update(fields)
    Path("sd.yaml").write_text(yaml.safe_dump(config))
    assert downstream(*TRAIN) == 2
    printed = capsys.readouterr().err
    assert message in printed
    if "loaderrc" in changes:
        assert "libri2mix --output data/mini" in printed and "loaderrc.train_dir" in printed
