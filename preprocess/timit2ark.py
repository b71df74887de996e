"""Features of TIMIT as Kaldi's archives, such as a recipe of Kaldi or PyTorch-Kaldi reads them.

    python preprocess/preprocess_timit.py --feature_type=fbank --delta=False
    python preprocess/timit2ark.py --data_path data/timit_fbank80

For every set of the folder, <output_path>/<set>/ gets feats.ark, feats.scp, utt2spk and spk2utt. Utterances
have the names of Kaldi's recipe: DR1-FCJF0-SI648 is FCJF0_SI648.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

import numpy as np

from s3prl.preprocess.kaldi_archives import write_archive
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_atomically
from s3prl.utility.lengths import read_table
from s3prl.utility.progress import followed

OF_TIMIT = re.compile(r"(?:DR\d[-_])?(?P<speaker>[A-Z0-9]+)[-_](?P<sentence>[A-Z0-9]+)", re.IGNORECASE)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("timit2ark", __doc__)
    add = parser.add_argument
    add(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path, required=True, metavar="FOLDER",
        help="written by preprocess_timit.py or ark2timit.py",
    )  # fmt: skip
    add("--sets", "--splits", dest="sets", nargs="+", help="only these (default: every one that is there)")
    add("--output_path", type=Path, help="where the folders of the sets go (default: FOLDER_ark)")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the archives."""
    options = _parser().parse_args(arguments)
    source = options.data_path.expanduser()
    output = options.output_path or Path(f"{os.path.normpath(source.absolute())}_ark")
    tables = {path.stem: path for path in sorted(source.glob("*.csv"))}
    missing = [name for name in options.sets or [] if name not in tables]
    if missing or not tables:
        raise UserError(
            f"{source} has no table {missing[0] if missing else '<set>'}.csv. Give a folder that "
            "preprocess_timit.py or ark2timit.py has written."
        )
    for name in options.sets or tables:
        _convert(source, tables[name], output.expanduser() / name)
    return 0


def _convert(source: Path, table: Path, folder: Path) -> None:
    """Write the archive of a set and who speaks in it, in the order of the bytes of the names."""
    named: dict[str, Path] = {}
    speakers: dict[str, list[str]] = {}
    for file in read_table(table):
        match = OF_TIMIT.fullmatch(Path(file).stem)
        if match is None:
            raise UserError(f"{table}: {file} is no utterance of TIMIT, such as DR1-FCJF0-SI648.")
        key = f"{match['speaker']}_{match['sentence']}".upper()
        if key in named:
            raise UserError(f"{table}: {named[key]} and {file} are both the utterance {key}.")
        named[key] = source / file
    for key in sorted(named):
        speakers.setdefault(key.split("_")[0], []).append(key)
    folder.mkdir(parents=True, exist_ok=True)
    frames = write_archive(folder / "feats.ark", _matrices(named, folder.name))
    _write_lines(folder / "utt2spk", [f"{key} {key.split('_')[0]}" for key in frames])
    _write_lines(folder / "spk2utt", [f"{speaker} {' '.join(said)}" for speaker, said in speakers.items()])
    print(f"{folder / 'feats.scp'}: {len(frames)} utterances, {sum(frames.values())} frames")


def _matrices(named: dict[str, Path], title: str) -> Iterator[tuple[str, np.ndarray]]:
    for key in followed(sorted(named), len(named), title, "utterances"):
        try:
            yield key, np.load(named[key], allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"{named[key]} cannot be read ({error}). Remove it and prepare the features again."
            ) from error


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    write_atomically(path, lambda file: file.write("".join(f"{line}\n" for line in lines).encode()))


if __name__ == "__main__":
    sys.exit(main())
