"""Pictures of hidden states, by a path in utility/; the command itself is s3prl.upstream.visualize.

python -m s3prl.utility.visualize -h
"""

import sys
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.commands import start

if __name__ == "__main__":
    sys.exit(start("visualize", sys.argv[1:]))
