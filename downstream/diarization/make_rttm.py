"""Turns from predictions of diarization: who speaks when, as RTTM.

find result/downstream/libri2mix_diar/scoring/predictions -name "*.h5" > files.txt
python downstream/diarization/make_rttm.py --threshold 0.4 --median 11 files.txt hyp.rttm
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is two above it
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from s3prl.downstream.common.metrics.der import turns_of
from s3prl.downstream.diarization.decisions import decide
from s3prl.downstream.diarization.predictions import read_one
from s3prl.downstream.diarization.scoring import seconds_of
from s3prl.utility.arguments import Parser
from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError, command
from s3prl.utility.rttm import write_rttm


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the RTTM file."""
    options = _parse(arguments)
    if not options.file_list_hdf5.is_file():
        raise UserError(
            f"There is no file {options.file_list_hdf5}. Give a text file with a path in each line."
        )
    turns = []
    for path in _listed(options.file_list_hdf5):
        prediction = read_one(path)
        if options.frame_shift is None:
            seconds = seconds_of(path.stem, prediction)
        else:
            seconds = options.frame_shift * options.subsampling / options.sampling_rate
        turns += turns_of(decide(prediction.values, options.threshold, options.median), seconds, path.stem)
    options.out_rttm_file.parent.mkdir(parents=True, exist_ok=True)
    write_rttm(options.out_rttm_file, turns)


def _listed(path: Path) -> list[Path]:
    """The files that a list names, in the order of their recordings."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file in UTF-8. Give a list of .h5 files, not one.") from error
    found: dict[str, Path] = {}
    for file in sorted(Path(line.strip()) for line in lines if line.strip()):
        if file.stem in found:
            raise UserError(
                f"{path}: {found[file.stem]} and {file} are both of the recording {file.stem}. Remove one."
            )
        found[file.stem] = file
    if not found:
        raise UserError(f"{path} names no file. Give a text file with the path of an .h5 file in each line.")
    return list(found.values())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("file_list_hdf5", type=Path, metavar="FILE_LIST", help="paths of .h5 files, one in each line")
    add("out_rttm_file", type=Path, metavar="OUT", help="the RTTM file to write")
    add("--threshold", type=float, default=0.5, help="a speaker speaks above it (default: 0.5)")
    add("--median", type=int, default=1, help="frames of the median filter, an odd number (default: 1)")
    add("--frame_shift", type=int, help="samples between two frames (default: what the files say)")
    add(
        "--subsampling",
        type=int,
        default=1,
        help="frames for one prediction, with --frame_shift (default: 1)",
    )
    add("--sampling_rate", type=int, default=SAMPLE_RATE, help="for --frame_shift, in Hz (default: 16000)")
    options = parser.parse_args(arguments)
    for name in ("frame_shift", "subsampling", "sampling_rate"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: it must be at least 1.")
    return options


if __name__ == "__main__":
    sys.exit(main())
