"""Diarization error rate of the predictions of an experiment, at several thresholds and median filters.

    python downstream/diarization/score.py result/downstream/libri2mix_diar downstream/diarization/data/test

First comes the DER at the threshold and filter that are best on the development set, whose predictions
training has kept; then the protocol of SUPERB and the public S3PRL: all combinations on the test set, the
lowest DER at the bottom. Written to EXPDIR/scoring are turns as hyp_<threshold>_<median>.rttm, the errors of
every recording as result_th<threshold>_med<median>, and what is printed as report.txt.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is two above it
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from s3prl.downstream.common.metrics.commands.der import OVERALL, table
from s3prl.downstream.common.metrics.der import DiarizationError, overall
from s3prl.downstream.diarization import predictions
from s3prl.downstream.diarization.predictions import Prediction
from s3prl.downstream.diarization.scoring import (
    MEDIANS,
    THRESHOLDS,
    Decision,
    Rules,
    Turns,
    baselines,
    decisions,
    errors_of,
    hypotheses,
    references,
)
from s3prl.utility.arguments import Parser
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_atomically
from s3prl.utility.progress import followed
from s3prl.utility.rttm import write_rttm

REPORT = "report.txt"


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Score, print and write the report."""
    options = _parse(arguments)
    scoring = options.expdir / predictions.SCORING
    predicted = predictions.read_folder(scoring / predictions.FOLDER, _frame_shift(options.expdir))
    if not predicted:
        raise UserError(
            f"{scoring / predictions.FOLDER} has no predictions. Make them first: "
            f"{_evaluate(options, 'test')}"
        )
    if len(steps := {one.source.step for one in predicted.values() if one.source is not None}) > 1:
        raise UserError(
            f"The predictions in {scoring / predictions.FOLDER} are of different steps "
            f"({', '.join(map(str, sorted(steps)))}): an evaluation was interrupted when it wrote them. Make "
            f"them again: {_evaluate(options, 'test')}"
        )
    rules, tried = Rules(options.collar, options.skip_overlap), decisions(options.thresholds, options.medians)
    reference = references(options.test_dir, predicted)
    if missing := [name for name in reference if name not in predicted]:
        print(
            f"note: {len(missing)} of {len(reference)} recordings of {options.test_dir}, such as "
            f"{missing[0]}, have no predictions: what is said there counts as missed.",
            file=sys.stderr,
        )
    found: dict[Decision, DiarizationError] = {}
    for decision in followed(tried, len(tried), "scoring", "decisions"):
        hypothesis = hypotheses(predicted, decision)
        errors = errors_of(reference, hypothesis, rules)
        found[decision] = overall(errors)
        _write(scoring, decision, hypothesis, errors)
    lines = [f"DER in per cent of speech, {len(reference)} recordings, {rules}:", ""]
    for name, turns in baselines(predicted).items():
        lines.append(f"{name}: {_percent(overall(errors_of(reference, turns, rules)))}")
    lines += [_on_dev(options, predicted, found, rules), ""]
    lines += [
        "All thresholds and filters on the test set itself, which is what SUPERB reports the lowest of:",
        "",
    ]
    ranked = sorted(found.items(), key=lambda one: -one[1].rate)
    lines.append(table([(f"{_result(decision)}:{OVERALL}", error) for decision, error in ranked], "result"))
    _write_text(scoring / REPORT, "\n".join(lines) + "\n")
    print("\n".join(lines))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m s3prl.downstream.diarization.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("expdir", type=Path, metavar="EXPDIR", help="the experiment folder")
    add(
        "test_dir", type=Path, metavar="TEST_DIR", help="the data folder that was evaluated; its rttm is used"
    )
    add("--dev", type=Path, metavar="DEV_DIR", help="that of the development set; default: as in training")
    add(
        "--collar",
        type=float,
        default=0.0,
        help="seconds around each boundary that do not count (default: 0)",
    )
    add("--skip_overlap", action="store_true", help="do not score where several speakers talk")
    add("--thresholds", type=float, nargs="+", default=THRESHOLDS, help="default: 0.3 0.4 0.5 0.6 0.7")
    add("--medians", type=int, nargs="+", default=MEDIANS, help="frames, odd numbers (default: 1 11)")
    options = parser.parse_args(arguments)
    if not 0 <= options.collar < float("inf"):
        raise UserError(f"--collar {options.collar}: give seconds, 0 or more.")
    for folder in filter(None, (options.expdir, options.test_dir, options.dev)):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}. Give the experiment folder, then the data folder.")
    return options


def _frame_shift(expdir: Path) -> int | None:
    """What the experiment folder says of its frames, for predictions that do not."""
    path = expdir / predictions.FRAME_SHIFT
    return predictions.parse_frame_shift(path.read_bytes(), path) if path.is_file() else None


def _on_dev(
    options: argparse.Namespace,
    predicted: Mapping[str, Prediction],
    found: Mapping[Decision, DiarizationError],
    rules: Rules,
) -> str:
    """The line about the threshold and filter that are best on the development set."""
    path = options.expdir / predictions.SCORING / predictions.DEV_FILE
    remedy = f"make predictions of both with the same checkpoint: {_evaluate(options, 'dev')}"
    if not path.is_file():
        return f"chosen on dev: there is no {path}; {remedy}"
    dev, folder = predictions.read_file(path), options.dev
    sources = [one.source for one in (*dev.values(), *predicted.values()) if one.source is not None]
    if len({(source.step, source.seconds) for source in sources}) > 1:
        return (
            f"chosen on dev: {path} is of another step or frame shift than the predictions of the test set; "
            f"{remedy}"
        )
    if folder is None:
        folder = Path(next((one.source.data for one in dev.values() if one.source is not None), ""))
        if not folder.is_dir():
            return f"chosen on dev: the data folder {folder} is not there any more; name it with --dev"
    reference = references(folder, dev)
    errors = {one: overall(errors_of(reference, hypotheses(dev, one), rules)) for one in found}
    best = min(errors, key=lambda one: errors[one].rate)
    return f"chosen on dev ({best}): {_percent(found[best])}; there it is {_percent(errors[best])}"


def _evaluate(options: argparse.Namespace, split: str) -> str:
    return f"{command_line('evaluate')} -t {split} -e {options.expdir / 'best-states-dev.ckpt'}"


def _result(decision: Decision) -> str:
    return f"result_th{decision.threshold:g}_med{decision.median}"


def _write(
    folder: Path, decision: Decision, hypothesis: Turns, errors: Mapping[str, DiarizationError]
) -> None:
    turns = [turn for name in sorted(hypothesis) for turn in hypothesis[name]]
    write_rttm(folder / f"hyp_{decision.threshold:g}_{decision.median}.rttm", turns)
    text = table([*sorted(errors.items()), (OVERALL, overall(errors))])
    _write_text(folder / _result(decision), f"{text}\n")


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _percent(error: DiarizationError) -> str:
    return f"{100 * error.rate:.2f}"


if __name__ == "__main__":
    sys.exit(main())
