"""The miniature of Libri2Mix: LibriMix's layout, mixtures that are sums, the times when somebody speaks."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.preprocess import make_mini_corpora
from s3prl.utility.rttm import read_rttm

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SIZES = {
    "train_speakers": 4, "train_mixtures": 4, "dev_speakers": 2, "dev_mixtures": 1,
    "test_speakers": 3, "test_mixtures": 2,
}  # fmt: skip
FOLDERS = {"train": "train-100", "dev": "dev", "test": "test"}
KINDS = ("mix_both", "s1", "s2", "noise")
RATE = 16000
LSB = 1 / 32768  # of 16 bits


def make(output: Path, *options: str) -> int:
    sizes = [text for name, size in SIZES.items() for text in (f"--{name}", str(size))]
    return make_mini_corpora.main(["libri2mix", "--output", str(output), *sizes, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "Libri2Mix"


def mixtures(corpus: Path, split: str) -> list[str]:
    return sorted(path.stem for path in (corpus / f"wav16k/max/{FOLDERS[split]}/mix_both").iterdir())


def waves(corpus: Path, split: str, name: str) -> dict[str, np.ndarray]:
    folder = corpus / "wav16k/max" / FOLDERS[split]
    return {kind: soundfile.read(folder / kind / f"{name}.wav")[0] for kind in KINDS}


def table(corpus: Path, split: str, name: str) -> list[list[str]]:
    return [line.split() for line in (corpus / "data" / split / name).read_text().splitlines()]


@pytest.mark.parametrize("split", FOLDERS)
def test_the_layout_is_that_of_librimix(corpus, split):
    folder = corpus / "wav16k/max" / FOLDERS[split]
    names = mixtures(corpus, split)
    assert len(names) == SIZES[f"{split}_mixtures"]
    assert all(re.fullmatch(r"\d{4}-\d{6}-\d{4}_\d{4}-\d{6}-\d{4}", name) for name in names)
    for kind in KINDS:
        paths = sorted((folder / kind).iterdir())
        assert [path.stem for path in paths] == names
        assert {(info.format, info.subtype, info.samplerate) for info in map(soundfile.info, paths)} == {
            ("WAV", "PCM_16", RATE)
        }


def test_the_metadata_of_every_split_finds_its_files(corpus):
    for split, folder in FOLDERS.items():
        path = corpus / "wav16k/max/metadata" / f"mixture_{folder}_mix_both.csv"
        rows = list(csv.DictReader(path.open(newline="")))
        assert [row["mixture_ID"] for row in rows] == mixtures(corpus, split)
        columns = dict(
            zip(("mixture_path", "source_1_path", "source_2_path", "noise_path"), KINDS, strict=True)
        )
        for row in rows:
            for column, kind in columns.items():
                recording = path.parent / row[column]
                assert recording.parent.name == kind and recording.stem == row["mixture_ID"]
                assert soundfile.info(recording).frames == int(row["length"])


@pytest.mark.parametrize("split", FOLDERS)
def test_a_mixture_is_the_sum_of_its_sources_and_the_noise(corpus, split):
    for name in mixtures(corpus, split):
        tracks = waves(corpus, split, name)
        assert np.array_equal(tracks["mix_both"], tracks["s1"] + tracks["s2"] + tracks["noise"])
        voices = [20 * np.log10(wave[wave != 0].std()) for wave in (tracks["s1"], tracks["s2"])]
        noise = 20 * np.log10(tracks["noise"].std())
        assert abs(voices[0] - voices[1]) < 8
        assert 6 < min(voices) - noise < 24  # dB
        assert np.abs(tracks["mix_both"]).max() <= 0.9 + LSB


def test_no_speaker_and_no_source_is_in_two_splits_and_nobody_talks_to_themselves(corpus):
    spoken = {split: [name.split("_") for name in mixtures(corpus, split)] for split in FOLDERS}
    sources = [source for pairs in spoken.values() for pair in pairs for source in pair]
    assert len(set(sources)) == len(sources)
    speakers = {
        split: {source.split("-")[0] for pair in pairs for source in pair} for split, pairs in spoken.items()
    }
    assert {split: len(found) for split, found in speakers.items()} == {
        split: SIZES[f"{split}_speakers"] for split in FOLDERS
    }
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values()))
    assert all(one.split("-")[0] != other.split("-")[0] for pairs in spoken.values() for one, other in pairs)


@pytest.mark.parametrize("split", FOLDERS)
def test_the_rttm_says_when_the_clean_sources_sound(corpus, split):
    turns = read_rttm(corpus / "data" / split / "rttm")
    assert sorted(turns) == mixtures(corpus, split)
    for name, found in turns.items():
        tracks = waves(corpus, split, name)
        for kind, source in zip(("s1", "s2"), name.split("_"), strict=True):
            own = sorted(turn for turn in found if turn.speaker == source.split("-")[0])
            spoken = np.zeros(len(tracks[kind]), bool)
            for turn in own:
                begin, end = round(turn.start * RATE), round(turn.end * RATE)
                assert 0 <= begin < end <= len(spoken)
                spoken[begin:end] = True
                # The voice begins and ends where the turn does: within the first and last 80 ms.
                for edge in (tracks[kind][begin : begin + 1280], tracks[kind][end - 1280 : end]):
                    assert np.abs(edge).max() > 20 * LSB
            sounding = tracks[kind] != 0
            assert not (sounding & ~spoken)[spoken_margin(spoken)].any()
            assert sounding[spoken].mean() > 0.85
            assert all(later.start - earlier.end > 0.2 for earlier, later in pairwise(own))


def spoken_margin(spoken: np.ndarray) -> np.ndarray:
    """Where no turn begins or ends within 2 ms."""
    near = np.convolve(np.abs(np.diff(spoken.astype(float), prepend=0)), np.ones(65), mode="same")
    return near == 0


def test_neither_one_speaker_always_nor_both_always_would_be_right(corpus):
    turns = read_rttm(corpus / "data/train/rttm")
    durations = {name: float(seconds) for name, seconds in table(corpus, "train", "reco2dur")}
    total = sum(durations.values())
    speech = sum(turn.duration for found in turns.values() for turn in found)
    assert (2 * total - speech) / speech > 0.5  # false alarms of "both always"
    heard = np.zeros(3)
    for name, found in turns.items():
        time = np.arange(0, durations[name], 0.01)
        count = sum(((turn.start <= time) & (time < turn.end)).astype(int) for turn in found)
        heard += np.bincount(count, minlength=3) / 100
    assert heard.sum() == pytest.approx(total, abs=0.1)
    assert (heard / total > 0.1).all()  # nobody, one of them, both


@pytest.mark.parametrize("split", FOLDERS)
def test_the_tables_of_a_data_folder_agree_and_survive_a_move_of_the_corpus(corpus, split):
    folder = corpus / "data" / split
    recordings = table(corpus, split, "wav.scp")
    assert [name for name, _ in recordings] == mixtures(corpus, split)
    lengths = {name: soundfile.info(folder / path).duration for name, path in recordings}
    assert all(path.startswith("../../wav16k/max/") and "/mix_both/" in path for _, path in recordings)
    durations = {name: float(seconds) for name, seconds in table(corpus, split, "reco2dur")}
    assert durations == pytest.approx(lengths, abs=1e-4)

    speakers = dict(table(corpus, split, "utt2spk"))
    segments = table(corpus, split, "segments")
    assert [row[0] for row in segments] == sorted(speakers)
    said = {speaker: utterances for speaker, *utterances in table(corpus, split, "spk2utt")}
    assert {utterance: who for who, utterances in said.items() for utterance in utterances} == speakers
    assert {(rec, speakers[utt], float(start), float(end)) for utt, rec, start, end in segments} == {
        (turn.recording, turn.speaker, turn.start, round(turn.end, 3))
        for found in read_rttm(folder / "rttm").values()
        for turn in found
    }
    assert all(float(end) <= durations[rec] for _, rec, _, end in segments)


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "Libri2Mix")
    )
    assert one == two


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ("--dev_speakers", "1"),
            "--dev_speakers 1 with --dev_mixtures 1: there must be at least two speakers",
        ),
        (("--test_speakers", "5"), "--test_speakers 5 with --test_mixtures 2"),
        (("--train_mixtures", "6000"), "6003 mixtures are more than the 6000"),
    ],
)
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, option, message):
    assert make(tmp_path, *option) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "Libri2Mix").exists()


def test_what_to_run_next_names_the_folder(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 4 utterances" in said and "4 speakers" in said
    assert "-u fbank -d diarization -c downstream/diarization/mini.yaml" in said
    assert f"config.downstream_expert.loaderrc.train_dir='{corpus}/data/train'" in said
