"""What HuBERT returns for recordings.

python upstream/hubert/example_extract.py speech.wav
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # so that s3prl is found in a clone
    from s3prl.upstream.tools.outputs import main

    sys.exit(main("hubert"))
