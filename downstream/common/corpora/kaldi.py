"""Data folders as Kaldi has them: which recordings there are, and who speaks when.

wav.scp    mix1 wav/mix1.wav             a relative path counts from the folder; without this file the
                                         recordings are those of the folder wav
segments   anna-1 mix1 0.50 3.25         seconds
utt2spk    anna-1 anna
reco2dur   mix1 14.62                    optional: seconds
rttm       SPEAKER mix1 1 0.50 2.75 ...  optional: what is scored; without segments also what is learned
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import measure_once
from s3prl.utility.recordings import Recording
from s3prl.utility.rttm import Turn, read_rttm

from ..items import Item

TOLERANCE = 0.1  # seconds by which a segment may end behind its recording: times are rounded
NAMED = 3  # mistakes of a kind in a message


class Audio(NamedTuple):
    """Where a recording is, and which line or folder says so."""

    path: Path
    where: str


@dataclass(frozen=True)
class Labelled:
    """A recording with its turns, by their start; `seconds` is what reco2dur says, if anything."""

    name: str
    path: Path
    turns: tuple[Turn, ...]
    seconds: float | None


def items(root: Path, split: str, most_speakers: int, skip_unreadable: bool = False) -> list[Item]:
    """The recordings of a data folder, in the order of wav.scp; their labels are tuples of Turns.

    Args:
        root: the data folder.
        split: its name, for messages.
        most_speakers: that a recording may have.
        skip_unreadable: leave out a recording that cannot be read.

    Raises:
        UserError: see `recordings`; or a recording cannot be read, is shorter than reco2dur says, or a
            segment ends behind it.
    """
    found = recordings(root, most_speakers)
    measured = measure_once([one.path for one in found], split)
    if measured.unreadable and not skip_unreadable:
        raise UserError(
            f"{len(measured.unreadable)} of {len(found)} audio files of {root} cannot be used:"
            f"{_some(measured.unreadable.values())}\nMend or remove them, or add --bad_audio skip to go on "
            "without them."
        )
    listed, short = [], []
    for one in found:
        samples = measured.lengths.get(str(one.path.absolute()), 0)
        if not samples:
            continue
        seconds = samples / SAMPLE_RATE
        if one.seconds is not None:
            if one.seconds > seconds + TOLERANCE:
                short.append(f"{one.name}: {one.seconds:g} s, but {seconds:.2f} s of {one.path}")
            samples = round(one.seconds * SAMPLE_RATE)
        listed.append(Item(one.name, Recording(one.path), one.turns, samples))
    if short:
        raise UserError(
            f"{root / 'reco2dur'}: {len(short)} recording(s) are shorter than it says:{_some(short)}\n"
            "Correct these lines, or remove the file: it is optional."
        )
    _check_ends(root, listed)
    return listed


def recordings(root: Path, most_speakers: int) -> list[Labelled]:
    """The recordings of a data folder, whose files are there and whose text files agree.

    Raises:
        UserError: a text file is missing or has a wrong line; an audio file is not there; a recording or an
            utterance is not known; a recording has more speakers than it may.
    """
    audio = audio_files(root)
    dead = [f"{one.where}: there is no file {one.path}" for one in audio.values() if not one.path.is_file()]
    if dead:
        raise UserError(
            f"{len(dead)} of {len(audio)} recordings are not where {root} says:{_some(dead)}\nCorrect the "
            "paths, or remove these recordings. A relative path counts from the data folder."
        )
    turns, seconds = _turns_to_learn(root, audio), _durations(root)
    _check_reference(root, turns, audio)
    for name, own in turns.items():
        speakers = sorted({turn.speaker for turn in own})
        if len(speakers) > most_speakers:
            raise UserError(
                f"{root}: the recording {name} has {len(speakers)} speakers ({', '.join(speakers)}), but "
                f"downstream_expert.datarc.num_speakers is {most_speakers}. Set it to {len(speakers)}, or "
                "remove the recording."
            )
    return [
        Labelled(
            name, one.path, tuple(sorted(turns.get(name, ()), key=lambda turn: turn[1:])), seconds.get(name)
        )
        for name, one in audio.items()
    ]


def audio_files(root: Path) -> dict[str, Audio]:
    """The recordings of a data folder by their names; whether the files are there is not looked at.

    Raises:
        UserError: there is neither wav.scp nor wav; a line is wrong, or names a command.
    """
    found: dict[str, Audio] = {}
    table = root / "wav.scp"
    if not table.is_file():
        if not (root / "wav").is_dir():
            raise UserError(f"{root} has neither a file wav.scp nor a folder wav, so it is no data folder.")
        listed = sorted(path for path in (root / "wav").iterdir() if not path.name.startswith("."))
        lines = [(str(path), path.stem, path) for path in listed]
    else:
        lines = [(where, name, root / Path(path).expanduser()) for where, (name, path) in _lines(table, 2)]
    for where, name, path in lines:
        if str(path).endswith("|"):
            raise UserError(
                f"{where}: what stands behind {name} is a command, and commands of data files are not run. "
                "Write its output to an audio file, and name that file here."
            )
        if "/" in name or name.split() != [name]:
            raise UserError(
                f"{where}: the recording's name '{name}' has a slash or a blank. Rename it: predictions and "
                "RTTM files have no place for these."
            )
        if name in found:
            raise UserError(f"{where}: the recording {name} stands also at {found[name].where}. Remove one.")
        found[name] = Audio(path, where)
    if not found:
        raise UserError(f"{table if table.is_file() else root / 'wav'} has no recording.")
    return found


def reference(root: Path) -> dict[str, list[Turn]]:
    """The turns that a system is scored by, for each recording that has some: of rttm, else of segments.

    Raises:
        UserError: there is neither, or a line of it is wrong.
    """
    if (root / "rttm").is_file():
        return read_rttm(root / "rttm")
    if not (root / "segments").is_file():
        raise UserError(f"{root} has neither a file rttm nor a file segments, which say who speaks when.")
    return _of_segments(root, None)


def _turns_to_learn(root: Path, audio: Mapping[str, Audio]) -> dict[str, list[Turn]]:
    if (root / "segments").is_file():
        return _of_segments(root, audio)
    if not (root / "rttm").is_file():
        raise UserError(f"{root} has neither a file segments nor a file rttm, which say who speaks when.")
    return read_rttm(root / "rttm")


def _check_reference(root: Path, turns: Mapping[str, list[Turn]], audio: Mapping[str, Audio]) -> None:
    """Raise a UserError now, and not when a run is scored, where rttm is wrong or of other recordings."""
    scored = reference(root)
    if unknown := sorted(scored.keys() - audio.keys()):
        raise UserError(
            f"{root / 'rttm'} has turns of {len(unknown)} recording(s) that the folder does not have: "
            f"{', '.join(unknown[:NAMED])}. Add their audio, or remove these lines."
        )
    if silent := sorted(turns.keys() - scored.keys()):
        raise UserError(
            f"{root / 'rttm'} has no turn of {len(silent)} recording(s) in which somebody speaks according "
            f"to segments: {', '.join(silent[:NAMED])}. Add their turns; or remove the file rttm, and "
            "segments are scored by."
        )


def _of_segments(root: Path, audio: Mapping[str, Audio] | None) -> dict[str, list[Turn]]:
    """The turns of `segments` and `utt2spk`; recordings are checked where `audio` says which there are."""
    table = root / "utt2spk"
    if not table.is_file():
        raise UserError(f"{root} has a file segments but no file utt2spk, which names the speakers.")
    speakers: dict[str, str] = {}
    for where, (utterance, speaker) in _lines(table, 2):
        if speakers.setdefault(utterance, speaker) != speaker:
            raise UserError(
                f"{where}: the utterance {utterance} is of {speaker}, and before it was of "
                f"{speakers[utterance]}. Remove one of these lines."
            )
    found: dict[str, list[Turn]] = {}
    for where, (utterance, recording, *times) in _lines(root / "segments", 4):
        start, end = (_seconds(text, where) for text in times)
        if end <= start:
            raise UserError(
                f"{where}: the segment {utterance} ends at {end:g} s and begins at {start:g} s. Correct it."
            )
        if audio is not None and recording not in audio:
            raise UserError(f"{where}: the folder has no recording {recording}. Add it, or remove the line.")
        if utterance not in speakers:
            raise UserError(f"{where}: {table} has no speaker of the utterance {utterance}. Add its line.")
        turn = Turn(recording, start, end - start, speakers[utterance])
        found.setdefault(recording, []).append(turn)
    return found


def _durations(root: Path) -> dict[str, float]:
    table = root / "reco2dur"
    if not table.is_file():
        return {}
    return {name: _seconds(text, where) for where, (name, text) in _lines(table, 2)}


def _check_ends(root: Path, listed: Sequence[Item]) -> None:
    late = [
        f"{item.name}: a segment of {turn.speaker} ends at {turn.end:.2f} s, the recording at "
        f"{item.samples / SAMPLE_RATE:.2f} s"
        for item in listed
        for turn in item.label
        if turn.end > item.samples / SAMPLE_RATE + TOLERANCE
    ]
    if late:
        raise UserError(
            f"{root}: {len(late)} segment(s) end behind their recording:{_some(late)}\nCorrect the times (in "
            "seconds from the beginning of the recording), or reco2dur."
        )


def _lines(path: Path, fields: int) -> Iterator[tuple[str, list[str]]]:
    """Where each line is, and its fields; the last one takes the rest of the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8 ({error.reason}).") from error
    for number, line in enumerate(text.splitlines(), 1):
        found = line.split(None, fields - 1)
        if not found:
            continue
        if len(found) < fields:
            raise UserError(
                f"{path}, line {number} has {len(found)} field(s) and needs {fields}: {line[:80]!r}"
            )
        yield f"{path}, line {number}", [field.strip() for field in found]


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"{where}: {text!r} is no time in seconds, from 0 on. Correct it.")
    return seconds


def _some(problems: Iterable[str]) -> str:
    shown = list(problems)
    more = [f"and {len(shown) - NAMED} more"] if len(shown) > NAMED else []
    return "".join(f"\n  {problem}" for problem in [*shown[:NAMED], *more])
