"""Kaldi's data folders for diarization: which recordings there are, and who speaks in them when.

    wav.scp     mix1 ../../wav/mix1.wav                      a relative path counts from the data folder
    reco2dur    mix1 14.6200                                 seconds
    segments    anna_mix1_000050_000325 mix1 0.500 3.250     seconds; the name counts hundredths
    utt2spk     anna_mix1_000050_000325 anna
    spk2utt     anna anna_mix1_000050_000325 ...
    rttm        SPEAKER mix1 1   0.500   2.750 <NA> <NA> anna <NA> <NA>

Each is in the order of its first column, as Kaldi's tools want it.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.files import write_atomically
from s3prl.utility.rttm import Turn, write_rttm


class Recorded(NamedTuple):
    """A recording of a data folder."""

    name: str
    path: Path
    seconds: float
    turns: tuple[Turn, ...]


def write_data_folder(folder: Path, recordings: Iterable[Recorded]) -> None:
    """Write the tables of a data folder, each of them atomically.

    A turn that is shorter than a millisecond is left out, because no table has smaller times.

    A path is relative where the audio lies below the folder that holds the data folder's parent: then both
    can be moved together, as in Libri2Mix/data/train and Libri2Mix/wav16k.

    Raises:
        UserError: a name of a recording or speaker has a blank in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recordings = sorted(recordings, key=lambda one: one.name)
    ordered = [
        turn
        for one in recordings
        for turn in sorted(one.turns, key=lambda turn: turn[1:])
        if f"{turn.start:.3f}" != f"{turn.end:.3f}"
    ]
    write_rttm(folder / "rttm", ordered)  # first, because it checks the names
    turns = {utterance_name(turn): turn for turn in ordered}
    said_by: dict[str, list[str]] = {}
    for utterance in sorted(turns):
        said_by.setdefault(turns[utterance].speaker, []).append(utterance)
    tables = {
        "wav.scp": [f"{one.name} {_told_from(folder, one.path)}" for one in recordings],
        "reco2dur": [f"{one.name} {one.seconds:.4f}" for one in recordings],
        "segments": [
            f"{utterance} {turn.recording} {turn.start:.3f} {turn.end:.3f}"
            for utterance, turn in sorted(turns.items())
        ],
        "utt2spk": [f"{utterance} {turn.speaker}" for utterance, turn in sorted(turns.items())],
        "spk2utt": [f"{speaker} {' '.join(said)}" for speaker, said in sorted(said_by.items())],
    }
    for name, lines in tables.items():
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(folder / name, lambda file, text=text: file.write(text.encode("utf-8")))


def utterance_name(turn: Turn) -> str:
    """Who, where, and from when to when in hundredths of a second; the speaker first, as Kaldi sorts them."""
    return f"{turn.speaker}_{turn.recording}_{100 * turn.start:06.0f}_{100 * turn.end:06.0f}"


def _told_from(folder: Path, path: Path) -> str:
    folder, path = folder.resolve(), path.resolve()
    near = path.is_relative_to(folder.parent.parent)
    return Path(os.path.relpath(path, folder)).as_posix() if near else str(path)
