"""The miniature of IEMOCAP: the official layout, two speakers a session, emotions heard in the prosody."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.downstream.common.corpora import iemocap as reader
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini import iemocap

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SIZE = 22  # utterances in a session: two dialogs, the second of which is cut off


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(
        ["emotion", "--output", str(output), "--session_utterances", str(SIZE), *options]
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "IEMOCAP"


def labelled(root, session):
    """(utterance, label) of every line, by file name."""
    found = []
    for path in sorted((root / f"Session{session}/dialog/EmoEvaluation").glob("*.txt")):
        rows = [line.split("\t") for line in path.read_text().splitlines() if line.startswith("[")]
        found += [(name, label) for _, name, label, _ in rows]
    return found


def test_labels_and_votes_are_written_in_the_format_of_the_corpus(corpus):
    lines = (corpus / "Session2/dialog/EmoEvaluation/Ses02F_impro01.txt").read_text().split("\n")
    assert lines[:2] == ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    times, name, label, votes = lines[2].split("\t")
    start, end = (float(time) for time in times.strip("[]").split(" - "))
    assert name == "Ses02F_impro01_F000" and label in iemocap._EMOTIONS
    assert len(votes.strip("[]").split(", ")) == 3
    wav = corpus / f"Session2/sentences/wav/Ses02F_impro01/{name}.wav"
    assert end - start == pytest.approx(soundfile.info(wav).duration, abs=1e-4)
    assert [line.split("\t")[0] for line in lines[3:9]] == ["C-E2:", "C-E3:", "C-E4:", "A-E3:", "A-E4:", ""]


def test_every_utterance_has_a_recording_and_a_session_every_label(corpus):
    for session in range(1, 6):
        found = labelled(corpus, session)
        recorded = {path.stem: path for path in corpus.glob(f"Session{session}/sentences/wav/*/*.wav")}
        assert sorted(name for name, _ in found) == sorted(recorded) and len(found) == SIZE
        assert {path.parent.name for path in recorded.values()} == {
            f"Ses0{session}F_impro01", f"Ses0{session}M_impro01",
        }  # fmt: skip
        assert {name.split("_")[2][0] for name in recorded} == {"F", "M"}
        labels = Counter(label for _, label in found)
        assert {"neu", "hap", "exc", "ang", "sad", "fru", "xxx"} <= set(labels)
        assert set(labels) & {"sur", "fea", "dis", "oth"}
        infos = [soundfile.info(path) for path in recorded.values()]
        assert {(info.format, info.subtype, info.samplerate, info.channels) for info in infos} == {
            ("WAV", "PCM_16", 16000, 1)
        }


def test_the_task_hears_what_is_labelled_with_one_of_the_emotions(corpus):
    kept = {"neu": "neu", "hap": "hap", "exc": "hap", "ang": "ang", "sad": "sad"}
    for session in range(1, 6):
        expected = [
            (f"{name}.wav", kept[label]) for name, label in labelled(corpus, session) if label in kept
        ]
        items = reader.items(corpus, "test", f"fold{session}")
        assert [(item.name, item.label) for item in items] == expected
        assert all(Path(item.recording.path).is_file() for item in items)


def test_emotions_differ_in_loudness_and_sentences_do_not_give_them_away():
    dialogs = iemocap._plan(Path("unused"), 1337, 140)
    turns = [turn for dialog in dialogs for turn in dialog.turns]
    voices = {
        label: [turn.speaker for turn in turns if turn.label == label] for label in ("neu", "ang", "sad")
    }
    for trait in ("level", "pitch", "rate"):
        sad, neu, ang = (
            np.mean([getattr(one, trait) for one in voices[label]]) for label in ("sad", "neu", "ang")
        )
        assert sad < neu < ang
    assert len({turn.sentence for turn in turns}) == len(turns) == 700
    words = {
        label: {word for turn in turns if turn.label == label for word in turn.sentence.split()}
        for label in voices
    }
    assert len(words["ang"] & words["sad"]) > 0.9 * max(map(len, words.values()))
    speakers = {(turn.name[:5], turn.name[-4]): (turn.speaker.variant, turn.speaker.seed) for turn in turns}
    assert len(set(speakers.values())) == 10


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "IEMOCAP")
    )
    assert one == two


@pytest.mark.parametrize("size", ["19", "2001"])
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, size):
    assert make_mini_corpora.main(["emotion", "--output", str(tmp_path), "--session_utterances", size]) == 2
    assert f"--session_utterances {size}" in capsys.readouterr().err
    assert not (tmp_path / "IEMOCAP").exists()


def test_what_to_run_next_names_the_folder(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert f"Session5: {SIZE} utterances" in said and "2 speakers" in said
    assert "-d emotion -c downstream/emotion/mini.yaml -v fold1" in said
    assert f"config.downstream_expert.datarc.root='{corpus}'" in said
    assert json.loads((corpus / "mini.json").read_text())["settings"]["session_utterances"] == SIZE
