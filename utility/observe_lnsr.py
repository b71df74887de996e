"""Layerwise noise-to-signal ratio, by its path of 2020; the command itself is s3prl.upstream.observe_lnsr.

python -m s3prl.utility.observe_lnsr -h
"""

import sys
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.commands import start

if __name__ == "__main__":
    sys.exit(start("lnsr", sys.argv[1:]))
