"""Kaldi's features of LibriSpeech as a folder for training: <output_path>/libri_kaldi.

    python preprocess/ark2libri.py --data_path kaldi/egs/librispeech/s5/data --sets train_clean_100 dev_clean
    python preprocess/ark2libri.py --data_path fmllr_cmvn --name libri_fmllr_cmvn

Of each set, feats.scp or the archives are read; train_clean_100 becomes train-clean-100/<utterance>.npy and
train-clean-100.csv. What is there and whole is not written again; what cannot be read is named at the end,
and the exit code is then 1.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess.ark_sets import ark_parser, convert_sets
from s3prl.utility.errors import command


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the features; returns 1 when some could not be read, else 0."""
    options = ark_parser("ark2libri", __doc__, "libri_kaldi").parse_args(arguments)
    return convert_sets(options, set_name=_published)


def _published(name: str) -> str:
    """LibriSpeech's name of a set of Kaldi's recipe."""
    return name.replace("_", "-") if name.startswith(("train_", "dev_", "test_")) else name


if __name__ == "__main__":
    sys.exit(main())
