"""Progress: a bar on a terminal, a line a minute elsewhere. Time is a clock that the tests set themselves."""

import sys

import pytest

from s3prl.utility import lengths, progress
from s3prl.utility.progress import Progress, duration, followed


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "clock", clock)
    return clock


def pass_over(bar, clock, steps, seconds, log_step=None):
    for step in range(1, steps + 1):
        clock.now += seconds
        if log_step is not None and step % log_step == 0:
            bar.log(loss="1")
        bar.update()


def test_a_long_pass_says_how_far_it_is_once_a_minute(clock, capsys):
    pass_over(Progress(600, "dev", "batches"), clock, steps=150, seconds=1)
    assert capsys.readouterr().err.splitlines() == [
        "dev: 60/600 batches | 1 batches/s | about 9 min left",
        "dev: 120/600 batches | 1 batches/s | about 8 min left",
    ]


def test_a_short_pass_says_nothing(clock, capsys):
    assert list(followed(range(50), 50, "dev", "batches")) == list(range(50))
    assert capsys.readouterr() == ("", "")


def lines_of(capsys):
    return [int(line.split()[1].split("/")[0]) for line in capsys.readouterr().err.splitlines()]


def test_the_first_log_is_told_at_once_and_later_ones_not_within_a_minute(clock, capsys):
    pass_over(Progress(100, "train", "updates"), clock, steps=30, seconds=10, log_step=2)
    assert lines_of(capsys) == [2, 8, 14, 20, 26]


def test_without_a_log_for_a_minute_there_is_a_line_all_the_same(clock, capsys):
    pass_over(Progress(100, "train", "updates"), clock, steps=24, seconds=10, log_step=100)
    assert lines_of(capsys) == [6, 12, 18, 24]


def test_steps_slower_than_a_minute_are_all_told(clock, capsys):
    pass_over(Progress(100, "train", "updates"), clock, steps=3, seconds=300)
    assert capsys.readouterr().err.splitlines()[0].endswith("0.00333 updates/s | about 8 h 15 min left")


def test_a_pause_slows_the_arrival_but_not_the_speed(clock, capsys):
    bar = Progress(100, "train", "updates")
    pass_over(bar, clock, steps=5, seconds=10)
    with bar.paused():
        clock.now += 1000
    pass_over(bar, clock, steps=5, seconds=10)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "train: 6/100 updates | 0.1 updates/s | about 4 h 37 min left"
    )


def test_a_resumed_pass_counts_from_where_it_was(clock, capsys):
    pass_over(Progress(100, "train", "updates", done=90), clock, steps=6, seconds=10)
    assert capsys.readouterr().err == "train: 96/100 updates | 0.1 updates/s | about 40 s left\n"


def test_large_numbers_and_unknown_totals_are_readable(clock, capsys):
    bar = Progress(None, "model.pt", "B", scaled=True, on_stdout=True)
    clock.now += 60
    bar.update(720_000_000)
    assert capsys.readouterr().out == "model.pt: 720MB | 12.0MB/s\n"


def test_a_terminal_gets_a_bar_and_no_lines(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = Progress(100, "train", "updates")
    pass_over(bar, clock, steps=30, seconds=60, log_step=2)
    bar.close()
    err = capsys.readouterr().err
    assert "loss=1" in err and "30/100" in err and "left" not in err


def test_processes_other_than_the_first_are_silent(clock, capsys):
    pass_over(Progress(100, "train", "updates", shown=False), clock, steps=30, seconds=60, log_step=1)
    assert capsys.readouterr() == ("", "")


def test_measuring_a_large_corpus_is_not_silent(clock, capsys, monkeypatch, tmp_path):
    def slow(path):
        clock.now += 45
        return 16000

    monkeypatch.setattr(lengths, "num_samples", slow)
    lengths.measure(tmp_path, ["a.flac", "b.flac", "c.flac", "d.flac"], n_jobs=1, title="train-clean-100")
    assert "train-clean-100: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(44.6, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (7200, "2 h"), (187_200, "2 d 4 h")],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text
