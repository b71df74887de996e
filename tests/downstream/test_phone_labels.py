"""Phone labels every 10 ms: the files they are read from, what their phones count as, and what is refused."""

import gzip
import zipfile

import numpy as np
import phones
import pytest

from s3prl.downstream.common.phone_labels import class_numbers, classes_of, read_alignment
from s3prl.utility.errors import UserError
from s3prl.utility.phones import ARPABET, MONTREAL, labels_of_frames, without_stress

NAME = "converted_aligned_phones"
EXPECTED = {name: phones.labels(name) for name in phones.names()}
TEXT = "".join(f"{name} {' '.join(map(str, row))}\n" for name, row in EXPECTED.items())


def numbers(path, phone_set=None, utterances=None):
    """Utterance -> numbers of classes."""
    found = read_alignment(path, utterances)
    table = class_numbers(found, classes_of(found, phone_set), phone_set)
    return {name: table[row].tolist() for name, row in found.frames.items()}


def write_zip(folder):
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"data/{NAME}.txt", TEXT)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: (folder / f"{NAME}.txt").write_text(TEXT),
        lambda folder: (folder / f"{NAME}.txt.gz").write_bytes(gzip.compress(TEXT.encode())),
        write_zip,
        phones.write_textgrids,
        lambda folder: phones.write_textgrids(folder, "anna - phones"),
        lambda folder: phones.write_table(folder / "train-clean-100.tsv"),
    ],
    ids=["txt", "gz", "zip", "TextGrid", "TextGrid with a speaker", "tsv"],
)
def test_labels_of_every_kind_of_file_are_the_phone_at_the_centre_of_each_frame(tmp_path, write):
    write(tmp_path)
    assert numbers(tmp_path) == EXPECTED


def test_numbers_are_kept_in_two_bytes_and_named_by_the_file_beside_them(tmp_path):
    (tmp_path / f"{NAME}.txt").write_text("a-1 0 2 2\nb-1 1\n\n")
    found = read_alignment(tmp_path)
    assert found.frames["a-1"].dtype == np.int16 and classes_of(found) == ["0", "1", "2"]
    (tmp_path / "phones.txt").write_text("sil\nzz\naa\n")
    assert classes_of(read_alignment(tmp_path)) == ["sil", "zz", "aa"]
    assert numbers(tmp_path) == {"a-1": [0, 2, 2], "b-1": [1]}


def test_the_classes_of_cpc_are_41_in_the_documented_order():
    assert ARPABET == phones.CLASSES and len(ARPABET) == 41
    said = ["AH0", "ER2", "NG", "", "sp", "spn", "SPN", "B2", "ɑː"]
    assert [without_stress(phone) for phone in said] == [
        *("AH", "ER", "NG", "SIL", "SIL", "SPN", "SPN", "B2", "ɑː"),
    ]


def test_frames_between_and_behind_segments_get_the_rest_and_a_boundary_belongs_to_what_begins():
    # centres: 12.5, 22.5, 32.5, ... ms
    found = labels_of_frames([0.01, 0.0325], [0.0225, 0.05], [5, 6], frames=6, rest=0)
    assert found.tolist() == [5, 0, 6, 6, 0, 0]
    assert labels_of_frames([], [], [], frames=2, rest=3).tolist() == [3, 3]


def test_a_phone_set_of_the_users_says_what_counts_as_what(tmp_path):
    phones.write_table(tmp_path / "x.tsv")
    (tmp_path / "set.txt").write_text("vowel AA AA0\nother M S\nSIL\n")
    phone_set = tmp_path / "set.txt"
    found = read_alignment(tmp_path)
    assert classes_of(found, phone_set) == ["vowel", "other", "SIL"]
    expected = {0: 2, 2: 0, 23: 1, 30: 1}
    assert numbers(tmp_path, phone_set) == {
        name: [expected[number] for number in row] for name, row in EXPECTED.items()
    }


def test_the_72_classes_of_the_aligner_take_what_it_does_not_label_for_silence(tmp_path):
    (tmp_path / "x.tsv").write_text(
        "utterance\ttier\tstart\tend\tlabel\na\tphone\t0.01\t0.03\tAH0\na\tphone\t0.03\t0.05\tsp\n"
        "a\tphone\t0.05\t0.07\t\na\tphone\t0.07\t0.1\tspn\na\tphone\t0.15\t0.17\tHH\n"
    )
    phone_set = tmp_path / "phones.txt"
    phone_set.write_text("".join(f"{name}\n" for name in MONTREAL))
    (row,) = numbers(tmp_path, phone_set).values()
    said = [MONTREAL[number] for number in row]
    expected = [
        "AH0",
        "AH0",
        "sp",
        "sp",
        "sil",
        "sil",
        "spn",
        "spn",
        "spn",
        "sil",
        "sil",
        "sil",
        "sil",
        "sil",
    ]
    assert said == [*expected, "HH"]


def test_phones_of_another_alphabet_are_their_own_classes(tmp_path):
    (tmp_path / "x.tsv").write_text(
        "utterance\ttier\tstart\tend\tlabel\na\tphone\t0\t0.05\tʃ\na\tphone\t0.05\t0.1\tsil\n"
    )
    assert classes_of(read_alignment(tmp_path)) == ["SIL", "ʃ"]


def test_only_textgrids_of_the_utterances_that_are_needed_are_read(tmp_path):
    phones.write_textgrids(tmp_path)
    (tmp_path / "another.TextGrid").write_text("broken")
    name = phones.names()[0]
    assert numbers(tmp_path, utterances={name}) == {name: EXPECTED[name]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1 x 2\n", "line 2: the labels behind the utterance must be whole numbers"),
        ("a 1 2\na 3\n", "line 2: a is there a second time"),
        ("a 1 -2\n", "line 1: the label -2 is no number of a class"),
        ("a 1 99999\n", "line 1: the label 99999"),
        ("\n", "has no labels"),
        ("a 0 41\n", "a has the label 41, but .*phones.txt names 41 classes, 0 to 40"),
    ],
)
def test_a_damaged_label_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / f"{NAME}.txt").write_text(text)
    (tmp_path / "phones.txt").write_text("\n".join(phones.CLASSES))
    with pytest.raises(UserError, match=message) as error:
        read_alignment(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_cut_archive_and_a_broken_textgrid_are_one_message(tmp_path):
    whole = gzip.compress(TEXT.encode())
    (tmp_path / f"{NAME}.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"txt\.gz cannot be read: .* Get it anew from the folder"):
        read_alignment(tmp_path)
    (tmp_path / f"{NAME}.txt.gz").unlink()
    (tmp_path / "a.TextGrid").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"a\.TextGrid is not a TextGrid"):
        read_alignment(tmp_path)


def test_a_textgrid_without_phones_names_the_tiers_it_has(tmp_path):
    phones.write_textgrids(tmp_path, "words")
    with pytest.raises(UserError, match=r"has no tier 'phones'\. It has: words"):
        read_alignment(tmp_path)


@pytest.mark.parametrize("exists", [True, False])
def test_missing_labels_are_named_with_the_way_to_get_them(tmp_path, exists):
    folder = tmp_path / "labels"
    if exists:
        folder.mkdir()
    with pytest.raises(UserError) as error:
        read_alignment(folder)
    for text in (str(folder), "https://github.com/s3prl/s3prl", "phone_path", f"{NAME}.zip", "TextGrids"):
        assert text in str(error.value)
