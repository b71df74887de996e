"""Print the score of one split at the step where another is best.

    python utility/get_best_score.py result/downstream/ExpName/log.log [dev test +|-]

The second word ranks, the third is told beside it; `+` means higher is better, `-` lower. Without a sign the
task's own metric decides; where none is declared, error rates and losses are better when lower.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.arguments import Parser
from s3prl.utility.errors import command
from s3prl.utility.get_best_dev import deciding_split, read_log, report


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the score of one split at the best step of another."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("log", help="log.log of an experiment, or its folder")
    parser.add_argument("rank_by", nargs="?", help="the split whose best step is taken (what the task says)")
    parser.add_argument("target", nargs="?", default="test", help="the split told beside it (test)")
    parser.add_argument("direction", nargs="?", choices=["+", "-"], help="which score is better")
    options = parser.parse_args(arguments)
    lower_is_better = {"+": False, "-": True, None: None}[options.direction]
    log = read_log(options.log)
    print(report(log, options.rank_by or deciding_split(log), [options.target], lower_is_better))


if __name__ == "__main__":
    sys.exit(main())
