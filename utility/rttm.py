"""RTTM files, which say who speaks when, and UEM files, which say what of a recording is scored.

    SPEAKER meeting 1  12.340   1.500 <NA> <NA> alice <NA> <NA>

is 1.5 seconds of alice, 12.34 seconds after the beginning of the recording `meeting`. The format is that of
the Rich Transcription evaluations of NIST (RT-09 plan, appendix A); readers want 9 or 10 fields in a line.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically

COMMENT = ";;"
SPEAKER = "SPEAKER"
OTHER_TYPES = {
    *("SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP"),
    *("SU", "CB", "A/P", "SPKR-INFO"),
}
SPEAKER_FIELDS, UEM_FIELDS = 8, 4  # in a line at least
DECIMALS = 3  # of times that are written: milliseconds


class Turn(NamedTuple):
    """What a speaker says in one go: `duration` seconds, `start` seconds after the recording's beginning."""

    recording: str
    start: float
    duration: float
    speaker: str

    @property
    def end(self) -> float:
        """Seconds after the beginning of the recording."""
        return self.start + self.duration


def read_rttm(path: str | Path) -> dict[str, list[Turn]]:
    """The turns of every recording of an RTTM file, as they stand there.

    Lines of other types than SPEAKER and comments are passed over. So are turns without duration, of which a
    note on stderr tells.

    Raises:
        UserError: the file cannot be read or is no RTTM; a line lacks fields, or has a time that is negative
            or no number.
    """
    turns: dict[str, list[Turn]] = {}
    empty = 0
    for where, fields in _lines(Path(path), "RTTM"):
        if fields[0] in OTHER_TYPES:
            continue
        if fields[0] != SPEAKER:
            raise UserError(f"{where}: '{fields[0]}' is no type of RTTM. {_example()}")
        if len(fields) < SPEAKER_FIELDS:
            raise UserError(f"{where} has {len(fields)} fields, the speaker is in the eighth. {_example()}")
        start = _seconds(fields[3], f"{where}: the start")
        duration = _seconds(fields[4], f"{where}: the duration")
        if duration == 0:
            empty += 1
            continue
        turns.setdefault(fields[1], []).append(Turn(fields[1], start, duration, fields[7]))
    if empty:
        print(f"note: {path}: {empty} turns of zero duration are passed over.", file=sys.stderr)
    return turns


def write_rttm(path: str | Path, turns: Iterable[Turn]) -> None:
    """Write an RTTM file atomically, in the order of the turns.

    Starts and ends are rounded to milliseconds, so that turns that follow each other still do; a turn that
    is shorter is left out, because scorers refuse a duration of zero.

    Raises:
        UserError: the name of a recording or a speaker is empty or has a blank in it.
        ValueError: a time is negative or no number.
    """
    lines = []
    for turn in turns:
        for what, name in (("recording", turn.recording), ("speaker", turn.speaker)):
            if name.split() != [name]:
                raise UserError(
                    f"The {what} '{name}' cannot be written to {path}: blanks separate names there. Give it "
                    "a name without blanks."
                )
        if not (0 <= turn.start < math.inf and 0 <= turn.duration < math.inf):
            raise ValueError(f"{turn} has a time that is negative or no number")
        start = round(turn.start, DECIMALS)
        duration = round(round(turn.end, DECIMALS) - start, DECIMALS)
        if duration > 0:
            lines.append(
                f"{SPEAKER} {turn.recording} 1 {start:7.3f} {duration:7.3f} <NA> <NA> {turn.speaker} "
                "<NA> <NA>\n"
            )
    write_atomically(Path(path), lambda file: file.write("".join(lines).encode("utf-8")))


def read_uem(path: str | Path) -> dict[str, list[tuple[float, float]]]:
    """The regions `(start, end)` in seconds of every recording of a UEM file: `meeting 1 0.000 600.000`.

    Raises:
        UserError: as `read_rttm`; also where a region does not end after its start.
    """
    regions: dict[str, list[tuple[float, float]]] = {}
    for where, fields in _lines(Path(path), "UEM"):
        if len(fields) < UEM_FIELDS:
            raise UserError(
                f"{where} has {len(fields)} fields. A line of a UEM file is: meeting 1 0.000 600.000"
            )
        start, end = (_seconds(text, f"{where}: '{text}'") for text in fields[2:4])
        if end <= start:
            raise UserError(
                f"{where}: the region ends at {end} s and begins at {start} s. Correct that line."
            )
        regions.setdefault(fields[0], []).append((start, end))
    return regions


def _lines(path: Path, kind: str) -> Iterator[tuple[str, list[str]]]:
    """How to name each line that is neither empty nor a comment, and its fields."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"The {kind} file {path} cannot be read: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path} is not a text file in UTF-8. Give the {kind} file, not the recording.")
    for number, line in enumerate(text.splitlines(), start=1):
        if (fields := line.split()) and not fields[0].startswith(COMMENT):
            yield f"{path}, line {number}", fields


def _seconds(text: str, what: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise UserError(f"{what} is '{text}', which is no number. It is a time in seconds.") from None
    if not 0 <= seconds < math.inf:
        raise UserError(f"{what} is {text}; a time in seconds is at least 0. Correct that line.")
    return seconds


def _example() -> str:
    return f"A line is: {SPEAKER} meeting 1 12.340 1.500 <NA> <NA> alice <NA> <NA>"
