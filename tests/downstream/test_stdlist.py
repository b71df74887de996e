"""The files of QUESST 2014: a system's output and the ground truth, and the command that scores them."""

import re

import numpy as np
import pytest

from s3prl.downstream.common.metrics.commands import twv
from s3prl.downstream.common.metrics.quesst import score_search
from s3prl.downstream.common.metrics.quesst_truth import GroundTruth, read_ground_truth, read_pairs
from s3prl.downstream.common.metrics.stdlist import Search, read_stdlist, write_stdlist
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError

GOLDEN = """\
<?xml version='1.0' encoding='UTF-8'?>
<stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" language="english" index_size="1" \
system_id="benchmark">
  <detected_termlist termid="q1" term_search_time="1.0" oov_term_count="1">
    <term file="d1" channel="1" tbeg="0.000" dur="0.00" score="2.0001" decision="YES"/>
    <term file="d&quot;&amp;2" channel="1" tbeg="0.000" dur="0.00" score="-0.1235" decision="NO"/>
  </detected_termlist>
  <detected_termlist termid="q2" term_search_time="1.0" oov_term_count="1"/>
</stdlist>
"""
ECF = """\
<?xml version="1.0" encoding="UTF-8"?>
<ecf source_signal_duration="9.000" language="multiple" version="1">
  <excerpt audio_filename="Audio/d1.wav" channel="1" tbeg="0.000" dur="4.500" source_type="splitcts"/>
  <excerpt audio_filename="d2" channel="1" tbeg="0.000" dur="4.500" source_type="splitcts"/>
</ecf>
"""
TERMS = """\
<termlist ecf_filename="x.ecf.xml" language="multiple" version="1">
  <term termid="q1"><termtext>first</termtext></term>
  <term termid="q2.wav"><termtext>second</termtext></term>
</termlist>
"""
RTTM = """\
;; a comment
LEXEME d1 1 1.250 0.480 q1 lex <NA> <NA>
LEXEME Audio/d1.wav 1 3.000 0.500 q1 lex <NA> <NA>
SPEAKER d1 1 0.000 4.500 <NA> <NA> anna <NA>
LEXEME d2 1 0.100 0.500 second lex <NA> <NA>
"""
BOMB = '<!DOCTYPE ecf [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n<ecf><x>&b;</x></ecf>'


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "groundtruth"
    folder.mkdir()
    for name, text in (("x.ecf.xml", ECF), ("x.tlist.xml", TERMS), ("x.rttm", RTTM)):
        (folder / name).write_text(text)
    return folder


def write(path, queries, documents, scores):
    write_stdlist(
        path, ((query, zip(documents, row, strict=True)) for query, row in zip(queries, scores, strict=True))
    )
    return path


def score(*arguments):
    parser = Parser()
    twv.add_options(parser)
    twv.run(parser.parse_args([str(argument) for argument in arguments]))


def test_a_stdlist_is_written_as_the_original_wrote_it_and_read_again(tmp_path):
    path = tmp_path / "benchmark.stdlist.xml"
    scores = [("d1", 2.0001), ('d"&2', -0.12349), ("d3", float("nan")), ("d4", float("-inf"))]
    write_stdlist(path, [("q1", scores), ("q2", [])])
    assert path.read_text() == GOLDEN
    queries, documents, scores, decisions = read_stdlist(path)
    assert (queries, documents) == (["q1", "q2"], ["d1", 'd"&2'])
    np.testing.assert_array_equal(scores, [[2.0001, -0.1235], [np.nan, np.nan]])
    np.testing.assert_array_equal(decisions, [[True, False], [False, False]])


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = write(tmp_path / "x.stdlist.xml", ["q"], ["d"], [[1.0]])
    before = path.read_bytes()

    def results():
        yield "q", [("d", 2.0)]
        raise RuntimeError("the search was stopped")

    with pytest.raises(RuntimeError):
        write_stdlist(path, results())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_of_several_detections_in_a_document_the_highest_counts(tmp_path):
    path = tmp_path / "x.stdlist.xml"
    terms = "".join(
        f'<term file="{name}" score="{score}" decision="{decision}"/>'
        for name, score, decision in (("d.wav", 3, "YES"), ("a/d", 1, "NO"), ("e", 0, "no"), ("d", 2, "NO"))
    )
    path.write_text(f'<stdlist><detected_termlist termid="q.wav">{terms}</detected_termlist></stdlist>')
    queries, documents, scores, decisions = read_stdlist(path)
    assert (queries, documents) == (["q"], ["d", "e"])
    assert (scores.tolist(), decisions.tolist()) == ([[3, 0]], [[True, False]])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('score="2.0001"', "", "line 4: <term> needs the attributes file, score"),
        ("2.0001", "nan", "a finite number"),
        ('"YES"', '"MAYBE"', "YES or NO"),
        ('termid="q1"', "", "line 3: <detected_termlist> needs the attribute 'termid'"),
        ("</stdlist>", "", "not complete XML"),
        ("stdlist", "ecf", "outermost element must be <stdlist>"),
    ],
)
def test_a_damaged_stdlist_is_told_with_its_place(tmp_path, old, new, reason):
    path = tmp_path / "x.xml"
    path.write_text(GOLDEN.replace(old, new))
    with pytest.raises(UserError, match=reason):
        read_stdlist(path)
    with pytest.raises(UserError, match="There is no file"):
        read_stdlist(tmp_path / "gone.xml")


def test_ground_truth_knows_names_with_and_without_folder_and_suffix_ids_and_texts(truth):
    found = read_ground_truth(truth)
    assert (found.queries, found.documents) == (["q1", "q2"], ["d1", "d2"])
    assert found.occurrences == {("q1", "d1"), ("q2", "d2")}
    np.testing.assert_array_equal(found.targets, np.eye(2, dtype=bool))


def test_a_kwlist_is_a_list_of_queries_too_and_other_xml_is_skipped(truth):
    text = TERMS.replace("termlist", "kwlist").replace("termtext", "kwtext").replace("termid", "kwid")
    (truth / "x.tlist.xml").write_text(text.replace("term ", "kw ").replace("/term>", "/kw>"))
    write(truth / "x.stdlist.xml", ["other"], ["d"], [[0]])
    assert read_ground_truth(truth).queries == ["q1", "q2"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.rttm", "LEXEME d7 1 0.5 1 q1", "1 of 1 .* not listed .* line 1, the document 'd7'.* together"),
        ("x.rttm", "LEXEME d1 1 0.5", "line 1: LEXEME <document>"),
        ("x.rttm", None, r"no file that lists occurrences \(\*.rttm\)"),
        ("x.ecf.xml", None, "no file that lists documents"),
        ("x.tlist.xml", "<termlist/>", "no file that lists queries"),
        ("x.ecf.xml", BOMB, "line 1: entities are not allowed"),
    ],
)
def test_a_faulty_ground_truth_is_told_with_its_place(truth, name, text, reason):
    (truth / name).unlink() if text is None else (truth / name).write_text(text)
    with pytest.raises(UserError, match=reason):
        read_ground_truth(truth)


@pytest.mark.parametrize(
    ("changed", "note", "left"),
    [
        (("second", "q3"), "line 5, the query 'q3'. Did you mean 'q2'", {("q1", "d1")}),
        (("d2 1 0.100", "d7 1 0.100"), "line 5, the document 'd7'", {("q1", "d1")}),
    ],
)
def test_occurrences_that_are_not_listed_are_told_and_do_not_count(truth, changed, note, left, capsys):
    (truth / "x.rttm").write_text(RTTM.replace(*changed))
    found = read_ground_truth(truth)
    assert found.occurrences == left
    assert len(found.notes) == 1 and "1 of 3 occurrences" in found.notes[0] and note in found.notes[0]
    write(truth / "x.stdlist.xml", ["q1", "q2"], ["d1", "d2"], [[3, 0], [0, 3]])
    score(truth, truth)
    assert note in capsys.readouterr().err


def test_what_was_not_searched_has_the_score_minus_10_and_the_searched_part_is_scored_too():
    queries, documents = ["q1", "q2", "q3"], [f"d{number}" for number in range(100)]
    truth = GroundTruth(queries, documents, frozenset({("q1", "d0"), ("q2", "d1")}))
    scores = np.zeros((2, 100))
    scores[0, 0] = 3
    found = score_search(Search(["q1", "q3"], documents, scores, scores > 2), truth)
    assert found.official.mtwv == found.official.atwv == pytest.approx(0.5), "q2 is missed"
    assert found.searched.mtwv == pytest.approx(1)
    assert (found.official.queries, found.official.without_target, found.official.occurrences) == (3, 1, 2)
    assert (found.searched.queries, found.searched.without_target, found.searched.occurrences) == (2, 1, 1)
    assert 0 < found.official.min_cnxe < found.official.act_cnxe
    assert score_search(Search(["q3"], documents, scores[1:], scores[1:] > 2), truth).searched is None


def test_queries_of_the_output_that_the_ground_truth_does_not_list_are_left_out_and_counted(
    truth, tmp_path, capsys
):
    one = write(tmp_path / "one.stdlist.xml", ["q1"], ["d1", "d2"], [[3.0, -1.0]])
    more = write(tmp_path / "more.stdlist.xml", ["q9", "q1"], ["d2", "d9", "d1"], [[9, 9, 9], [-1, 9, 3]])
    found = [score_search(read_stdlist(path), read_ground_truth(truth)) for path in (one, more)]
    assert found[0][:2] == found[1][:2]
    assert (found[0].left_out, found[1].left_out) == ((0, 0), (1, 1))
    score(more, truth)
    assert "does not list them: queries: 1, documents: 1." in capsys.readouterr().err


def test_the_order_of_the_output_does_not_matter():
    rng = np.random.default_rng(0)
    queries, documents = [f"q{n}" for n in range(4)], [f"d{n}" for n in range(30)]
    truth = GroundTruth(queries, documents, frozenset((f"q{n}", f"d{n}") for n in range(4)))
    scores = rng.normal(size=(4, 30)) + 2 * truth.targets
    rows, columns = rng.permutation(4), rng.permutation(30)
    mixed = scores[np.ix_(rows, columns)]
    search = Search(
        [queries[row] for row in rows], [documents[column] for column in columns], mixed, mixed > 2
    )
    assert score_search(search, truth).official == pytest.approx(
        score_search(Search(queries, documents, scores, scores > 2), truth).official
    )


def test_the_command_prints_the_official_scores(truth, tmp_path, capsys):
    write(tmp_path / "benchmark.stdlist.xml", ["q1"], ["d1", "d2"], [[3.0, -1.0]])
    score(tmp_path, truth)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["official", "searched"]
    values = {line[:16].strip(): line[16:].split() for line in lines[1:]}
    assert values["MTWV"] == ["0.5000", "1.0000"] and values["from the score"] == ["3.0000", "3.0000"]
    assert values["ATWV"] == ["0.5000", "1.0000"]
    assert values["queries"] == ["2", "1"] and values["occurrences"] == ["2", "1"]
    score(tmp_path, truth, "--missing", "-0.5", "--c_miss", "1e6")
    official = capsys.readouterr().out.splitlines()[1].split()[1]
    assert official == "0.9994", "from -0.5 both targets and 1 of 2 others: 1 - 0.001249 / 2"


def test_the_command_takes_a_list_of_pairs_too(tmp_path, capsys):
    stdlist = write(tmp_path / "x.stdlist.xml", ["q1", "q2"], ["d1", "d2"], [[3.0, -1.0], [0.0, 1.0]])
    (tmp_path / "pairs.csv").write_text("query,document\nq1.wav,wavs/d1.wav\n")
    (tmp_path / "pairs.tsv").write_text("document\tquery\nd1\tq1\n")
    assert read_pairs(tmp_path / "pairs.csv") == read_pairs(tmp_path / "pairs.tsv")
    score(stdlist, tmp_path / "pairs.csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["official"] and lines[1].split() == ["MTWV", "1.0000"]
    assert [line.split()[-1] for line in lines[6:]] == ["2", "1", "2", "1"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{tmp}", "{truth}"], "must have one *.stdlist.xml (there: none)"),
        (["{tmp}/all", "{truth}"], "(there: layer-0/x.stdlist.xml, layer-1/x.stdlist.xml). Name"),
        (["{tmp}/x.xml", "{tmp}/gone"], "There is no folder"),
        (["{tmp}/x.xml", "{truth}"], "lists none of the 1 queries of the search, such as q9. Give"),
        (["{tmp}/x.xml", "{tmp}/bad.csv"], "columns query and document"),
        (["{tmp}/x.xml", "{tmp}/empty.csv"], "no occurrence of any query"),
        (["{tmp}/x.xml", "{truth}", "--p_target", "0"], "--p_target 0 between 0 and 1"),
        (["{tmp}/x.xml", "{truth}", "--missing", "nan"], "--missing must be a finite number"),
    ],
)
def test_mistakes_of_the_command_line_are_told(truth, tmp_path, arguments, reason):
    write(tmp_path / "x.xml", ["q9"], ["d1"], [[0.0]])
    for layer in range(2):
        (tmp_path / f"all/layer-{layer}").mkdir(parents=True)
        (tmp_path / f"all/layer-{layer}/x.stdlist.xml").touch()
    (tmp_path / "bad.csv").write_text("query\nq1\n")
    (tmp_path / "empty.csv").write_text("query,document\n")
    with pytest.raises(UserError, match=re.escape(reason)):
        score(*(one.format(tmp=tmp_path, truth=truth) for one in arguments))
