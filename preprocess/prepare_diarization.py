"""Prepare data folders for diarization, from LibriMix or from any recordings with RTTM files.

    python preprocess/prepare_diarization.py --target_dir FOLDER --source_dir Libri2Mix/wav16k/max/metadata
    python preprocess/prepare_diarization.py --target_dir FOLDER --audio RECORDINGS --rttm FILE_OR_FOLDER

writes Kaldi's files wav.scp, segments, utt2spk, spk2utt and reco2dur, and rttm, to FOLDER/train, dev and
test. No recording is copied.

LibriMix says which utterances it has mixed, and not when they are said. Here this is found from the energy of
the clean sources (s1, s2), or taken from alignments of LibriSpeech: --alignments FOLDER, with RTTM files or
TextGrids that have the utterances' names.

Other recordings are looked for below RECORDINGS/train, dev and test; without such folders, --split says what
all of them are. RTTM names them by their files' names without suffix.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess.data_folder import Recorded, write_data_folder
from s3prl.preprocess.diarization_sources import (
    SPLITS,
    Alignments,
    Found,
    Mixture,
    Voice,
    folder_with_rttm,
    librimix,
)
from s3prl.preprocess.mini.corpus import each
from s3prl.preprocess.speech_times import Detector, Spans, words_of
from s3prl.utility.arguments import command_parser
from s3prl.utility.audio import SAMPLE_RATE, load, num_samples
from s3prl.utility.config import expand_variables
from s3prl.utility.errors import UserError, command
from s3prl.utility.rttm import Turn

LIBRIMIX = "Libri2Mix/wav16k/max/metadata"
TOGETHER = 50  # recordings that a process works on at a time
TOLERANCE = 0.1  # seconds by which turns may end after their recording without a word: times are rounded
NAMED = 10  # problems that are told one by one


@dataclass(frozen=True)
class _Chunk:
    """What one process works on at a time."""

    mixtures: tuple[Mixture, ...]
    detector: Detector


class _Result(NamedTuple):
    """What became of a mixture: a recording, or a problem with it."""

    recorded: Recorded | None = None
    problem: str = ""
    cut: int = 0  # turns that end after the recording


def _parser() -> argparse.ArgumentParser:
    detector = Detector()
    parser = command_parser("diarization", __doc__)
    parser.add_argument(
        "--target_dir", type=Path, required=True, help="where to write the folders train, dev and test"
    )
    mixed = parser.add_argument_group("LibriMix")
    mixed.add_argument(
        "--source_dir", type=Path,
        help=f"its tables; default: storage_dir/{LIBRIMIX}, or {LIBRIMIX} below S3PRL_CORPORA or data",
    )  # fmt: skip
    mixed.add_argument("--train_set", default="train-100", help="subset to train on (default: train-100)")
    mixed.add_argument(
        "--mix", choices=["mix_both", "mix_clean"], default="mix_both",
        help="mixtures with noise or without (default: mix_both)",
    )  # fmt: skip
    mixed.add_argument("--alignments", type=Path, help="folder with alignments of the LibriSpeech utterances")
    mixed.add_argument(
        "--below_loud", type=float, default=detector.below_loud,
        help=f"dB below the loud frames, down to where it is speech (default: {detector.below_loud:g})",
    )  # fmt: skip
    mixed.add_argument(
        "--min_pause", type=float, default=detector.min_pause,
        help=f"seconds; shorter pauses belong to the speech around them (default: {detector.min_pause:g})",
    )  # fmt: skip
    others = parser.add_argument_group("any recordings with RTTM")
    others.add_argument(
        "--audio", type=Path, help="folder with the recordings, or with folders of the splits"
    )
    others.add_argument("--rttm", type=Path, help="RTTM file, or a folder of RTTM files")
    others.add_argument("--split", choices=SPLITS, help="what the recordings are; one split is made")
    parser.add_argument(
        "--bad_audio", choices=["error", "skip"], default="error",
        help="stop at recordings that cannot be used, or leave them out (default: error)",
    )  # fmt: skip
    parser.add_argument("--n_jobs", type=int, default=-1, help="processes; -1 for one per CPU")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the data folders."""
    options = _parser().parse_args(arguments)
    found = _found(options)
    problems, prepared, cut = list(found.problems), {}, 0
    _check(problems, options.bad_audio)
    if not options.below_loud > 0:
        raise UserError(f"--below_loud {options.below_loud}: give dB, above 0.")
    if not 0 <= options.min_pause < float("inf"):
        raise UserError(f"--min_pause {options.min_pause}: give seconds, 0 or more.")
    detector = Detector(options.below_loud, options.min_pause)
    for split, mixtures in found.splits.items():
        chunks = [
            _Chunk(tuple(mixtures[start : start + TOGETHER]), detector)
            for start in range(0, len(mixtures), TOGETHER)
        ]
        results = each(_prepare, chunks, options.n_jobs, split, unit=f"parts of {TOGETHER}")
        results = [result for part in results for result in part]
        prepared[split] = [result.recorded for result in results if result.recorded is not None]
        problems += [result.problem for result in results if result.problem]
        cut += sum(result.cut for result in results)
        _check(problems, options.bad_audio)
    for problem in problems[:NAMED]:
        print(f"note: left out: {problem}", file=sys.stderr)
    if problems:
        print(f"note: left out in all: {_counted(len(problems), 'recording')}.", file=sys.stderr)
    if cut:
        print(f"note: cut at the end of their recording: {_counted(cut, 'turn')}.", file=sys.stderr)
    if not any(prepared.values()):
        raise UserError("No recording is left, and nothing is written.")
    for split, recordings in prepared.items():
        if recordings:
            write_data_folder(options.target_dir.expanduser() / split, recordings)
            print(f"{options.target_dir / split}: {_summary(recordings)}")


def _found(options: argparse.Namespace) -> Found:
    """What the options name."""
    if options.audio is None and options.rttm is None:
        if options.split is not None:
            raise UserError("--split is about --audio and --rttm, which are not given.")
        metadata = _metadata(options.source_dir)
        alignments = None if options.alignments is None else Alignments(options.alignments.expanduser())
        return librimix(metadata, options.train_set, options.mix, alignments)
    if options.audio is None or options.rttm is None:
        raise UserError("--audio and --rttm belong together: the recordings, and who speaks in them when.")
    for name in ("source_dir", "alignments"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} is about LibriMix, --audio about other recordings. Leave one out.")
    return folder_with_rttm(options.audio.expanduser(), options.rttm.expanduser(), options.split)


def _metadata(given: Path | None) -> Path:
    """The folder of LibriMix's tables."""
    if given is not None:
        places = [given.expanduser()]
    else:
        places = [Path("storage_dir", LIBRIMIX), Path(expand_variables("${S3PRL_CORPORA}"), LIBRIMIX)]
    for place in places:
        if place.is_dir():
            return place
    raise UserError(
        f"There is no folder {' or '.join(map(str, places))}. Give the folder of LibriMix's tables "
        "(https://github.com/JorisCos/LibriMix) with --source_dir, or other recordings with --audio and "
        "--rttm."
    )


def _check(problems: Sequence[str], bad_audio: str) -> None:
    """Raise a UserError about the problems unless they are to be passed over."""
    if not problems or bad_audio == "skip":
        return
    listed = "".join(f"\n  {problem}" for problem in problems[:NAMED])
    more = f"\n  and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    raise UserError(
        f"{_counted(len(problems), 'recording')} cannot be used:{listed}{more}\nNothing is written. Mend "
        "that, or leave them out with --bad_audio skip."
    )


def _prepare(chunk: _Chunk) -> list[_Result]:
    return [_prepared(mixture, chunk.detector) for mixture in chunk.mixtures]


def _prepared(mixture: Mixture, detector: Detector) -> _Result:
    """Its length and turns."""
    try:
        seconds = num_samples(mixture.path) / SAMPLE_RATE
        turns = mixture.turns or [
            Turn(mixture.name, start, end - start, voice.speaker)
            for voice in mixture.voices
            for start, end in _spans(voice, detector)
        ]
    except UserError as error:
        return _Result(problem=f"{mixture.name}: {error}")
    if not turns:
        return _Result(problem=f"{mixture.name}: nobody speaks in it")
    late = [turn for turn in turns if turn.start >= seconds]
    if late:
        return _Result(
            problem=f"{mixture.name}: it lasts {seconds:.2f} s, and {late[0].speaker} is to speak at "
            f"{late[0].start:.2f} s ({mixture.path})"
        )
    kept = tuple(turn._replace(duration=min(turn.end, seconds) - turn.start) for turn in turns)
    cut = sum(turn.end > seconds + TOLERANCE for turn in turns)
    return _Result(Recorded(mixture.name, mixture.path, seconds, kept), cut=cut)


def _spans(voice: Voice, detector: Detector) -> Spans:
    """When a voice speaks."""
    if voice.aligned is None:
        return detector.spans(load(voice.path))
    if isinstance(voice.aligned, Path):
        return detector.joined(words_of(voice.aligned))
    return detector.joined(list(voice.aligned))


def _summary(recordings: Sequence[Recorded]) -> str:
    """`3000 recordings, 40 speakers, 11.20 hours; somebody speaks in 88.1 %, several in 27.3 % of that`."""
    speakers = {turn.speaker for one in recordings for turn in one.turns}
    total = sum(one.seconds for one in recordings)
    spoken, overlapped = map(sum, zip(*(_spoken(one.turns) for one in recordings), strict=True))
    return (
        f"{_counted(len(recordings), 'recording')}, {_counted(len(speakers), 'speaker')}, "
        f"{total / 3600:.2f} hours; somebody speaks in {100 * spoken / total:.1f} %, "
        f"several in {100 * overlapped / spoken:.1f} % of that"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _spoken(turns: Sequence[Turn]) -> tuple[float, float]:
    """Seconds in which somebody speaks, and in which two or more turns overlap."""
    changes = sorted([(turn.start, 1) for turn in turns] + [(turn.end, -1) for turn in turns])
    spoken = overlapped = before = 0.0
    speaking = 0
    for time, change in changes:
        spoken += (time - before) * (speaking > 0)
        overlapped += (time - before) * (speaking > 1)
        before, speaking = time, speaking + change
    return spoken, overlapped


if __name__ == "__main__":
    sys.exit(main())
