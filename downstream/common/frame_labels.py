"""Labels of frames from a list: segments with `start` and `end`, or a label for every frame of a recording.

    path,label,start,end          path,label
    talk.wav,speech,0.0,1.35      talk.wav,s s s s n n n n n
    talk.wav,noise,1.35,2.4

Frames without a label do not count; in the second form `-` is such a frame.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording

from .frame import IGNORED, LABEL_RATE
from .items import Item
from .lists import Row, read_list, with_lengths

NO_LABEL = "-"
TOLERANCE = 0.1  # of the length of a recording, by which a label for every frame may miss it
NAMED = 5  # recordings in a message


class Run(NamedTuple):
    """Frames in a row with one label, the frame `end` not included."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class LabelledRecording:
    """A recording and the labels of its frames.

    Attributes:
        name: the path as the list has it, without its suffix.
        recording: the whole file.
        runs: in the order of time; between two of them frames may be without a label.
        every_frame: how many labels the list gives, where it gives one for every frame; else None.
        line: of the list, the first about this recording.
    """

    name: str
    recording: Recording
    runs: Sequence[Run]
    every_frame: int | None
    line: int

    @property
    def labels(self) -> set[str]:
        """All that occur."""
        return {run.label for run in self.runs}

    def numbers(self, index: Mapping[str, int], frames: int | None = None) -> np.ndarray:
        """The number of each frame's label, int16 [frames]; -100 where there is none.

        Args:
            index: label -> number.
            frames: how many there are; None ends with the last label.
        """
        numbers = np.full(self.runs[-1].end if frames is None else frames, IGNORED, dtype=np.int16)
        for run in self.runs:
            numbers[run.start : run.end] = index[run.label]
        return numbers


def frame_items(path: Path, split: str, classes: Sequence[str], label_rate: int = LABEL_RATE) -> list[Item]:
    """The recordings of a list as items of a FrameTask with these classes, in the order of the list.

    Args:
        label_rate: samples at 16 kHz between two frames.

    Raises:
        UserError: see `frame_labels`; or a label is none of the classes, or labels do not fit the audio.
    """
    recordings = frame_labels(path, label_rate)
    _check_known(path, recordings, classes)
    items = with_lengths([Item(one.name, one.recording, None) for one in recordings], split)
    check_lengths(path, recordings, {item.name: item.samples for item in items}, label_rate)
    index = {label: number for number, label in enumerate(classes)}
    return [
        replace(item, label=one.numbers(index, item.samples // label_rate or None))
        for item, one in zip(items, recordings, strict=True)
    ]


def labels_of(path: Path, label_rate: int = LABEL_RATE) -> list[str]:
    """All labels of a list, sorted.

    Raises:
        UserError: see `frame_labels`.
    """
    return sorted(set().union(*(one.labels for one in frame_labels(path, label_rate))))


def frame_labels(path: Path, label_rate: int = LABEL_RATE) -> list[LabelledRecording]:
    """The recordings of a list with their labels, in the order of the list.

    A frame has the label of the segment that holds its middle.

    Args:
        label_rate: samples at 16 kHz between two frames.

    Raises:
        UserError: see `read_list`; or a segment lacks an end or has several labels, two of them overlap, or a
            recording has no label at all.
    """
    grouped: dict[Path, list[Row]] = {}
    for row in read_list(path, ["label"]):
        grouped.setdefault(row.path, []).append(row)
    stems = {place: str(Path(group[0].fields["path"]).with_suffix("")) for place, group in grouped.items()}
    twice = {stem for stem, same in groupby(sorted(stems.values())) if len(list(same)) > 1}
    found = []
    for place, group in grouped.items():
        name = group[0].fields["path"] if stems[place] in twice else stems[place]
        every_frame = None
        if group[0].start is None and group[0].end is None:
            every_frame, runs = _runs_of_frames(path, group)
        else:
            runs = _runs_of_segments(path, group, SAMPLE_RATE / label_rate)
        if not runs:
            raise UserError(
                f"{path}, line {group[0].line}: no frame of {name} has a label. Remove the recording."
            )
        found.append(LabelledRecording(name, Recording(place), runs, every_frame, group[0].line))
    return found


def check_lengths(
    path: Path, recordings: Iterable[LabelledRecording], samples: Mapping[str, int], label_rate: int
) -> None:
    """Refuse labels that do not fit the recordings: too many or too few for all frames, or after the end.

    Args:
        path: of the list, for messages.
        samples: length of each recording by its name; 0 where it is not known.

    Raises:
        UserError: says how many recordings there are, and names the first ones.
    """
    wrong, late = [], []
    for one in recordings:
        frames, seconds = samples[one.name] / label_rate, samples[one.name] / SAMPLE_RATE
        if not frames:
            continue
        if one.every_frame is None:
            start = one.runs[-1].start
            if start >= frames:
                begin = start * label_rate / SAMPLE_RATE
                late.append(
                    f"{one.name}: a segment begins at {begin:.2f} s, the audio ends at {seconds:.2f} s"
                )
        elif abs(one.every_frame - frames) > max(5, TOLERANCE * frames):
            wrong.append(f"{one.name} (line {one.line}): {one.every_frame} labels, {seconds:.2f} s of audio")
    if wrong:
        raise UserError(
            f"{path}: {len(wrong)} recording(s) do not have a label every "
            f"{1000 * label_rate / SAMPLE_RATE:g} ms:{_first(wrong)}\n"
            "Set downstream_expert.datarc.label_rate to the samples between two labels, counted at "
            f"{SAMPLE_RATE} Hz, or correct the labels."
        )
    if late:
        raise UserError(
            f"{path}: {len(late)} recording(s) have segments after their end:{_first(late)}\n"
            "Correct the times; they count in seconds from the beginning of the file."
        )


def _check_known(path: Path, recordings: Iterable[LabelledRecording], classes: Sequence[str]) -> None:
    unknown = {label: one.name for one in recordings for label in sorted(one.labels - set(classes))}
    if unknown:
        first = next(iter(unknown))
        raise UserError(
            f"{path} has {len(unknown)} label(s) that are none of the {len(classes)} classes of the training:"
            f"{_first([f'{label!r} ({name})' for label, name in unknown.items()])}\n"
            f"Correct them, or write {NO_LABEL} where frames shall not count.{nearest(first, classes)}"
        )


def _first(problems: Sequence[str]) -> str:
    return "".join(f"\n  {problem}" for problem in problems[:NAMED])


def _runs_of_frames(path: Path, group: list[Row]) -> tuple[int, list[Run]]:
    row, *more = group
    if more:
        raise UserError(
            f"{path}, lines {row.line} and {more[0].line}: {row.fields['path']} has a label for every frame "
            "and, in another row, a segment. Use one of the two forms."
        )
    labels = row.fields["label"]
    labels = [str(label) for label in labels] if isinstance(labels, list) else str(labels).split()
    runs, start = [], 0
    for label, same in groupby(labels):
        end = start + sum(1 for _ in same)
        if label != NO_LABEL:
            runs.append(Run(start, end, label))
        start = end
    return len(labels), runs


def _runs_of_segments(path: Path, group: list[Row], frames_per_second: float) -> list[Run]:
    for row in group:
        where = f"{path}, line {row.line}: the segment of {row.fields['path']}"
        if row.end is None:
            raise UserError(f"{where} has no end. Fill the column 'end' with its time in seconds.")
        if len(str(row.fields["label"]).split()) != 1:
            raise UserError(f"{where} needs one label without blanks, not '{row.fields['label']}'.")
    group = sorted(group, key=lambda row: (row.start or 0.0, row.end))
    runs: list[Run] = []
    latest = group[0]  # of which the last run is
    for row in group:
        # The first frame whose middle is not before the time.
        start, end = (max(math.ceil(t * frames_per_second - 0.5), 0) for t in (row.start or 0.0, row.end))
        if runs and start < runs[-1].end:
            raise UserError(
                f"{path}, lines {latest.line} and {row.line}: two segments of {row.fields['path']} "
                f"overlap at {row.start or 0.0:g} s, but a frame has one label. Correct the times."
            )
        if end > start and row.fields["label"] != NO_LABEL:
            runs.append(Run(start, end, str(row.fields["label"])))
            latest = row
    return runs
