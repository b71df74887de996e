"""Official scores of QUESST 2014: MTWV, ATWV, minCnxe and actCnxe of a spoken term detection.

    python -m s3prl.downstream.common.metrics twv result/downstream/ExpName groundtruth_quesst14_eval

does what the corpus' own scoring/score-TWV-Cnxe.sh does with `result/downstream/ExpName
groundtruth_quesst14_eval -10`. The column `official` is about all queries and documents of the ground truth,
where missing pairs have the score -10; `searched` about those in the system's output, where these are fewer.
"""

import math
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from s3prl.utility.errors import UserError

SUFFIX = ".stdlist.xml"
ROWS = (
    ("mtwv", "MTWV", ".4f"),
    ("threshold", "  from the score", ".4f"),
    ("atwv", "ATWV", ".4f"),
    ("min_cnxe", "minCnxe", ".4f"),
    ("act_cnxe", "actCnxe", ".4f"),
    ("queries", "queries", ",d"),
    ("without_target", "  in no document", ",d"),
    ("documents", "documents", ",d"),
    ("occurrences", "occurrences", ",d"),
)


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "stdlist", metavar="STDLIST", type=Path, help=f"output of a system, *{SUFFIX}, or the folder with it"
    )
    parser.add_argument(
        "truth",
        metavar="GROUND_TRUTH",
        type=Path,
        help="a folder with *.ecf.xml, *.tlist.xml and *.rttm; or a CSV or TSV file with the columns "
        "query,document, one row for each document in which a query occurs",
    )
    parser.add_argument(
        "--missing", type=float, default=-10.0, help="score of pairs that STDLIST lacks (default: -10)"
    )
    parser.add_argument("--c_miss", type=float, default=100.0, help="cost of a miss (default: 100)")
    parser.add_argument("--c_fa", type=float, default=1.0, help="cost of a false alarm (default: 1)")
    parser.add_argument(
        "--p_target",
        type=float,
        default=0.0008,
        help="prior probability that a query occurs in a document (default: 0.0008)",
    )


def run(args: Namespace) -> None:
    """Score the output of a system, and print a table.

    Raises:
        UserError: an option is impossible, or a file missing, damaged or about something else.
    """
    from ..quesst import score_search
    from ..quesst_truth import read_ground_truth, read_pairs
    from ..stdlist import read_stdlist
    from ..trials import Costs

    if not math.isfinite(args.missing):
        raise UserError(f"--missing must be a finite number, not {args.missing}.")
    try:
        costs = Costs(args.c_miss, args.c_fa, args.p_target)
    except ValueError as error:
        raise UserError(
            f"--c_miss {args.c_miss:g} and --c_fa {args.c_fa:g} must be above 0, and --p_target "
            f"{args.p_target:g} between 0 and 1."
        ) from error
    pairs = args.truth.is_file()
    truth = read_pairs(args.truth) if pairs else read_ground_truth(args.truth)
    for note in truth.notes:
        print(note, file=sys.stderr)
    search = read_stdlist(_stdlist(args.stdlist))
    if pairs:  # the list names only queries that occur
        truth = truth.including(search.queries, search.documents)
    official, searched, left_out = score_search(search, truth, args.missing, costs)
    if any(left_out):
        queries, documents = left_out
        print(
            f"Left out of {args.stdlist}, because the ground truth does not list them: "
            f"queries: {queries:,}, documents: {documents:,}.",
            file=sys.stderr,
        )
    columns = {"official": official}
    if searched not in (None, official):
        columns["searched"] = searched
    print(" " * 16 + "".join(f"{name:>12}" for name in columns))
    for field, title, form in ROWS:
        print(f"{title:16}" + "".join(f"{getattr(scores, field):>12{form}}" for scores in columns.values()))


def _stdlist(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        there = found or sorted(path.glob(f"*/*{SUFFIX}"))  # of layers
        names = ", ".join(one.relative_to(path).as_posix() for one in there) or "none"
        raise UserError(f"{path} must have one *{SUFFIX} (there: {names}). Name the file.")
    return found[0]
