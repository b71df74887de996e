"""preprocess_alignment.py: the phones of frames from TextGrids."""

from pathlib import Path

import numpy as np
import pytest

from s3prl.preprocess.preprocess_alignment import main
from s3prl.utility.lengths import read_table, write_table
from s3prl.utility.phones import MONTREAL

PHONES = [(0.0, 0.1, ""), (0.1, 0.25, "HH"), (0.25, 0.4, "AH0"), (0.4, 0.5, "sp"), (0.5, 0.6, "spn")]


def grid(path: Path, phones: list[tuple[float, float, str]]) -> None:
    """As the aligner writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = phones[-1][1]
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}",
        "tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"',
        '        name = "phones"', "        xmin = 0", f"        xmax = {end}",
        f"        intervals: size = {len(phones)}",
    ]  # fmt: skip
    for number, (start, stop, phone) in enumerate(phones, start=1):
        lines += [
            f"        intervals [{number}]:", f"            xmin = {start}", f"            xmax = {stop}",
            f'            text = "{phone}"',
        ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def corpus(workdir):
    grid(workdir / "data/libri_alignment/dev-clean/84/84-1-0000.TextGrid", PHONES)
    (workdir / "data/libri_alignment/unused").mkdir()
    return workdir


def named(path: Path) -> list[str]:
    names = (path.parents[1] / "phones.txt").read_text().split()
    return [names[label] for label in np.load(path)]


def test_the_documented_command_labels_every_frame_of_mel_features_by_72_classes(corpus):
    assert main([]) == 0
    folder = corpus / "data/libri_phone"
    assert (folder / "phones.txt").read_text().split() == list(MONTREAL)
    assert len(MONTREAL) == 72
    found = named(folder / "dev-clean/84-1-0000.npy")
    # Frame i is centred at 12.5 i ms, and there is one more than hops in 0.6 s.
    assert found == ["sil"] * 8 + ["HH"] * 12 + ["AH0"] * 12 + ["sp"] * 8 + ["spn"] * 8 + ["sil"]
    assert read_table(folder / "dev-clean.csv") == {"dev-clean/84-1-0000.npy": 49}


def test_frames_of_10_ms_without_stress(corpus):
    assert main(["--feature_type=fbank", "--phone_set=arpabet"]) == 0
    found = named(corpus / "data/libri_phone/dev-clean/84-1-0000.npy")
    # Frame i is centred at 10 i + 12.5 ms; 25 ms fit 58 times into 0.6 s.
    assert found == ["SIL"] * 9 + ["HH"] * 15 + ["AH"] * 15 + ["SIL"] * 10 + ["SPN"] * 9


def test_there_are_as_many_labels_as_frames_of_the_features(corpus, capsys):
    grid(corpus / "data/libri_alignment/dev-clean/84/84-1-0001.TextGrid", PHONES)
    write_table(corpus / "mel/dev-clean.csv", {"dev-clean/84-1-0000.npy": 51, "dev-clean/84-1-0001.npy": 90})
    assert main(["--features", "mel"]) == 1
    assert len(np.load(corpus / "data/libri_phone/dev-clean/84-1-0000.npy")) == 51
    assert "84-1-0001.TextGrid: it lasts for 49 frames, and the features have 90" in capsys.readouterr().err


def test_a_broken_textgrid_is_told_at_the_end_and_mended_by_the_next_run(corpus, capsys):
    broken = corpus / "data/libri_alignment/dev-clean/84/84-1-0001.TextGrid"
    broken.write_text("nothing of the kind")
    grid(broken.with_name("84-1-0002.TextGrid"), [(0.0, 0.5, "qua")])
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "84-1-0001.TextGrid is not a TextGrid" in error
    assert "its phone 'qua' is none of the 72 classes" in error and "error: 2 TextGrids" in error
    assert read_table(corpus / "data/libri_phone/dev-clean.csv").keys() == {"dev-clean/84-1-0000.npy"}
    grid(broken, PHONES)
    broken.with_name("84-1-0002.TextGrid").unlink()
    assert main([]) == 0
    assert len(read_table(corpus / "data/libri_phone/dev-clean.csv")) == 2


def test_own_classes_from_a_file(corpus):
    (corpus / "own.txt").write_text("AH\nHH\nsil\nspn\n")
    assert main(["--phone_set", "own.txt", "--name", "mine"]) == 0
    assert set(named(corpus / "data/mine/dev-clean/84-1-0000.npy")) == {"AH", "HH", "sil", "spn"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data_path", "nowhere"], "there is no folder nowhere"),
        (["--sets", "unused"], "There is none in: unused"),
        (["--phone_set", "klingon"], "is none of montreal, arpabet, nor a file"),
        (["--features", "data"], "has no dev-clean.csv"),
    ],
)
def test_a_mistake_is_one_message(corpus, capsys, options, message):
    assert main(options) == 2
    assert message in capsys.readouterr().err


def test_labels_of_other_features_are_not_mixed_in(corpus, capsys):
    assert main([]) == 0
    assert main(["--feature_type", "fbank"]) == 2
    assert "feature_type: mel there, fbank now" in capsys.readouterr().err


def short(path: Path, phones: list[tuple[float, float, str]], encoding: str) -> None:
    """In Praat's short format."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", str(phones[-1][1]), "<exists>"]
    lines += ["1", '"IntervalTier"', '"phones"', "0", str(phones[-1][1]), str(len(phones))]
    for start, stop, phone in phones:
        lines += [str(start), str(stop), f'"{phone}"']
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_short_textgrids_and_other_encodings_say_the_same(corpus, encoding):
    folder = corpus / "data/libri_alignment/dev-clean/84"
    short(folder / "84-1-0001.TextGrid", PHONES, encoding)
    text = (folder / "84-1-0000.TextGrid").read_text()
    (folder / "84-1-0002.TextGrid").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert main([]) == 0
    labels = [np.load(path) for path in sorted((corpus / "data/libri_phone").rglob("*.npy"))]
    assert len(labels) == 3 and np.array_equal(labels[0], labels[1]) and np.array_equal(labels[0], labels[2])


def test_two_textgrids_of_one_name_in_a_set_are_refused(corpus, capsys):
    grid(corpus / "data/libri_alignment/dev-clean/85/84-1-0000.TextGrid", PHONES)
    assert main([]) == 2
    assert "are both the utterance 84-1-0000" in capsys.readouterr().err


def test_labels_follow_features_that_were_prepared_again(corpus):
    table = corpus / "mel/dev-clean.csv"
    for frames in (51, 47):
        write_table(table, {"dev-clean/84-1-0000.npy": frames})
        assert main(["--features", "mel"]) == 0
        assert len(np.load(corpus / "data/libri_phone/dev-clean/84-1-0000.npy")) == frames
        assert read_table(corpus / "data/libri_phone/dev-clean.csv") == {"dev-clean/84-1-0000.npy": frames}


def test_a_textgrid_of_points_or_without_an_end_stops_no_other(corpus, capsys):
    folder = corpus / "data/libri_alignment/dev-clean/84"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "1", "<exists>", "1"]
    lines += ['"TextTier"', '"phones"', "0", "1", "1", "0.5", '"HH"']
    (folder / "points.TextGrid").write_text("\n".join(lines) + "\n")
    grid(folder / "endless.TextGrid", [(0.0, 0.1, "HH"), (0.1, 1e9, "AH0")])
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "points.TextGrid has no tier 'phones'" in error and "its last interval ends at 1e+09 s" in error
    assert len(read_table(corpus / "data/libri_phone/dev-clean.csv")) == 1


def test_phones_of_several_speakers_are_not_taken_for_those_of_the_first(corpus, capsys):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "1", "<exists>", "2"]
    for name in ("anna - phones", "bob - phones"):
        lines += ['"IntervalTier"', f'"{name}"', "0", "1", "1", "0", "1", '"HH"']
    path = corpus / "data/libri_alignment/dev-clean/84/84-1-0001.TextGrid"
    path.write_text("\n".join(lines) + "\n")
    assert main([]) == 1
    assert "several tiers of phones: anna - phones, bob - phones" in capsys.readouterr().err
    path.write_text(path.read_text().replace("bob - phones", "phones"))
    assert main([]) == 0
