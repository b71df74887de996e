"""Write the settings in a checkpoint to YAML files: args.yaml, config.yaml, and what else it has.

    python utility/extract_settings.py --ckpt_pth result/downstream/run/dev-best.ckpt --save_dir settings

overwrite_settings.py puts them back, edited.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility import checkpoint_settings
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import command


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Write a file for every section."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--ckpt_pth", type=Path, required=True, metavar="FILE", help="the checkpoint")
    add("--save_dir", type=Path, required=True, metavar="FOLDER", help="where the files go")
    add("--trust_checkpoint", action="store_true", help="also run the code that a full pickle holds")
    options = parser.parse_args(argv)
    _, settings = checkpoint_settings.read(options.ckpt_pth, options.trust_checkpoint)
    options.save_dir.mkdir(parents=True, exist_ok=True)
    for name, section in settings.items():
        path = options.save_dir / f"{name}.yaml"
        checkpoint_settings.write_yaml(path, section)
        print(path)


if __name__ == "__main__":
    sys.exit(main())
