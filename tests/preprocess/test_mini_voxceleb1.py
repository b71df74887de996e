"""The miniature of VoxCeleb1: the official layout, every speaker in all parts, and the tasks that read it."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.downstream.common.corpora import voxceleb1 as reader
from s3prl.downstream.common.corpora import voxceleb1_trials as verification
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini import voxceleb1 as recipe

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SIZES = {
    "dev_speakers": 2, "test_speakers": 2, "train_videos": 2,
    "train_utterances": 3, "dev_utterances": 1, "test_utterances": 2,
}  # fmt: skip
IDS = {"id10001": "dev", "id10002": "dev", "id10270": "test", "id10271": "test"}


def make(output: Path, *options: str) -> int:
    sizes = [text for name, size in SIZES.items() for text in (f"--{name}", str(size))]
    return make_mini_corpora.main(["voxceleb1", "--output", str(output), *sizes, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "VoxCeleb1"


def test_recordings_lie_in_the_official_layout(corpus):
    paths = sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.wav"))
    assert len(paths) == 4 * 6
    for path in paths:
        assert re.fullmatch(r"(dev|test)/wav/id\d{5}/[A-Za-z0-9_-]{11}/\d{5}\.wav", path), path
    assert {path.split("/")[2]: path.split("/")[0] for path in paths} == IDS
    infos = [soundfile.info(corpus / path) for path in paths]
    assert {(info.format, info.subtype, info.samplerate, info.channels) for info in infos} == {
        ("WAV", "PCM_16", 16000, 1)
    }


def test_the_identification_split_lists_every_recording_and_no_video_in_two_parts(corpus):
    lines = [line.split() for line in (corpus / "iden_split.txt").read_text().splitlines()]
    assert [name for _, name in lines] == sorted(
        path.relative_to(path.parents[2]).as_posix() for path in corpus.rglob("*.wav")
    )
    for speaker in IDS:
        of_speaker = [(part, *name.split("/")[1:]) for part, name in lines if name.startswith(speaker)]
        assert sorted(part for part, *_ in of_speaker) == ["1", "1", "1", "2", "3", "3"]
        videos = {video: part for part, video, _ in of_speaker}
        assert sorted(videos.values()) == ["1", "1", "2", "3"]
        assert all(videos[video] == part for part, video, _ in of_speaker)


def test_the_speakers_are_described_as_in_the_official_table(corpus):
    header, *rows = [line.split("\t") for line in (corpus / "vox1_meta.csv").read_text().splitlines()]
    assert header == ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"]
    assert {row[0]: row[4] for row in rows} == IDS and {row[2] for row in rows} == {"f", "m"}


def test_the_task_finds_every_recording(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    split_list = reader.read_list(reader.find_list(None, corpus, print))
    sizes = {split: len(reader.items(corpus, split_list, split)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 12, "dev": 4, "test": 8}


def test_trials_compare_videos_of_the_speakers_of_the_test_folder_half_of_them_of_one_speaker(corpus):
    path = verification.find_trials(None, corpus, print)
    trials = verification.read_trials(path)
    verification.check_trials(trials, corpus / "test/wav", path)
    assert [trial.label for trial in trials] == [True, False] * 26  # all 2 x 13 pairs of one speaker
    assert len({frozenset(trial[1:3]) for trial in trials}) == 52
    for trial in trials:
        one, other = (name.split("/") for name in trial[1:3])
        assert (one[0] == other[0]) is trial.label and one[1] != other[1]


def test_the_miniature_of_the_usual_size_has_2000_trials_and_six_speakers_for_validation(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(recipe, "each", lambda work, videos, *args, **kwargs: [1.0 for _ in videos])
    monkeypatch.setattr(recipe, "sentences", lambda seed, count: ["a word"] * count)
    assert make_mini_corpora.main(["voxceleb1", "--output", str(tmp_path)]) == 0
    trials = verification.read_trials(tmp_path / "VoxCeleb1/voxceleb1_test_v2.txt")
    assert len(trials) == 2000 and len(verification.names_in(trials)) == 160
    speakers = (tmp_path / "VoxCeleb1/asv_dev_speakers.txt").read_text().split()
    table = (tmp_path / "VoxCeleb1/vox1_meta.csv").read_text().splitlines()
    described = [line.split("\t") for line in table if line.split("\t")[0] in speakers]
    assert len(speakers) == 6 and sorted(row[2] for row in described) == ["f", "f", "f", "m", "m", "m"]
    assert {row[4] for row in described} == {"dev"}


@pytest.mark.parametrize(("speakers", "kept"), [(4, ["f", "m"]), (24, ["f", "f", "f", "m", "m", "m"])])
def test_validation_is_on_at_least_two_speakers_of_both_sexes(tmp_path, monkeypatch, speakers, kept):
    monkeypatch.setattr(recipe, "each", lambda work, videos, *args, **kwargs: [1.0 for _ in videos])
    monkeypatch.setattr(recipe, "sentences", lambda seed, count: ["a word"] * count)
    command = ["voxceleb1", "--output", str(tmp_path), "--dev_speakers", str(speakers)]
    assert make_mini_corpora.main(command) == 0
    chosen = (tmp_path / "VoxCeleb1/asv_dev_speakers.txt").read_text().split()
    table = (tmp_path / "VoxCeleb1/vox1_meta.csv").read_text().splitlines()
    rows = [line.split("\t") for line in table]
    assert sorted(row[2] for row in rows if row[0] in chosen) == kept


def test_a_video_has_a_room_of_its_own(corpus):
    waves = {path: soundfile.read(path)[0] for path in sorted((corpus / "dev/wav/id10001").rglob("*.wav"))}
    floors: dict[str, list[float]] = {}
    for path, wave in waves.items():
        frames = wave[: len(wave) // 400 * 400].reshape(-1, 400).std(1)
        assert np.abs(wave).max() > 0.05
        floors.setdefault(path.parent.name, []).append(float(20 * np.log10(frames.min())))
    within = max(max(found) - min(found) for found in floors.values())
    means = [np.mean(found) for found in floors.values()]
    assert len(floors) == 4 and max(means) - min(means) > 3 > within  # dB


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "VoxCeleb1")
    )
    assert one == two


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--test_speakers", "41"), "--test_speakers 41: it must be from 1 to 40"),
        (("--dev_utterances", "0"), "--dev_utterances 0: it must be from 1"),
        (("--train_videos", "4"), "--train_videos 4 with --train_utterances 3"),
        (("--train_utterances", "30000"), "utterances are more than the 30000"),
    ],
)
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, option, message):
    assert make(tmp_path, *option) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "VoxCeleb1").exists()


def test_what_to_run_next_names_the_folder(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 12 utterances" in said and "test: 8 utterances" in said and "4 speakers" in said
    for task in ("voxceleb1", "sv_voxceleb1"):
        assert f"-u fbank -d {task} -c downstream/{task}/mini.yaml" in said
    assert said.count(f"config.downstream_expert.datarc.file_path='{corpus}'") == 2
