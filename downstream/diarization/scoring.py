"""The DER of predictions at several thresholds and median filters, and what they have to beat."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.errors import UserError
from s3prl.utility.rttm import Turn

from ..common.corpora import kaldi
from ..common.metrics.der import DiarizationError, score_recordings, turns_of
from .decisions import check_decision, decide
from .predictions import Prediction

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)  # those of the public S3PRL, as the filters
MEDIANS = (1, 11)
NAMED = 3  # recordings in a message

Turns = Mapping[str, Sequence[Turn]]  # by recording


class Decision(NamedTuple):
    """How probabilities become decisions; `median` counts frames."""

    threshold: float
    median: int

    def __str__(self) -> str:
        return f"threshold {self.threshold:g}, median {self.median}"


class Rules(NamedTuple):
    """What is scored; see `diarization_error`."""

    collar: float = 0.0
    skip_overlap: bool = False

    def __str__(self) -> str:
        return f"collar {self.collar:g} s, overlap {'not ' if self.skip_overlap else ''}scored"


def decisions(thresholds: Iterable[float] = THRESHOLDS, medians: Iterable[int] = MEDIANS) -> list[Decision]:
    """All combinations.

    Raises:
        UserError: see `check_decision`.
    """
    found = [Decision(*pair) for pair in product(thresholds, medians)]
    for decision in found:
        check_decision(*decision)
    return found


def references(folder: Path, predicted: Iterable[str]) -> dict[str, list[Turn]]:
    """Who speaks in the recordings of a data folder and in the predicted ones; in some it may be nobody.

    Raises:
        UserError: the data folder has no RTTM and no segments, or lacks a recording that was predicted.
    """
    found = dict(kaldi.reference(folder))
    known = set(found)
    if (folder / "wav.scp").is_file() or (folder / "wav").is_dir():
        known |= kaldi.audio_files(folder).keys()
    predicted = list(predicted)
    if extra := [name for name in predicted if name not in known]:
        raise UserError(
            f"{folder} does not have {len(extra)} of the {len(predicted)} recordings that were predicted: "
            f"{', '.join(extra[:NAMED])}{', ...' * (len(extra) > NAMED)}. Name the data folder that the "
            "predictions are of."
        )
    return {**{name: [] for name in predicted}, **found}


def hypotheses(predicted: Mapping[str, Prediction], decision: Decision) -> dict[str, list[Turn]]:
    """The turns of each recording.

    Raises:
        UserError: a file does not say how far apart its frames are.
    """
    return {
        name: turns_of(decide(one.values, *decision), seconds_of(name, one), name)
        for name, one in predicted.items()
    }


def seconds_of(name: str, prediction: Prediction) -> float:
    """Between two frames; raises a UserError where that is not known."""
    if prediction.source is None:
        raise UserError(
            f"The predictions of {name} do not say how many samples there are between two frames. Give "
            "--frame_shift: 160 or 320, say."
        )
    return prediction.source.seconds


def errors_of(reference: Turns, hypothesis: Turns, rules: Rules = Rules()) -> dict[str, DiarizationError]:  # noqa: B008
    """The errors of each recording of the reference; one that was not predicted is missed as a whole."""
    return score_recordings(reference, hypothesis, rules.collar, rules.skip_overlap, quiet=True)


def baselines(predicted: Mapping[str, Prediction]) -> dict[str, dict[str, list[Turn]]]:
    """The turns of systems that hear nothing: one speaker or all of them, from beginning to end."""
    found: dict[str, dict[str, list[Turn]]] = {"one speaker always": {}, "all speakers always": {}}
    for name, one in predicted.items():
        frames, speakers = one.values.shape
        end = frames * seconds_of(name, one)
        turns = [Turn(name, 0.0, end, f"{name}_{speaker}") for speaker in range(speakers)]
        found["one speaker always"][name], found["all speakers always"][name] = turns[:1], turns
    return found
