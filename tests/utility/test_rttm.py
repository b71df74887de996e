"""RTTM and UEM files: what is read from them, what is refused, what is written."""

import pytest

from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn, read_rttm, read_uem, write_rttm

LINE = "SPEAKER meeting 1 12.340 1.500 <NA> <NA> alice <NA> <NA>\n"


def written(folder, text):
    path = folder / "some.rttm"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_turns_come_by_recording_and_other_lines_are_passed_over(tmp_path):
    path = written(
        tmp_path,
        "\ufeff;; a comment\n\nSPKR-INFO meeting 1 <NA> <NA> <NA> unknown alice <NA>\r\n"
        + LINE
        + "LEXEME meeting 1 12.4 0.2 hello lex alice 0.5\n"
        + "SPEAKER\tcall\t1\t0\t2\t<NA>\t<NA>\tbob\n"
        + LINE.replace("alice", "bob"),
    )
    found = read_rttm(path)
    assert found == {
        "meeting": [Turn("meeting", 12.34, 1.5, "alice"), Turn("meeting", 12.34, 1.5, "bob")],
        "call": [Turn("call", 0.0, 2.0, "bob")],
    }
    assert found["meeting"][0].end == pytest.approx(13.84)


def test_turns_without_duration_are_passed_over_and_counted(tmp_path, capsys):
    path = written(tmp_path, LINE + 2 * LINE.replace("1.500", "0.000"))
    assert len(read_rttm(path)["meeting"]) == 1
    assert "2 turns of zero duration" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, reason",
    [
        (LINE + LINE.replace("1.500", "-1.5"), r"some\.rttm, line 2: the duration is -1\.5"),
        (LINE.replace("12.340", "-0.1"), "line 1: the start is -0.1"),
        (LINE.replace("12.340", "nan"), "line 1: the start is nan"),
        (LINE.replace("1.500", "inf"), "the duration is inf"),
        (LINE.replace("1.500", "<NA>"), "the duration is '<NA>', which is no number"),
        ("SPEAKER meeting 1 12.340 1.500 <NA> <NA>\n", "line 1 has 7 fields"),
        ("meeting 1 12.340 1.500\n", "'meeting' is no type of RTTM"),
        (b"RIFF\xff\x00\x00\x00WAVE", "not a text file"),
        (b"RIFF\x00\x00", "not a text file"),
    ],
)
def test_a_mistake_in_an_rttm_is_named_with_its_line(tmp_path, text, reason):
    with pytest.raises(UserError, match=reason):
        read_rttm(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.rttm cannot be read"):
        read_rttm(tmp_path / "no.rttm")
    with pytest.raises(UserError, match="cannot be read"):
        read_rttm(tmp_path)


def test_what_is_written_is_read_again_and_has_ten_fields(tmp_path):
    turns = [Turn("b", 0.0, 1.25, "x"), Turn("a", 1234.5, 10.001, "y"), Turn("b", 1.25, 0.5, "x")]
    write_rttm(tmp_path / "out.rttm", turns)
    text = (tmp_path / "out.rttm").read_text()
    assert text.splitlines()[0] == "SPEAKER b 1   0.000   1.250 <NA> <NA> x <NA> <NA>"
    assert all(len(line.split()) == 10 for line in text.splitlines())
    assert read_rttm(tmp_path / "out.rttm") == {"b": [turns[0], turns[2]], "a": [turns[1]]}


def test_rounding_keeps_turns_that_follow_each_other_together(tmp_path):
    """Rounding durations instead of ends would leave a gap of a millisecond."""
    write_rttm(
        tmp_path / "out.rttm",
        [Turn("a", 1.0004, 1.0004, "x"), Turn("a", 2.0008, 1.0, "x"), Turn("a", 5, 1e-5, "x")],
    )
    first, second = read_rttm(tmp_path / "out.rttm")["a"]
    assert first.end == pytest.approx(second.start, abs=1e-9) and second.end == pytest.approx(3.001)


def test_names_with_blanks_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="speaker 'John Doe' cannot be written"):
        write_rttm(tmp_path / "out.rttm", [Turn("a", 0, 1, "John Doe")])
    assert not (tmp_path / "out.rttm").exists()


def test_regions_of_a_uem_file(tmp_path):
    path = written(tmp_path, ";; scored\nmeeting 1 0.000 600.000\nmeeting 1 610 700\ncall NA 1.5 2\n")
    assert read_uem(path) == {"meeting": [(0.0, 600.0), (610.0, 700.0)], "call": [(1.5, 2.0)]}
    for text, reason in (("meeting 1 5 5\n", "ends at 5.0 s and begins"), ("meeting 1 5\n", "has 3 fields")):
        with pytest.raises(UserError, match=reason):
            read_uem(written(tmp_path, text))
