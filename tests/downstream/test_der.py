"""The diarization error rate: against pyannote.metrics, and cases worked out by hand."""

import random

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from scipy.optimize import linear_sum_assignment

from s3prl.downstream.common.metrics.assignment import best_assignment
from s3prl.downstream.common.metrics.commands import der
from s3prl.downstream.common.metrics.der import (
    DiarizationError,
    diarization_error,
    overall,
    score_recordings,
    turns_of,
)
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn, write_rttm

ALICE_THEN_BOB = [(0.0, 10.0, "alice"), (10.0, 20.0, "bob")]


def random_speech(rng, prefix):
    """Turns of one to four speakers within a minute; some overlap others, some of the same speaker."""
    speakers = [f"{prefix}{number}" for number in range(rng.randint(1, 4))]
    turns = []
    for _ in range(rng.randint(1, 14)):
        start = rng.randint(0, 60000) / 1000
        turns.append((start, start + rng.randint(20, 9000) / 1000, rng.choice(speakers)))
    return turns


def annotation(turns):
    """For pyannote; turns in which a speaker overlaps himself are merged, as the definition wants it."""
    made = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), number] = speaker
    return made.support()


def by_pyannote(reference, hypothesis, collar, skip_overlap, scored):
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=skip_overlap)
    uem = Timeline([Segment(*region) for region in scored])
    found = metric(annotation(reference), annotation(hypothesis), uem=uem, detailed=True)
    names = ("total", "missed detection", "false alarm", "confusion")
    return [found[name] for name in names], found["diarization error rate"]


def parts(error):
    return [error.scored, error.missed, error.false_alarm, error.confusion]


def test_turns_that_touch_are_two_also_where_their_times_cannot_be_exact():
    first = Turn("talk", 0.1, 0.2, "alice")
    assert first.end > 0.3  # by a rounding error
    reference = [first, Turn("talk", 0.3, 0.7, "alice")]
    found = diarization_error(reference, [], collar=0.05)
    assert parts(found) == pytest.approx([0.7, 0.7, 0, 0])  # 0.15 to 0.25 and 0.35 to 0.95


@pytest.mark.parametrize("skip_overlap", [False, True])
@pytest.mark.parametrize("collar", [0.0, 0.25])
def test_every_part_is_that_of_pyannote_on_random_recordings(collar, skip_overlap):
    rng = random.Random(7)
    whole = 0.0
    for number in range(100):
        reference, hypothesis = random_speech(rng, "r"), random_speech(rng, "h")
        turns = reference + hypothesis
        extent = (min(start for start, _, _ in turns), max(end for _, end, _ in turns))
        scored = [(5.0, 20.0), (30.0, 50.5)] if number % 3 == 0 else [extent]
        expected, rate = by_pyannote(reference, hypothesis, collar, skip_overlap, scored)
        given = None if scored == [extent] else scored  # the extent is the default
        error = diarization_error(reference, hypothesis, collar, skip_overlap, given)
        assert parts(error) == pytest.approx(expected, abs=1e-6)
        assert error.rate == pytest.approx(rate, abs=1e-6)
        whole += error.confusion
    assert whole > 10


def test_two_of_twenty_seconds_given_to_the_wrong_speaker():
    error = diarization_error(ALICE_THEN_BOB, [(0.0, 12.0, "1"), (12.0, 20.0, "2")])
    assert error == DiarizationError(20.0, 0.0, 0.0, 2.0) and error.rate == pytest.approx(0.1)


def test_missed_and_invented_speech():
    error = diarization_error(ALICE_THEN_BOB, [(4.0, 10.0, "1"), (10.0, 23.0, "2")])
    assert parts(error) == pytest.approx([20, 4, 3, 0]) and error.rate == pytest.approx(0.35)


def test_where_two_speak_both_count():
    both = [(0.0, 10.0, "alice"), (5.0, 10.0, "bob")]
    assert parts(diarization_error(both, [(0.0, 10.0, "1")])) == pytest.approx([15, 5, 0, 0])
    assert parts(diarization_error(both, [(0.0, 10.0, "1")], skip_overlap=True)) == pytest.approx(
        [5, 0, 0, 0]
    )


def test_a_collar_lies_on_each_side_of_each_boundary_of_the_reference():
    heard = [(0.2, 9.8, "1"), (9.8, 20.5, "2")]
    assert parts(diarization_error(ALICE_THEN_BOB, heard)) == pytest.approx([20, 0.2, 0.5, 0.2])
    assert parts(diarization_error(ALICE_THEN_BOB, heard, collar=0.25)) == pytest.approx([19, 0, 0.25, 0])


def test_a_speaker_who_overlaps_himself_speaks_once():
    """And the boundaries inside of his speech have no collar."""
    twice = [(0.0, 6.0, "alice"), (2.0, 3.0, "alice"), (5.0, 10.0, "alice")]
    once = [(0.0, 10.0, "alice")]
    for collar in (0.0, 0.25):
        assert diarization_error(twice, once, collar) == diarization_error(once, once, collar)
        assert diarization_error(once, twice, collar) == diarization_error(once, once, collar)
        assert diarization_error(twice, once, collar, skip_overlap=True).rate == 0


def test_nothing_said_or_nothing_heard():
    assert parts(diarization_error(ALICE_THEN_BOB, [])) == pytest.approx([20, 20, 0, 0])
    silent = diarization_error([], ALICE_THEN_BOB)
    assert parts(silent) == pytest.approx([0, 0, 20, 0]) and silent.rate == 1
    assert diarization_error([], []).rate == 0
    assert diarization_error(ALICE_THEN_BOB, [], scored=[(30.0, 40.0)]) == DiarizationError()


def test_only_the_regions_of_a_uem_are_scored():
    heard = [(0.0, 20.0, "1")]
    assert parts(diarization_error(ALICE_THEN_BOB, heard, scored=[(8.0, 9.0), (8.5, 11.0)])) == pytest.approx(
        [3, 0, 0, 1]
    )


@pytest.mark.parametrize(
    "turn", [(2.0, 1.0, "a"), (0.0, float("nan"), "a"), (float("inf"), float("inf"), "a")]
)
def test_impossible_times_are_refused(turn):
    with pytest.raises(ValueError, match="is from"):
        diarization_error([turn], [])
    with pytest.raises(ValueError, match="collar"):
        diarization_error([], [], collar=-0.1)


def test_recordings_add_up_by_time_and_what_is_missing_is_told(capsys):
    reference = {"long": [Turn("long", 0.0, 90.0, "a")], "short": [Turn("short", 0.0, 10.0, "a")]}
    errors = score_recordings(reference, {"long": [Turn("long", 0.0, 90.0, "1")]})
    assert errors["short"].rate == 1 and overall(errors).rate == pytest.approx(0.1)
    assert "missing from the hypothesis, all of it counts as missed: 1 recording (short)" in (
        capsys.readouterr().err
    )


def test_a_recording_that_the_reference_lacks_is_refused_unless_it_is_to_be_ignored():
    reference, hypothesis = {"a": ALICE_THEN_BOB}, {"a": ALICE_THEN_BOB, "b": ALICE_THEN_BOB}
    with pytest.raises(UserError, match=r"1 recording \(b\), which the reference lacks"):
        score_recordings(reference, hypothesis)
    assert list(score_recordings(reference, hypothesis, ignore_extra=True)) == ["a"]


def test_a_uem_says_which_recordings_are_scored(capsys):
    """One that the reference lacks is silent: what is heard in it is a false alarm."""
    found = score_recordings(
        {"a": ALICE_THEN_BOB, "c": ALICE_THEN_BOB},
        {"a": ALICE_THEN_BOB, "b": ALICE_THEN_BOB, "d": []},
        scored={"a": [(0.0, 20.0)], "b": [(0.0, 5.0)]},
    )
    assert found == {"a": DiarizationError(20.0), "b": DiarizationError(false_alarm=5.0)}
    assert "in the reference, and not scored: 1 recording (c)" in capsys.readouterr().err


def test_frames_become_turns():
    activity = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=bool)
    assert turns_of(activity, 0.5, "rec") == [
        Turn("rec", 0.0, 1.0, "rec_0"),
        Turn("rec", 1.5, 1.0, "rec_0"),
        Turn("rec", 1.0, 1.5, "rec_1"),
    ]
    assert turns_of(np.zeros((0, 2), dtype=bool), 0.01, "rec") == []


def test_the_assignment_is_as_good_as_that_of_scipy():
    rng = np.random.default_rng(3)
    for _ in range(300):
        gains = rng.integers(0, 6, rng.integers(1, 9, size=2)) * rng.choice([1.0, -0.3])
        pairs = best_assignment(gains)
        rows, columns = zip(*pairs, strict=True)
        assert len(set(rows)) == len(set(columns)) == len(pairs) == min(gains.shape)
        assert sum(gains[pair] for pair in pairs) == pytest.approx(
            gains[linear_sum_assignment(gains, maximize=True)].sum()
        )
    assert best_assignment(np.zeros((0, 3))) == best_assignment(np.zeros((3, 0))) == []
    with pytest.raises(ValueError, match="finite"):
        best_assignment(np.array([[np.nan]]))


def score(*arguments):
    """What the command `der` of the scorers does."""
    parser = Parser()
    der.add_options(parser)
    der.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def rttms(tmp_path):
    """Two recordings of 20 s: one without an error, one with 2 s of confusion; a UEM of the second."""
    paths = [tmp_path / name for name in ("ref.rttm", "hyp.rttm", "some.uem")]
    for path, border in zip(paths[:2], (10.0, 12.0), strict=True):
        write_rttm(
            path,
            [
                *(Turn("clean", start, 10.0, f"{start}") for start in (0.0, 10.0)),
                *(Turn("noisy", 0.0, border, "a"), Turn("noisy", border, 20.0 - border, "b")),
            ],
        )
    paths[2].write_text("noisy 1 0.000 20.000\n")
    return paths


def test_the_command_prints_the_rate_of_all_recordings_last(rttms, capsys):
    score(*rttms[:2], "--per_recording")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[-1] for line in lines] == ["[%]", "-------", "0.00", "10.00", "5.00"]
    assert lines[2][0] == "clean" and lines[-1][:3] == ["***", "OVERALL", "***"]
    assert lines[-1][3:] == ["40.00", "0.00", "0.00", "5.00", "5.00"]


def test_options_of_the_command_reach_the_scorer(rttms, capsys):
    for options, expected in (
        (["--uem", rttms[2]], "10.00"),
        (["--uem", rttms[2], "--collar", "2.5"], "0.00"),
        (["--collar", 0.25, "--skip_overlap", "--ignore_extra"], f"{100 * 1.75 / 38:.2f}"),
    ):
        score(*rttms[:2], *options)
        assert capsys.readouterr().out.split()[-1] == expected


def test_mistakes_of_the_command_line_are_told(rttms, tmp_path):
    (tmp_path / "empty.rttm").touch()
    for arguments, reason in (
        ((*rttms[:2], "--collar", "-1"), "--collar -1.0: give seconds"),
        ((tmp_path / "empty.rttm", rttms[1]), "has no SPEAKER line"),
        ((rttms[0], tmp_path / "gone.rttm"), r"gone\.rttm cannot be read"),
    ):
        with pytest.raises(UserError, match=reason):
            score(*arguments)
