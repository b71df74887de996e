"""Kaldi's features of VoxCeleb as a folder for training: <output_path>/voxceleb_kaldi.

    python preprocess/ark2voxceleb.py --data_path kaldi/egs/voxceleb/v2/data --sets voxceleb1_train

Of each set, feats.scp or the archives are read; id10001-1zcIwhmdeo4-00001 becomes
<set>/id10001/id10001-1zcIwhmdeo4-00001.npy, so that no folder has a million files. What is there and whole is
not written again; what cannot be read is named at the end, and the exit code is then 1.
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
    options = ark_parser("ark2voxceleb", __doc__, "voxceleb_kaldi").parse_args(arguments)
    return convert_sets(options, file_name=lambda utterance: f"{utterance.split('-')[0]}/{utterance}")


if __name__ == "__main__":
    sys.exit(main())
