"""TIMIT as its reader finds it: splits, file names of converted copies, phones, formats, mistakes."""

import gzip
import shutil

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from timit_tones import PEOPLE, make_timit

from s3prl.downstream.common.corpora import timit
from s3prl.utility.audio import load
from s3prl.utility.errors import UserError
from s3prl.utility.timit import CORE_TEST_SPEAKERS

# The 61 phones of TIMIT's documentation and the 39 as which Lee and Hon (1989) score them.
TABLE = """
iy iy|ih ih|eh eh|ae ae|aa aa|ah ah|ao aa|uh uh|uw uw|ux uw|er er|axr er|ax ah|ax-h ah|ix ih|ey ey|ay ay
oy oy|aw aw|ow ow|b b|d d|g g|p p|t t|k k|dx dx|q -|jh jh|ch ch|s s|sh sh|z z|zh sh|f f|th th|v v|dh dh
m m|n n|ng ng|em m|en n|eng ng|nx n|l l|r r|w w|y y|hh hh|hv hh|el l|bcl sil|dcl sil|gcl sil|pcl sil
tcl sil|kcl sil|pau sil|epi sil|h# sil
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_timit(tmp_path_factory.mktemp("timit"))


@pytest.fixture
def copy(root, tmp_path):
    """A corpus to change."""
    return shutil.copytree(root, tmp_path / "TIMIT")


def test_the_61_phones_are_folded_to_39_as_published():
    pairs = [pair.split() for line in TABLE.split("\n") for pair in line.split("|") if pair]
    assert len(pairs) == 61 and len({phone for _, phone in pairs}) == 40
    assert timit.LABELS.keys() == {name for name, _ in pairs} and len(timit.PHONES) == 39
    for name, phone in pairs:
        label = timit.LABELS[name]
        assert (label == -100) if phone == "-" else (timit.PHONES[label] == phone)


def test_the_splits_of_the_real_corpus_have_the_published_sizes():
    folder = ROOT / "downstream/common/lists_data"
    listed = {
        part: gzip.decompress((folder / f"timit_{part}.txt.gz").read_bytes()).decode().split()
        for part in ("train", "test")
    }
    assert {part: len(names) for part, names in listed.items()} == {"train": 4620, "test": 1680}
    found = {split: timit.split_ids(split) for split in ("train", "dev", "test")}
    assert {split: len(names) for split, names in found.items()} == {"train": 3696, "dev": 1152, "test": 192}
    assert found["train"] == [name for name in listed["train"] if name.split("-")[2][:2] != "SA"]
    assert sorted(found["dev"] + found["test"]) == [
        name for name in listed["test"] if name.split("-")[2][:2] != "SA"
    ]
    core = {f"{region}-{name}" for region, names in CORE_TEST_SPEAKERS.items() for name in names}
    assert {name.rpartition("-")[0] for name in found["test"]} == core and len(core) == 24
    assert sum(name.split("-")[1][0] == "M" for name in core) == 16  # two men and a woman of each region
    assert not core & {name.rpartition("-")[0] for name in found["dev"]}
    assert [found[split][0] for split in found] == [
        "DR1-FCJF0-SI1027",
        "DR1-FAKS0-SI1573",
        "DR1-FELC0-SI1386",
    ]


def test_splits_and_labels_equal_a_reading_of_the_layout_by_hand(root):
    people = {
        "train": PEOPLE["TRAIN"], "dev": ["DR2/FMNO0", "DR7/MPQR0"], "test": ["DR1/FELC0", "DR2/MTAS1"],
    }  # fmt: skip
    labels = set()
    for split, expected in people.items():
        items = timit.items(root, split, root)
        assert len(items) == 8 * len(expected)
        assert [item.name for item in items[:8]] == [
            f"{expected[0].replace('/', '-')}-{sentence}"
            for sentence in ("SI501", "SI1131", "SI1761", "SX7", "SX97", "SX187", "SX277", "SX367")
        ]
        assert {item.name.rpartition("-")[0].replace("-", "/") for item in items} == set(expected)
        for item in items:
            folder = root / ("TRAIN" if split == "train" else "TEST")
            path = folder / item.name.replace("-", "/")
            assert item.recording.path == str(path.with_suffix(".WAV"))
            assert item.label == path.with_suffix(".PHN")
            rows = [line.split() for line in item.label.read_text().splitlines()]
            by_hand = []
            for middle in range(200, int(rows[-1][1]) - 199, 160):  # of frames of 400 samples
                (phone,) = [phone for start, end, phone in rows if int(start) <= middle < int(end)]
                by_hand.append(timit.LABELS[phone])
            assert timit.read_phones(item.label).tolist() == by_hand
            labels.update(by_hand)
    assert {-100, timit.PHONES.index("sil"), timit.PHONES.index("sh")} <= labels


def test_a_label_is_the_phone_in_the_middle_of_its_frame(tmp_path):
    path = tmp_path / "SI1.PHN"
    path.write_text("0 360 h#\n360 680 epi\n680 840 q\n\n1000 1160 iy\n1160 1399 zh\n")
    labels = [timit.PHONES[label] if label >= 0 else "-" for label in timit.read_phones(path)]
    # middles at 200, 360, 520, 680 (q), 840 (in no phone), 1000, 1160; then less than half a frame is left
    assert labels == ["sil", "sil", "sil", "-", "-", "iy", "sh"]


@pytest.mark.parametrize("layout", ["lower case", "beside the original", "instead of the original"])
def test_converted_copies_are_read_as_well(copy, layout):
    expected = timit.items(copy, "test", copy)
    for path in sorted(copy.glob("T*/*/*/*.*"), reverse=True):
        if layout == "lower case":
            small = copy / "other" / str(path.relative_to(copy)).lower()
            small.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, small)
        elif path.suffix == ".WAV":
            wave, rate = soundfile.read(path)
            soundfile.write(f"{path}.wav", wave, rate, format="WAV")
            if layout == "instead of the original":
                path.unlink()
    found = timit.items(copy / "other" if layout == "lower case" else copy, "test", copy)
    assert [item.name for item in found] == [item.name for item in expected] and len(found) == 16
    assert all(item.label.is_file() for item in found)
    ending = {"lower case": ".wav", "instead of the original": ".WAV.wav"}.get(layout, ".WAV")
    assert all(item.recording.path.endswith(ending) for item in found)
    for item in found:
        frames = 1 + (len(load(item.recording.path)) - 400) // 160
        assert len(timit.read_phones(item.label)) == frames


def test_sphere_is_heard_as_it_was_written(root):
    path = root / "TEST/DR1/FELC0/SX7.WAV"
    content = path.read_bytes()
    assert content.startswith(b"NIST_1A\n   1024\n") and b"sample_byte_format -s2 01" in content
    samples = np.frombuffer(content[1024:], dtype="<i2")
    assert np.array_equal(load(path), (samples / 2**15).astype(np.float32)) and np.abs(samples).max() > 9000


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_missing_corpus_is_named_with_the_ways_to_get_it(tmp_path, split):
    with pytest.raises(UserError) as error:
        timit.find_folder(tmp_path / "TIMIT", split)
    for text in (
        f"TIMIT's folder {'TRAIN' if split == 'train' else 'TEST'} was looked for in {tmp_path}/TIMIT",
        "That folder does not exist", "https://catalog.ldc.upenn.edu/LDC93S1",
        "downstream_expert.datarc.timit_root", "timit --output data/mini",
    ):  # fmt: skip
        assert text in str(error.value)


def test_a_root_above_or_below_the_corpus_is_named_with_what_it_holds(root):
    with pytest.raises(UserError, match=r"It holds: DR1, DR4, DR8\."):
        timit.find_folder(root / "TRAIN", "train")


def test_utterances_of_the_list_that_are_not_there_are_counted(copy):
    with pytest.raises(
        UserError, match=r"3696 of the 3696 train utterances .* DR1-FCJF0-SI1027 .*split_path"
    ):
        timit.items(copy, "train")
    for path in (copy / "TEST/DR2/MTAS1").iterdir():
        path.unlink()
    with pytest.raises(
        UserError, match=r"8 of the 16 test utterances .* DR2-MTAS1-SI501 \(TEST/DR2/MTAS1/SI501"
    ):
        timit.items(copy, "test", copy)
    assert len(timit.items(copy, "dev", copy)) == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "does not hold the phones of an utterance"),
        ("0 100 h#\n", "does not hold the phones of an utterance"),
        ("800 1600 aa\n0 800 h#\n", "one after the other"),
        ("0 1600 AA1\n", "'AA1' is none of TIMIT's 61 phones"),
        ("0 1600 hh#\n", "Did you mean"),
        ("0.0 1600 aa\n", "a line that is not `<first sample> <sample behind the last> <phone>`"),
        ("0 1600\n", "a line that is not `<first sample>"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_phn_file_is_named(copy, content, message):
    path = copy / "TRAIN/DR4/FGHI1/SX97.PHN"
    path.unlink() if content is None else path.write_text(content)
    (wrong,) = [item for item in timit.items(copy, "train", copy) if item.name == "DR4-FGHI1-SX97"]
    with pytest.raises(UserError) as error:
        timit.read_phones(wrong.label)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


def test_a_wrong_list_is_named(tmp_path):
    listed = tmp_path / "test_split.txt"
    with pytest.raises(
        UserError, match=r"There is no list .*/test_split.txt \(downstream_expert.datarc.split_path"
    ):
        timit.split_ids("test", tmp_path)
    listed.write_text("DR1-FELC0\n")
    with pytest.raises(UserError, match="'DR1-FELC0' is no utterance of TIMIT, such as DR1-FCJF0-SI648"):
        timit.split_ids("test", tmp_path)
    listed.write_text("DR1-FABC0-SI1\nDR1-FELC0-SA1\n")
    assert timit.split_ids("dev", tmp_path) == ["DR1-FABC0-SI1"]
    with pytest.raises(UserError, match="has no SI or SX sentence by the core test speakers"):
        timit.split_ids("test", tmp_path)
