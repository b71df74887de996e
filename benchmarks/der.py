"""Speed of our diarization error rate against pyannote.metrics, interleaved in one process.

    pip install -r requirements-dev.txt
    python benchmarks/der.py

An hour of conversations, by default 10 recordings of 6 minutes with 2 to 4 speakers each, and the output of a
system that misses turns, hears some that are not there, confuses speakers and has every boundary a little
wrong. Both sides are given the same turns in memory, pyannote as Annotations that are made beforehand, and
the same scored regions; `from files` reads both RTTM files, too. Before any time is taken, every part of the
error of every recording has to be the same. Each round runs both, so that a busy machine disturbs both alike;
the table has the median and the fastest round of each in milliseconds, and the ratio pyannote / ours of both.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pyannote.core import Annotation, Segment, Timeline  # noqa: E402
from pyannote.database.util import load_rttm  # noqa: E402
from pyannote.metrics.diarization import DiarizationErrorRate  # noqa: E402

from s3prl.downstream.common.metrics.der import DiarizationError, score_recordings  # noqa: E402
from s3prl.utility.rttm import Turn, read_rttm, write_rttm  # noqa: E402

TURN, PAUSE = 2.5, 0.3  # seconds on average
OVERLAPPING = 0.2  # of the turns begin before the one before them has ended
MISSED, CONFUSED, INVENTED = 0.05, 0.08, 0.05  # of the turns
JITTER = 0.15  # seconds, standard deviation of a boundary
SAME = 1e-6  # seconds, largest difference

Turns = dict[str, list[Turn]]
Parts = dict[str, tuple[float, float, float, float]]


class Contest(NamedTuple):
    """What both sides compute: the parts of the error of every recording."""

    name: str
    peer: Callable[[], Parts]
    ours: Callable[[], Parts]


def main() -> None:
    """Compare, measure and print the table."""
    arguments = parse_arguments()
    rng = random.Random(0)
    names = [f"meeting{number}" for number in range(arguments.recordings)]
    reference = {name: conversation(rng, name, arguments.minutes * 60) for name in names}
    hypothesis = {name: heard(rng, reference[name]) for name in names}
    turns = sum(map(len, reference.values()))
    hours = arguments.recordings * arguments.minutes / 60
    print(f"{arguments.recordings} recordings, {hours:.2g} h, {turns} turns in the reference")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "ref.rttm"), Path(folder, "hyp.rttm")
        for path, spoken in zip(paths, (reference, hypothesis), strict=True):
            write_rttm(path, (turn for found in spoken.values() for turn in found))
        reference, hypothesis = map(read_rttm, paths)  # in milliseconds
        scored = {name: [(0.0, arguments.minutes * 60.0)] for name in reference}
        contests = build_contests(paths, reference, hypothesis, scored)
        for contest in contests:
            check_equal(contest)
        print_table(contests, measure(contests, arguments.rounds))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--minutes", type=float, default=6, help="length of a recording (default 6)")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds (default 15)")
    return parser.parse_args()


def conversation(rng: random.Random, name: str, seconds: float) -> list[Turn]:
    """Turns of 2 to 4 speakers, merged where one overlaps himself, as the two scorers differ there."""
    speakers = [f"{name}_{letter}" for letter in "abcd"[: rng.randint(2, 4)]]
    turns, now, free = [], 0.0, dict.fromkeys(speakers, 0.0)
    while now < seconds - 1:
        speaker = rng.choice(speakers)
        start = max(now, free[speaker] + 0.01)
        end = min(start + 0.3 + rng.expovariate(1 / TURN), seconds)
        if end > start:
            turns.append(Turn(name, start, end - start, speaker))
            free[speaker] = end
        now = end - rng.uniform(0, 1) if rng.random() < OVERLAPPING else end + rng.expovariate(1 / PAUSE)
        now = max(now, start + 0.05)
    return turns


def heard(rng: random.Random, turns: list[Turn]) -> list[Turn]:
    """What a system of ordinary quality makes of them."""
    speakers = sorted({turn.speaker for turn in turns})
    found = []
    for turn in turns:
        chance = rng.random()
        if chance < MISSED:
            continue
        speaker = rng.choice(speakers) if chance < MISSED + CONFUSED else turn.speaker
        start = max(0.0, turn.start + rng.gauss(0, JITTER))
        end = max(start + 0.05, turn.end + rng.gauss(0, JITTER))
        found.append(Turn(turn.recording, start, end - start, speaker))
        if rng.random() < INVENTED:
            found.append(Turn(turn.recording, turn.end + 0.5, 0.5, rng.choice(speakers)))
    return found


def build_contests(
    paths: tuple[Path, Path],
    reference: Turns,
    hypothesis: Turns,
    scored: dict[str, list[tuple[float, float]]],
) -> list[Contest]:
    """The options that people use, on turns in memory and from files."""
    uems = {name: Timeline([Segment(*region) for region in regions]) for name, regions in scored.items()}
    annotated = annotations(reference), annotations(hypothesis)

    def ours(collar: float, skip_overlap: bool) -> Parts:
        return parts(score_recordings(reference, hypothesis, collar, skip_overlap, scored))

    def peer(collar: float, skip_overlap: bool) -> Parts:
        return by_pyannote(*annotated, uems, collar, skip_overlap)

    def ours_from_files() -> Parts:
        return parts(score_recordings(*map(read_rttm, paths), scored=scored))

    def peer_from_files() -> Parts:
        return by_pyannote(load_rttm(paths[0]), supported(load_rttm(paths[1])), uems, 0.0, False)

    contests = [
        Contest(name, lambda given=given: peer(*given), lambda given=given: ours(*given))
        for name, given in (
            ("all is scored", (0.0, False)),
            ("collar of 0.25 s", (0.25, False)),
            ("collar, overlap skipped", (0.25, True)),
        )
    ]
    return [*contests, Contest("all, from files", peer_from_files, ours_from_files)]


def annotations(turns: Turns) -> dict[str, Annotation]:
    """For pyannote."""
    made = {}
    for name, found in turns.items():
        made[name] = Annotation(uri=name)
        for number, turn in enumerate(found):
            made[name][Segment(turn.start, turn.end), number] = turn.speaker
    return supported(made)


def supported(made: dict[str, Annotation]) -> dict[str, Annotation]:
    """Merged where a speaker overlaps himself."""
    return {name: annotation.support() for name, annotation in made.items()}


def by_pyannote(
    reference: dict[str, Annotation],
    hypothesis: dict[str, Annotation],
    uems: dict[str, Timeline],
    collar: float,
    skip_overlap: bool,
) -> Parts:
    """Its collar is the sum of both sides."""
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=skip_overlap)
    found = {}
    for name, annotation in reference.items():
        error = metric(annotation, hypothesis[name], uem=uems[name], detailed=True)
        found[name] = tuple(error[key] for key in ("total", "missed detection", "false alarm", "confusion"))
    return found


def parts(errors: dict[str, DiarizationError]) -> Parts:
    """In the order of pyannote's."""
    return {
        name: (error.scored, error.missed, error.false_alarm, error.confusion)
        for name, error in errors.items()
    }


def check_equal(contest: Contest) -> None:
    """Refuse to compare the speed of different things."""
    theirs, ours = contest.peer(), contest.ours()
    difference = max(
        abs(one - other) for name in theirs for one, other in zip(theirs[name], ours[name], strict=True)
    )
    if theirs.keys() != ours.keys() or difference > SAME:
        sys.exit(f"{contest.name}: the errors differ by up to {difference} s")
    speech, *wrong = (sum(column) for column in zip(*ours.values(), strict=True))
    print(f"{contest.name}: equal to {difference:.0e} s, DER {100 * sum(wrong) / speech:.2f} %")


def measure(contests: list[Contest], rounds: int) -> list[list[tuple[float, float]]]:
    """Seconds of (peer, ours) in every round, for each contest."""
    times: list[list[tuple[float, float]]] = [[] for _ in contests]
    for _ in range(rounds):
        for contest, found in zip(contests, times, strict=True):
            found.append((seconds_of(contest.peer), seconds_of(contest.ours)))
    return times


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_table(contests: list[Contest], times: list[list[tuple[float, float]]]) -> None:
    """The median and the fastest round."""
    print(f"\n{'[ms]':<24}{'pyannote':>10}{'ours':>10}{'ratio':>8}   fastest{'':>6}ours{'ratio':>8}")
    for contest, found in zip(contests, times, strict=True):
        row = f"{contest.name:<24}"
        for choose, width in ((statistics.median, 10), (min, 10)):
            peer, ours = (1000 * choose(column) for column in zip(*found, strict=True))
            row += f"{peer:>{width}.1f}{ours:>{width}.2f}{peer / ours:>8.1f}"
        print(row)


if __name__ == "__main__":
    main()
