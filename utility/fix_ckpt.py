"""The conversion of old checkpoints, by its path of 2021; the command itself is s3prl.upstream.fix_ckpt.

python -m s3prl.utility.fix_ckpt -h
"""

import sys
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.commands import start

if __name__ == "__main__":
    sys.exit(start("convert", sys.argv[1:]))
