"""Score the output of any system, with the metrics of the tasks here.

python -m s3prl.downstream.common.metrics der ref.rttm hyp.rttm
python -m s3prl.downstream.common.metrics eer scores.txt
python -m s3prl.downstream.common.metrics twv benchmark.stdlist.xml groundtruth_quesst14_eval
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import command

COMMANDS = ("der", "eer", "twv")  # modules of commands/


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands on the given arguments, by default those of the command line."""
    parser = command_parser("score", __doc__)
    metrics = parser.add_subparsers(required=True, metavar="METRIC")
    for name in COMMANDS:
        module = import_module(f"s3prl.downstream.common.metrics.commands.{name}")
        text = module.__doc__.strip()
        metric = metrics.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(metric)
        metric.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
