"""Diarization error rate (DER): how much speech is missed, invented, or given to the wrong speaker.

    reference = [(0.0, 10.0, "alice"), (10.0, 20.0, "bob")]
    hypothesis = [(0.0, 12.0, "1"), (12.0, 20.0, "2")]
    diarization_error(reference, hypothesis).rate     # 0.1: for 2 of 20 seconds it is the wrong speaker

As NIST defines it (RT-09 plan) and md-eval.pl, dscore and pyannote.metrics compute it. At every moment in
which n speakers talk and the system says m, max(n - m, 0) are missed and max(m - n, 0) are false alarms; of
the min(n, m) others, those whom the best one-to-one mapping of speakers does not make the same are confused.
A moment with two speakers counts twice.

Scorers disagree where a speaker overlaps himself. Here such turns are merged before anything else, as dscore
does it.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn

from .assignment import best_assignment

Speech = Sequence[Turn | tuple[float, float, str]]  # turns, or (start, end, speaker) in seconds
Regions = Sequence[tuple[float, float]]  # (start, end) in seconds
TOUCHING = 1e-6  # seconds: the end of a turn is a sum, which is not exact
NAMED = 5  # recordings that are told one by one


@dataclass(frozen=True)
class DiarizationError:
    """Times in seconds, in which every speaker counts; those of several recordings can be added.

    Attributes:
        scored: what the speakers of the reference say.
        missed: of it, what the system does not hear.
        false_alarm: what the system hears and nobody says.
        confusion: what the system hears, but gives to another speaker.
    """

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    @property
    def rate(self) -> float:
        """The DER, a fraction that can exceed 1.

        Where nothing is said in the reference it is 0 without false alarms and 1 with them, as
        pyannote.metrics has it.
        """
        wrong = self.missed + self.false_alarm + self.confusion
        return wrong / self.scored if self.scored > 0 else float(wrong > 0)

    def __add__(self, other: "DiarizationError") -> "DiarizationError":
        return DiarizationError(
            self.scored + other.scored,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
        )


def diarization_error(
    reference: Speech,
    hypothesis: Speech,
    collar: float = 0.0,
    skip_overlap: bool = False,
    scored: Regions | None = None,
) -> DiarizationError:
    """The errors in one recording.

    Args:
        reference, hypothesis: who speaks when; turns or (start, end, speaker), in any order.
        collar: seconds before and after each start and end of the reference that are not scored. md-eval and
            dscore give it like this; pyannote.metrics takes the sum of both sides, 0.5 for our 0.25.
        skip_overlap: do not score where several speakers of the reference talk.
        scored: regions to score, as a UEM file has them; None scores from the first start to the last end of
            reference and hypothesis together.

    The speakers are mapped by what they have in common in the time that is scored.

    Raises:
        ValueError: the collar is negative, a turn or region ends before it starts, or a time is no number.
    """
    if not 0 <= collar < math.inf:
        raise ValueError(f"a collar of {collar} s: it must be at least 0")
    said, heard = _spans(reference), _spans(hypothesis)
    if scored is None:
        scored = _extent(said, heard)
    regions = _spans([(start, end, "") for start, end in scored])
    edges = np.concatenate([said.starts, said.ends])
    times = np.unique(
        np.concatenate(
            [edges, heard.starts, heard.ends, regions.starts, regions.ends, edges - collar, edges + collar]
        )
    )
    speaking = _active(said, times)
    inside = _active(regions, times).any(axis=0)
    if collar:
        inside &= ~_active(_Spans(edges - collar, edges + collar, np.zeros(len(edges), int), 1), times)[0]
    if skip_overlap:
        inside &= speaking.sum(axis=0) < 2
    seconds = np.diff(times)[inside]
    speaking, speaks = speaking[:, inside], _active(heard, times)[:, inside]
    speakers, found = speaking.sum(axis=0), speaks.sum(axis=0)
    common = (speaking * seconds) @ speaks.T  # [speakers of the reference, of the hypothesis]
    correct = sum(common[pair] for pair in best_assignment(common))
    return DiarizationError(
        scored=float(speakers @ seconds),
        missed=float(np.maximum(speakers - found, 0) @ seconds),
        false_alarm=float(np.maximum(found - speakers, 0) @ seconds),
        confusion=max(0.0, float(np.minimum(speakers, found) @ seconds - correct)),
    )


def score_recordings(
    reference: Mapping[str, Speech],
    hypothesis: Mapping[str, Speech],
    collar: float = 0.0,
    skip_overlap: bool = False,
    scored: Mapping[str, Regions] | None = None,
    ignore_extra: bool = False,
    quiet: bool = False,
) -> dict[str, DiarizationError]:
    """The errors of each recording; `overall` adds them up.

    A recording that the hypothesis lacks is missed as a whole. With `scored`, exactly its recordings are
    scored, and one that the reference lacks has no speech.

    Args:
        reference, hypothesis: by recording; see `diarization_error`, also for the options.
        scored: the regions of each recording.
        ignore_extra: pass over recordings that the reference lacks.
        quiet: do not tell on stderr what is missing or passed over.

    Raises:
        UserError: a recording of the hypothesis is not in the reference.
        ValueError: as `diarization_error`.
    """
    extra = [name for name in hypothesis if name not in (reference if scored is None else scored)]
    if extra and scored is None and not ignore_extra:
        raise UserError(
            f"The hypothesis has {_named(extra)}, which the reference lacks. Are they of the same data? "
            "--ignore_extra (ignore_extra=True) scores the others."
        )
    names = list(reference if scored is None else scored)
    if not quiet:
        lost = [name for name in names if name not in hypothesis and reference.get(name)]
        _tell("missing from the hypothesis, all of it counts as missed", lost)
        _tell("in the hypothesis, and not scored", extra)
        _tell("in the reference, and not scored", [name for name in reference if name not in names])
    return {
        name: diarization_error(
            reference.get(name, ()), hypothesis.get(name, ()), collar, skip_overlap,
            None if scored is None else scored[name],
        )
        for name in names
    }  # fmt: skip


def overall(errors: Mapping[str, DiarizationError]) -> DiarizationError:
    """The errors of all recordings together: a long recording weighs more than a short one."""
    return sum(errors.values(), DiarizationError())


def turns_of(activity: np.ndarray, shift: float, recording: str) -> list[Turn]:
    """The turns of a system that decides frame by frame; speaker i is `<recording>_<i>`.

    Args:
        activity: bool [frames, speakers].
        shift: seconds from one frame to the next.
    """
    activity = np.asarray(activity, dtype=bool)
    padded = np.zeros((activity.shape[1], len(activity) + 2), dtype=np.int8)
    padded[:, 1:-1] = activity.T
    speakers, frames = np.diff(padded, axis=1).nonzero()  # beginnings and ends take turns
    return [
        Turn(recording, start * shift, (end - start) * shift, f"{recording}_{speaker}")
        for speaker, start, end in zip(
            speakers[::2].tolist(), frames[::2].tolist(), frames[1::2].tolist(), strict=True
        )
    ]


class _Spans(NamedTuple):
    """Stretches of time, in which each speaker is at most once."""

    starts: np.ndarray  # float64 [spans], seconds
    ends: np.ndarray
    speakers: np.ndarray  # int [spans], numbers from 0
    count: int  # of speakers


def _spans(speech: Speech) -> _Spans:
    """Turns in which nobody overlaps himself. Turns that only touch stay two: a collar lies around each."""
    of_speaker: dict[str, list[tuple[float, float]]] = {}
    for turn in speech:
        start, end, speaker = (turn.start, turn.end, turn.speaker) if isinstance(turn, Turn) else turn
        if not -math.inf < start <= end < math.inf:
            raise ValueError(f"{speaker or 'a region'} is from {start} to {end} s")
        if start < end:
            of_speaker.setdefault(speaker, []).append((start, end))
    starts, ends, speakers = [], [], []
    for number, spans in enumerate(of_speaker.values()):
        last = -math.inf
        for start, end in sorted(spans):
            if start < last - TOUCHING:
                ends[-1] = last = max(last, end)
            else:
                starts.append(start)
                ends.append(end)
                speakers.append(number)
                last = end
    return _Spans(np.array(starts), np.array(ends), np.array(speakers, dtype=int), len(of_speaker))


def _active(spans: _Spans, times: np.ndarray) -> np.ndarray:
    """Whether each speaker is active between a time and the next: bool [speakers, times - 1].

    Args:
        times: sorted, with all starts and ends of the spans among them.
    """
    size = spans.count * len(times)
    begins = np.bincount(spans.speakers * len(times) + np.searchsorted(times, spans.starts), minlength=size)
    ends = np.bincount(spans.speakers * len(times) + np.searchsorted(times, spans.ends), minlength=size)
    return (begins - ends).reshape(spans.count, len(times)).cumsum(axis=1)[:, :-1] > 0


def _extent(*speech: _Spans) -> Regions:
    spoken = [one for one in speech if one.count]
    if not spoken:
        return []
    return [(min(float(one.starts.min()) for one in spoken), max(float(one.ends.max()) for one in spoken))]


def _tell(what: str, names: Sequence[str]) -> None:
    if names:
        print(f"note: {what}: {_named(names)}.", file=sys.stderr)


def _named(names: Sequence[str]) -> str:
    """`2 recordings (a, b)`."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} recording{'s' * (len(names) > 1)} ({', '.join(names[:NAMED])}{more})"
