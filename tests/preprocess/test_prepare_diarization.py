"""Preparing data for diarization: from LibriMix's tables, and from recordings with RTTM files."""

import csv

import numpy as np
import pytest
import soundfile

from s3prl.downstream.common.metrics.der import diarization_error
from s3prl.preprocess import prepare_diarization
from s3prl.preprocess.speech_times import Detector
from s3prl.utility.rttm import Turn, read_rttm, write_rttm

RATE = 16000
SECONDS = 3.0
SAID = {"1-1-0": [(0.5, 1.5)], "2-1-0": [(1.0, 2.0), (2.5, 2.9)]}  # by the two utterances of the mixture
MIXTURE = "_".join(SAID)
OPTIONS = ("--n_jobs", "1")


def tone(spans, level=0.3, seconds=SECONDS):
    """A tone in some spans and silence around them: float64 [samples]."""
    time = np.arange(round(seconds * RATE)) / RATE
    inside = sum((time >= start) & (time < end) for start, end in spans)
    return level * inside * np.sin(2 * np.pi * 440 * time)


def write(path, wave):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


@pytest.fixture
def librimix(tmp_path):
    """Libri2Mix with a mixture in train-100 and in test, whose tables have the paths of another machine."""
    root = tmp_path / "my corpora" / "Libri2Mix" / "wav16k" / "max"
    (root / "metadata").mkdir(parents=True)
    for subset in ("train-100", "test"):
        row = {"mixture_ID": MIXTURE}
        waves = [tone(spans) for spans in SAID.values()]
        for kind, column, wave in zip(
            ("s1", "s2", "mix_both"),
            ("source_1_path", "source_2_path", "mixture_path"),
            [*waves, sum(waves)],
            strict=True,
        ):
            write(root / subset / kind / f"{MIXTURE}.wav", wave)
            row[column] = f"/elsewhere/Libri2Mix/wav16k/max/{subset}/{kind}/{MIXTURE}.wav"
        row["length"] = len(waves[0])
        table = root / "metadata" / f"mixture_{subset}_mix_both.csv"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
    return root


def prepare(*arguments):
    return prepare_diarization.main([*map(str, arguments), *OPTIONS])


def table(path):
    return [line.split(None, 1) for line in path.read_text().splitlines()]


def test_turns_of_librimix_come_from_the_energy_of_its_sources(librimix, capsys):
    target = librimix.parents[1] / "data"
    assert prepare("--target_dir", target, "--source_dir", librimix / "metadata") == 0
    assert sorted(path.name for path in target.iterdir()) == ["test", "train"]
    turns = read_rttm(target / "train" / "rttm")[MIXTURE]
    said = [(*span, name.split("-")[0]) for name, spans in SAID.items() for span in spans]
    assert sorted(turn.speaker for turn in turns) == ["1", "2", "2"]
    for turn, (start, end, speaker) in zip(turns, sorted(said), strict=True):
        assert turn.speaker == speaker and abs(turn.start - start) < 0.03 and abs(turn.end - end) < 0.03
    said = capsys.readouterr()
    assert "train: 1 recording, 2 speakers, 0.00 hours; somebody speaks in 6" in said.out
    assert "no table of dev, which is not made" in said.err


def test_the_files_of_a_data_folder_fit_together(librimix):
    target = librimix.parents[1] / "data"
    assert prepare("--target_dir", target, "--source_dir", librimix / "metadata") == 0
    folder = target / "test"
    [(name, path)] = table(folder / "wav.scp")
    assert name == MIXTURE and path == f"../../wav16k/max/test/mix_both/{MIXTURE}.wav"
    assert soundfile.info(folder / path).duration == SECONDS
    assert table(folder / "reco2dur") == [[MIXTURE, "3.0000"]]
    segments = {utterance: rest.split() for utterance, rest in table(folder / "segments")}
    speakers = dict(table(folder / "utt2spk"))
    assert list(segments) == list(speakers) == sorted(segments)
    assert {(*segments[name][1:], speakers[name]) for name in segments} == {
        (f"{turn.start:.3f}", f"{turn.end:.3f}", turn.speaker) for turn in read_rttm(folder / "rttm")[MIXTURE]
    }
    assert {
        name: speaker for speaker, names in table(folder / "spk2utt") for name in names.split()
    } == speakers


def test_a_path_outside_is_absolute_with_its_blanks(librimix, tmp_path):
    target = tmp_path / "other" / "data"
    assert prepare("--target_dir", target, "--source_dir", librimix / "metadata") == 0
    [(_, path)] = table(target / "test" / "wav.scp")
    assert path == str(librimix / "test" / "mix_both" / f"{MIXTURE}.wav") and " " in path


def test_alignments_take_the_place_of_the_sources(librimix, tmp_path):
    """RTTM of one utterance, a TextGrid of the other; pauses of less than 0.2 s are speech."""
    alignments = tmp_path / "alignments"
    alignments.mkdir()
    write_rttm(
        alignments / "words.rttm",
        [Turn("1-1-0", 0.25, 0.5, "1"), Turn("1-1-0", 0.9, 0.3, "1"), Turn("1-1-0", 1.6, 0.2, "1")],
    )
    words = [(0.0, 1.25, ""), (1.25, 1.5, "good"), (1.5, 1.6, ""), (1.6, 2.0, "bye"), (2.0, 3.0, "")]
    (alignments / "2-1-0.TextGrid").write_text(text_grid(words))
    for source in ("s1", "s2"):
        (librimix / "test" / source / f"{MIXTURE}.wav").unlink()
    options = ["--source_dir", librimix / "metadata", "--alignments", alignments]
    assert prepare("--target_dir", tmp_path / "data", *options) == 0
    turns = read_rttm(tmp_path / "data" / "test" / "rttm")[MIXTURE]
    assert [(turn.start, round(turn.end, 3), turn.speaker) for turn in turns] == [
        (0.25, 1.2, "1"), (1.25, 2.0, "2"), (1.6, 1.8, "1")
    ]  # fmt: skip


def text_grid(words):
    lines = [
        *('File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {SECONDS}"),
        *("tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"'),
        *('        name = "words"', "        xmin = 0", f"        xmax = {SECONDS}"),
        f"        intervals: size = {len(words)}",
    ]
    for number, (start, end, label) in enumerate(words, 1):
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {start}",
            f"            xmax = {end}",
        ]
        lines += [f'            text = "{label}"']
    return "\n".join(lines) + "\n"


def test_missing_files_are_told_before_anything_is_written_and_can_be_left_out(librimix, tmp_path, capsys):
    (librimix / "test" / "s2" / f"{MIXTURE}.wav").unlink()
    options = ["--target_dir", tmp_path / "data", "--source_dir", librimix / "metadata"]
    assert prepare(*options) == 2
    error = capsys.readouterr().err
    assert f"{MIXTURE}: there is no file" in error and "--bad_audio skip" in error
    assert not (tmp_path / "data").exists()
    assert prepare(*options, "--bad_audio", "skip") == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train"]
    assert "note: left out in all: 1 recording." in capsys.readouterr().err


@pytest.fixture
def meetings(tmp_path):
    """Recordings of two splits, one RTTM for all, and one of a recording that nobody has."""
    for split, names in {"train": ("first", "second one"), "test": ("third",)}.items():
        for name in names:
            write(tmp_path / "audio" / split / f"{name}.flac", tone([(0, 2)]))
    turns = [
        *(Turn("first", 0.0, 2.0, "anna"), Turn("first", 1.0, 2.5, "bert")),  # half a second too long
        *(Turn("second_one", 0.0, 1.0, "anna"), Turn("third", 0.0, 1.0, "carl")),
    ]
    (tmp_path / "rttm").mkdir()
    write_rttm(tmp_path / "rttm" / "all.rttm", turns)
    return tmp_path


def test_any_recordings_with_rttm_become_data_folders(meetings, capsys):
    options = ["--target_dir", meetings / "data", "--audio", meetings / "audio", "--rttm", meetings / "rttm"]
    assert prepare(*options) == 0
    assert table(meetings / "data/train/wav.scp") == [
        ["first", "../../audio/train/first.flac"], ["second_one", "../../audio/train/second one.flac"]
    ]  # fmt: skip
    turns = read_rttm(meetings / "data/train/rttm")
    assert turns["first"][1] == Turn("first", 1.0, 2.0, "bert")
    said = capsys.readouterr()
    assert (
        "train: 2 recordings, 2 speakers, 0.00 hours; somebody speaks in 66.7 %, several in 25.0 %"
        in said.out
    )
    assert "note: cut at the end of their recording: 1 turn." in said.err
    assert list(read_rttm(meetings / "data/test/rttm")) == ["third"]


def test_every_split_may_have_an_rttm_of_its_own(meetings):
    """The same name in two splits is then two recordings."""
    write(meetings / "audio" / "test" / "first.wav", tone([(0, 2)]))
    (meetings / "rttm" / "test").mkdir()
    write_rttm(meetings / "rttm/test/first.rttm", [Turn("first", 0.5, 0.5, "dora")])
    write_rttm(meetings / "rttm/test/third.rttm", [Turn("third", 0.5, 0.5, "dora")])
    write_rttm(meetings / "rttm/train.rttm", [Turn("first", 0.5, 0.5, "emil")])
    (meetings / "rttm/all.rttm").unlink()
    options = ["--target_dir", meetings / "data", "--audio", meetings / "audio", "--rttm", meetings / "rttm"]
    assert prepare(*options) == 0
    assert [turn.speaker for turn in read_rttm(meetings / "data/train/rttm")["first"]] == ["emil"]
    assert list(read_rttm(meetings / "data/test/rttm")) == ["first", "third"]


def test_a_folder_without_splits_is_the_one_that_the_user_names(meetings, capsys):
    options = ["--audio", meetings / "audio" / "test", "--rttm", meetings / "rttm" / "third.rttm"]
    write_rttm(meetings / "rttm" / "third.rttm", [Turn("third", 0.0, 1.0, "carl")])
    assert prepare("--target_dir", meetings / "data", *options) == 2
    assert "Say with --split" in capsys.readouterr().err
    assert prepare("--target_dir", meetings / "data", *options, "--split", "dev") == 0
    assert list(read_rttm(meetings / "data/dev/rttm")) == ["third"]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("SPEAKER third 1 0.5 -1 <NA> <NA> carl <NA> <NA>", "all.rttm, line 5: the duration is -1"),
        ("SPEAKER fourth 1 0.5 1 <NA> <NA> carl <NA> <NA>", "fourth: "),
        ("SPEAKER third 1 30.5 1 <NA> <NA> carl <NA> <NA>", "third: it lasts 3.00 s, and carl is to speak"),
    ],
)
def test_a_mistake_in_the_rttm_is_told_and_nothing_written(meetings, capsys, line, reason):
    path = meetings / "rttm" / "all.rttm"
    path.write_text(path.read_text() + line + "\n")
    options = ["--audio", meetings / "audio", "--rttm", path]
    assert prepare("--target_dir", meetings / "data", *options) == 2
    assert reason in capsys.readouterr().err and not (meetings / "data").exists()


def test_other_mistakes_are_told_in_a_message(librimix, meetings, capsys):
    target = ["--target_dir", meetings / "data"]
    (meetings / "empty").mkdir()
    (librimix / "metadata" / "mixture_dev_mix_clean.csv").write_text("mixture_ID,length\n")
    for options, reason in (
        (["--source_dir", meetings / "no"], "There is no folder"),
        (["--source_dir", meetings / "empty"], "no mixture_train-100_mix_both.csv"),
        (["--source_dir", librimix / "metadata", "--mix", "mix_clean"], "needs the columns mixture_ID"),
        (["--source_dir", librimix / "metadata", "--alignments", meetings / "empty"], "neither a .rttm nor"),
        (["--audio", meetings / "audio"], "--audio and --rttm belong together"),
        (["--audio", meetings / "no", "--rttm", meetings / "rttm"], "is no folder"),
        (["--audio", meetings / "audio", "--rttm", meetings / "empty"], "has no .rttm file"),
        (["--audio", meetings / "rttm", "--rttm", meetings / "rttm", "--split", "dev"], "has no recording"),
    ):
        assert prepare(*target, *options) == 2
        assert reason in capsys.readouterr().err
    assert not (meetings / "data").exists()


def test_speech_is_found_over_noise_and_short_pauses_belong_to_it():
    spans = [(0.5, 1.0), (1.1, 1.5), (2.0, 2.5)]
    noise = np.random.default_rng(0).normal(0, 0.3 / 60, round(SECONDS * RATE))  # 32 dB below the tone
    found = Detector().spans((tone(spans) + noise).astype(np.float32))
    assert diarization_error([(0.5, 1.5, "a"), (2.0, 2.5, "a")], [(*span, "a") for span in found]).rate < 0.04
    assert len(Detector(min_pause=0.05).spans(tone(spans))) == 3
    assert Detector().spans(np.zeros(RATE, np.float32)) == []


def test_a_turn_of_less_than_a_millisecond_is_in_no_table(tmp_path):
    write(tmp_path / "audio/a.wav", tone([(0.5, 1.5)]))
    (tmp_path / "a.rttm").write_text(
        "SPEAKER a 1 0.5 1.0 <NA> <NA> anna <NA>\nSPEAKER a 1 2.0 0.0004 <NA> <NA> bert <NA>\n"
        "SPEAKER a 1 2.9999 0.5 <NA> <NA> bert <NA>\n"
    )
    sources = ("--audio", tmp_path / "audio", "--rttm", tmp_path / "a.rttm", "--split", "test")
    assert prepare("--target_dir", tmp_path / "data", *sources) == 0
    (segment,) = table(tmp_path / "data/test/segments")
    assert segment[1] == "a 0.500 1.500"
    assert table(tmp_path / "data/test/utt2spk") == [[segment[0], "anna"]]


@pytest.mark.parametrize("value", ["nan", "-1"])
def test_a_pause_that_cannot_be_is_refused(librimix, tmp_path, capsys, value):
    options = ("--target_dir", tmp_path / "data", "--source_dir", librimix / "metadata")
    assert prepare(*options, "--min_pause", value) == 2
    assert f"--min_pause {float(value)}: give seconds, 0 or more" in capsys.readouterr().err
