"""The miniature of TIMIT: the official layout and formats, disjoint speakers, and what its reader finds."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from s3prl.downstream.common.corpora import timit as reader
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini.synthesis import Segment
from s3prl.preprocess.mini.timit import timit_phones
from s3prl.utility.timit import CORE_TEST_SPEAKERS

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SPEAKERS = {"train": 3, "dev": 1, "test": 2}
SIZES = [text for split, count in SPEAKERS.items() for text in (f"--{split}_speakers", str(count))]


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(["timit", "--output", str(output), *SIZES, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "TIMIT"


def folders(corpus, place):
    return sorted(corpus.glob(f"{place}/DR?/*"))


def text(path):
    return path.read_text().split(maxsplit=2)[2].strip()


def test_everybody_reads_ten_sentences_in_the_files_of_timit(corpus):
    names = {}
    for place, count in (("TRAIN", 3), ("TEST", 3)):
        assert len(folders(corpus, place)) == count
        for folder in folders(corpus, place):
            stems = Counter(path.stem for path in folder.iterdir())
            assert set(stems.values()) == {4} and Counter(stem[:2] for stem in stems) == {
                "SA": 2, "SI": 3, "SX": 5,
            }  # fmt: skip
            assert {path.suffix for path in folder.iterdir()} == {".WAV", ".TXT", ".WRD", ".PHN"}
            names.setdefault(place, set()).add(folder.name)
            assert folder.name[0] in "FM" and folder.name[4] in "01"
    assert not names["TRAIN"] & names["TEST"]
    core = {name for region in CORE_TEST_SPEAKERS.values() for name in region}
    assert len(core) == 24 and len(names["TEST"] & core) == 2


def test_sentences_of_training_are_not_in_the_test_set(corpus):
    said = {
        place: {text(path) for path in corpus.glob(f"{place}/*/*/S[IX]*.TXT")} for place in ("TRAIN", "TEST")
    }
    assert not said["TRAIN"] & said["TEST"]
    by_name = {path.stem: text(path) for path in corpus.glob("T*/*/*/*.TXT")}
    assert len(set(by_name.values())) == len(by_name)  # SX3 is the same sentence whoever reads it
    assert by_name["SA1"] == "She had your dark suit in greasy wash water all year."


def test_recordings_are_sphere_and_times_count_their_samples(corpus):
    for path in corpus.glob("T*/*/*/*.WAV"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("NIST", "PCM_16", 16000, 1)
        assert int(path.with_suffix(".TXT").read_text().split()[1]) == info.frames
        phones = [line.split() for line in path.with_suffix(".PHN").read_text().splitlines()]
        assert phones[0][0] == "0" and int(phones[-1][1]) == info.frames
        assert all(one[1] == other[0] for one, other in pairwise(phones))
        assert phones[0][2] == phones[-1][2] == "h#" and {phone for *_, phone in phones} <= set(reader.LABELS)
        words = [line.split()[2] for line in path.with_suffix(".WRD").read_text().splitlines()]
        assert words == text(path.with_suffix(".TXT")).lower().strip(".").split()


def test_phones_are_written_as_timit_writes_them():
    labels = ["SIL", "AH0", "T", "AH0", "P", "AO1", "HH", "EH2", "SIL", "CH", "ER1", "D", "ER0", "SIL"]
    found = timit_phones([Segment(number, number + 1.0, label) for number, label in enumerate(labels)])
    assert " ".join(phone for *_, phone in found) == ("h# ax dx ax pcl p ao hv eh pau tcl ch er dx axr h#")
    assert found[4:6] == [Segment(4, 4.5, "pcl"), Segment(4.5, 5, "p")]


def test_the_reader_finds_every_utterance_but_sa(corpus):
    for split, speakers in SPEAKERS.items():
        items = reader.items(corpus, split, corpus)
        assert len(items) == 8 * speakers and not any("-SA" in item.name for item in items)
        for item in items:
            frames = 1 + (soundfile.info(item.recording.path).frames - 400) // 160
            assert len(reader.read_phones(item.label)) == frames


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "TIMIT")
    )
    assert one == two


def test_impossible_sizes_are_refused_and_named(tmp_path, capsys):
    assert make(tmp_path, "--test_speakers", "25") == 2
    assert "--test_speakers 25: there must be from 1 to 24 speakers" in capsys.readouterr().err
    assert not (tmp_path / "TIMIT").exists()


def test_what_to_run_next_names_the_corpus_and_its_lists(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 30 utterances" in said and "test: 20 utterances" in said
    assert "-d timit_phone_linear -c downstream/timit_phone_linear/mini.yaml" in said
    assert f"timit_root='{corpus}'" in said and f"split_path='{corpus}'" in said
