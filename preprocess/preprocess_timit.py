"""Features of TIMIT, for training on ready features: <output_path>/timit_<feature><size>.

    python preprocess/preprocess_timit.py --feature_type=fbank --delta=False      80 numbers every 10 ms
    python preprocess/preprocess_timit.py --feature_type=mfcc --delta=True --delta_delta=True     39, 10 ms
    python preprocess/preprocess_timit.py --feature_type=mel --data_path TIMIT    160 numbers every 12.5 ms

An utterance's features are in <set>/DR1-FCJF0-SI648.npy. What is there and whole is not computed again;
recordings that cannot be used are named at the end, and the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess.feature_options import add_extension, add_feature_options, extensions_of, prepare_sets
from s3prl.preprocess.feature_sets import find_set
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command

SETS = ("TRAIN", "TEST")
SUFFIX = ".WAV"


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("preprocess_timit", __doc__)
    parser.add_argument(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path, default=Path("./data/timit"),
        help="the folder with TRAIN and TEST (default: ./data/timit)",
    )  # fmt: skip
    parser.add_argument("--sets", "--splits", dest="sets", nargs="+", help="only these (default: both)")
    add_extension(parser, SUFFIX.lower())
    add_feature_options(parser, "mel", delta=True)
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the features; returns 1 when some recordings could not be used, else 0."""
    options = _parser().parse_args(arguments)
    root = options.data_path.expanduser()
    places = [root, *sorted(path for path in root.glob("*") if path.name.upper() == "TIMIT")]
    there = {path.name.upper(): path for place in places if place.is_dir() for path in place.iterdir()}
    wanted = [name.upper() for name in options.sets or [name for name in SETS if name in there]]
    missing = [name for name in wanted if name not in there or not there[name].is_dir()]
    if missing or not wanted:
        raise UserError(
            f"{root} has no folder {' or '.join(missing or SETS)}. Give the one with TIMIT's TRAIN and TEST "
            "with --data_path."
        )
    extensions = extensions_of(options.audio_extension)
    folders = {name: there[name] for name in wanted}
    return prepare_sets(
        options, "timit", {name: _set(folder, extensions) for name, folder in folders.items()}, folders
    )


def _set(folder: Path, extensions: Sequence[str]) -> dict[str, Path]:
    """Utterance, such as DR1-FCJF0-SI648, -> file; of a recording and its converted copy, the first."""
    found: dict[str, Path] = {}
    for name, path in find_set(folder, extensions).items():
        found.setdefault("-".join(name.upper().removesuffix(SUFFIX).split("/")), path)
    return found


if __name__ == "__main__":
    sys.exit(main())
