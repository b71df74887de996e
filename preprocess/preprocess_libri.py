"""Features of LibriSpeech, for training on ready features: <output_path>/libri_<feature><size>.

    python preprocess/preprocess_libri.py --feature_type=fbank --delta=False      80 numbers every 10 ms
    python preprocess/preprocess_libri.py --feature_type=mfcc --delta=True --delta_delta=True     39, 10 ms
    python preprocess/preprocess_libri.py --feature_type=mel --delta=True         160 numbers every 12.5 ms
    python preprocess/preprocess_libri.py --data_path LibriSpeech --sets train-clean-100 dev-clean

An utterance's features are in <set>/<utterance>.npy. What is there and whole is not computed again;
recordings that cannot be used are named at the end, and the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess.feature_options import add_extension, add_feature_options, extensions_of, prepare_sets
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.lengths import find_audio, find_splits


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("preprocess_libri", __doc__)
    parser.add_argument(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path, default=Path("./data/LibriSpeech"),
        help="root of the corpus (default: ./data/LibriSpeech)",
    )  # fmt: skip
    parser.add_argument(
        "--sets", "--splits", dest="sets", nargs="+", help="only these (default: every one that is there)"
    )
    add_extension(parser, ".flac")
    add_feature_options(parser, "mel", delta=True)
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the features; returns 1 when some recordings could not be used, else 0."""
    options = _parser().parse_args(arguments)
    root = options.data_path.expanduser()
    if not root.is_dir():
        raise UserError(f"--data_path: there is no folder {root}. Give the root of LibriSpeech.")
    (extension, *others) = extensions_of(options.audio_extension)
    if others:
        raise UserError("The recordings of LibriSpeech have one extension: give one with --audio_extension.")
    sets = {
        name: _by_name(root, find_audio(root, name, extension))
        for name in options.sets or find_splits(root, extension)
    }
    return prepare_sets(options, "libri", sets, {name: root / name for name in sets})


def _by_name(root: Path, files: Sequence[str]) -> dict[str, Path]:
    """Utterance, such as 103-1240-0000, -> file; raises a UserError where two have the same name."""
    found: dict[str, Path] = {}
    for path in map(root.joinpath, files):
        if path.stem in found:
            raise UserError(
                f"{found[path.stem]} and {path} are both the utterance {path.stem}. Remove one; recordings "
                "in another layout than LibriSpeech's are prepared by preprocess_any.py."
            )
        found[path.stem] = path
    return found


if __name__ == "__main__":
    sys.exit(main())
