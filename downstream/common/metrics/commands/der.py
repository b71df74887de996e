"""Diarization error rate (DER) of an RTTM file against a reference.

    python -m s3prl.downstream.common.metrics der ref.rttm hyp.rttm --collar 0.25 --per_recording

prints the speech of the reference in seconds and, in per cent of it, what is missed, invented (false alarm)
or given to the wrong speaker (confusion), and their sum, the DER. All of each recording is scored, from the
first turn of either file to the last, unless a UEM file says otherwise.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..der import DiarizationError

OVERALL = "*** OVERALL ***"  # as dscore names the line
TITLES = ["speech [s]", "missed", "false alarm", "confusion", "DER [%]"]


def add_options(parser: ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("reference", type=Path, metavar="REF.rttm", help="who speaks when")
    parser.add_argument("hypothesis", type=Path, metavar="HYP.rttm", help="what a system says of it")
    parser.add_argument(
        "--collar", type=float, default=0.0,
        help="seconds before and after each boundary of the reference that are not scored; default: 0",
    )  # fmt: skip
    parser.add_argument(
        "--skip_overlap",
        action="store_true",
        help="do not score where several speakers talk in the reference",
    )
    parser.add_argument("--uem", type=Path, metavar="FILE", help="score only the regions of this UEM file")
    parser.add_argument(
        "--ignore_extra", action="store_true", help="pass over recordings that the reference lacks"
    )
    parser.add_argument("--per_recording", action="store_true", help="a line for each recording, too")


def run(args: Namespace) -> None:
    """Print the table.

    Raises:
        UserError: a file cannot be read or the files do not fit; the collar is negative.
    """
    from s3prl.utility.errors import UserError
    from s3prl.utility.rttm import read_rttm, read_uem

    from ..der import overall, score_recordings

    if not 0 <= args.collar < float("inf"):
        raise UserError(f"--collar {args.collar}: give seconds, 0 or more.")
    reference = read_rttm(args.reference)
    if not reference and args.uem is None:
        raise UserError(
            f"{args.reference} has no SPEAKER line, so there is nothing to score. Is it the file?"
        )
    errors = score_recordings(
        reference, read_rttm(args.hypothesis), args.collar, args.skip_overlap,
        None if args.uem is None else read_uem(args.uem), args.ignore_extra,
    )  # fmt: skip
    rows = sorted(errors.items()) if args.per_recording else []
    print(table([*rows, (OVERALL, overall(errors))]))


def table(rows: Iterable[tuple[str, DiarizationError]], first: str = "recording") -> str:
    """Errors by name as text, one line each.

    Args:
        first: the title of the names.
    """
    from s3prl.utility.results import aligned

    texts = [[first, *TITLES]]
    for name, error in rows:
        times = (error.missed, error.false_alarm, error.confusion)
        shares = [f"{100 * time / error.scored:.2f}" if error.scored else "-" for time in times]
        texts.append([name, f"{error.scored:.2f}", *shares, f"{100 * error.rate:.2f}"])
    return aligned(texts, left=1)
