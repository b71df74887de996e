"""Kaldi's features of TIMIT as a folder for training: <output_path>/timit_kaldi.

    python preprocess/ark2timit.py --data_path kaldi/egs/timit/s5/data --sets train dev test
    python preprocess/ark2timit.py --data_path data-fmllr-tri3 --name timit_fmllr_cmvn --apply_cmvn speaker

Of each set, feats.scp or the archives are read; an utterance keeps Kaldi's name, such as
train/FAEM0_SI1392.npy. What is there and whole is not written again; what cannot be read is named at the end,
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
    return convert_sets(ark_parser("ark2timit", __doc__, "timit_kaldi").parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
