"""Tables of audio lengths, for batches of similar length: <output_path>/<name>/<split>.csv for each split.

python preprocess/generate_len_for_bucket.py -i /root/of/LibriSpeech -o data/librispeech -a .flac --n_jobs 12
python preprocess/generate_len_for_bucket.py --data_root /root/of/TIMIT -a .wav --splits TRAIN TEST

Columns: an index, file_path (relative to the corpus, beginning with the split), length (samples at 16 kHz),
label (empty); the longest first. Only headers are read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command, explain
from s3prl.utility.lengths import find_audio, find_splits, measure, unreadable_lines, write_table


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("lengths", __doc__)
    parser.add_argument(
        "-i",
        "--input_data",
        "--data_root",
        dest="input_data",
        type=Path,
        default=Path("../LibriSpeech/"),
        help="root of the corpus",
    )
    parser.add_argument("-o", "--output_path", type=Path, default=Path("./data/"), help="where to write")
    parser.add_argument(
        "-a",
        "--audio_extension",
        default=".flac",
        metavar=".EXT[,.EXT]",
        help="of the recordings, such as .wav,.flac (default: .flac)",
    )
    parser.add_argument("-n", "--name", default="len_for_bucket", help="folder of the tables in output_path")
    parser.add_argument("--n_jobs", type=int, default=-1, help="headers read at the same time; -1: automatic")
    parser.add_argument(
        "--splits", nargs="+", help="folders of the corpus; default: every one that holds recordings"
    )
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables; returns 1 when some recordings are unreadable and left out, else 0."""
    options = _parser().parse_args(arguments)
    root: Path = options.input_data.expanduser()
    folder: Path = options.output_path.expanduser() / options.name
    unreadable = 0
    try:
        for split in options.splits or find_splits(root, options.audio_extension):
            files = find_audio(root, split, options.audio_extension)
            measured = measure(root, files, options.n_jobs, split)
            write_table(folder / f"{split}.csv", measured.lengths)
            hours = sum(measured.lengths.values()) / 16000 / 3600
            print(f"{folder / split}.csv: {len(measured.lengths)} recordings, {hours:.2f} hours")
            unreadable += len(measured.unreadable)
            for line in unreadable_lines(measured, split):
                print(line, file=sys.stderr)
    except OSError as error:
        reason = explain(error) or f"{error}."
        raise UserError(f"{reason} Another folder for the tables: -o.") from error
    if unreadable:
        print(f"error: {unreadable} recordings are in no table. Restore them and run again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
