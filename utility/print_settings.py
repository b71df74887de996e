"""Print one setting in a checkpoint: args.FIELD, config.FIELD or upstream_config.FIELD.

python utility/print_settings.py result/downstream/run/dev-best.ckpt config.runner.total_steps
python utility/print_settings.py result/downstream/run/dev-best.ckpt config.runner
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility import checkpoint_settings
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import command


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Print a value, or a section as YAML."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("ckpt", type=Path, metavar="CKPT", help="a checkpoint")
    add("field", metavar="FIELD", help="such as config.runner.total_steps")
    add("--trust_checkpoint", action="store_true", help="also run the code that a full pickle holds")
    options = parser.parse_args(argv)
    _, settings = checkpoint_settings.read(options.ckpt, options.trust_checkpoint)
    value = checkpoint_settings.field(settings, options.field, str(options.ckpt))
    print(checkpoint_settings.as_yaml(value).rstrip() if isinstance(value, Mapping) else value)


if __name__ == "__main__":
    sys.exit(main())
