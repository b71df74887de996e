"""Is the difference between two runs significant? A paired test on the utterances of an evaluation.

    python -m s3prl.utility.run_sig_test -m mcnemar -e1 result/downstream/run_a -e2 result/downstream/run_b
    python -m s3prl.utility.run_sig_test -m ttest -t test-clean-noLM -e1 run_a -e2 run_b

Both runs must have been evaluated on the split (`-m evaluate -t SPLIT`); nothing is computed again. Without
that, a training leaves the predictions of its last step. The checkpoint that they are of is printed. Tests:

    ttest     paired t-test of the scores of every utterance: errors of a recogniser, accuracy of its frames,
              or 1 and 0 where it has one class
    mcnemar   exact test of utterances that only one of the runs has right
    fisher    exact test of the table right/wrong by run, which ignores that the utterances are the same

An utterance is right for mcnemar and fisher when its class, or all of its text, is. mcnemar differs here from
the public S3PRL, which gives it the table of fisher.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility.arguments import command_parser
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError, command
from s3prl.utility.predictions import UNITS, Scores, check_same, read_scores
from s3prl.utility.results import read_run
from s3prl.utility.significance import Outcome, fisher_test, mcnemar_test, paired_t_test

MODES = ("ttest", "fisher", "mcnemar")


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Print the scores of both runs, the statistic and the probability."""
    parser = command_parser("significance", __doc__)
    add = parser.add_argument
    add("-m", "--mode", choices=MODES, default=MODES[0], help=f"the test (default: {MODES[0]})")
    add("-e1", "--past_exp1", type=Path, required=True, metavar="RUN", help="a run's folder or checkpoint")
    add("-e2", "--past_exp2", type=Path, required=True, metavar="RUN", help="that of the other run")
    add(
        "-t", "--evaluate_split", default="test", metavar="SPLIT", help="as its files have it (default: test)"
    )
    add("--unit", choices=UNITS, default=UNITS[0], help=f"of errors of recognition (default: {UNITS[0]})")
    add("--alpha", type=float, default=0.05, metavar="P", help="level of significance (default: 0.05)")
    options = parser.parse_args(argv)
    if not 0 < options.alpha < 1:
        raise UserError(f"--alpha {options.alpha}: the level must be between 0 and 1, such as 0.05.")
    runs, split = (options.past_exp1, options.past_exp2), options.evaluate_split
    folders = [_folder(run, split) for run in runs]
    scores = [read_scores(folder, split, options.unit) for folder in folders]
    check_same(*scores, list(map(str, runs)))
    outcome, detail = tested(options.mode, *scores)
    width = max(len("utterances"), *(len(str(run)) for run in runs))
    lines = [("utterances", f"{len(scores[0].values)} of {split}")]
    for run, folder, score in zip(runs, folders, scores, strict=True):
        _, checkpoint = _predicted_by(folder, split)
        lines.append((str(run), score.summary() + (f"  ({checkpoint})" if checkpoint else "")))
    lines += [(options.mode, detail), ("p-value", f"{outcome.p_value:.4g}")]
    print("\n".join(f"{name:{width}}  {text}" for name, text in lines))
    verdict = "significant" if outcome.p_value < options.alpha else "not significant"
    print(f"\nThe difference is {verdict} at the level {options.alpha:g}.")


def tested(mode: str, one: Scores, other: Scores) -> tuple[Outcome, str]:
    """The outcome of a test, and its statistic in words.

    Args:
        mode: one of MODES.
        one, other: of the same utterances.

    Raises:
        UserError: the test needs utterances that are right or wrong.
    """
    names = sorted(one.values)
    if mode == "ttest":
        outcome = paired_t_test([one.values[name] for name in names], [other.values[name] for name in names])
        return outcome, f"t = {outcome.statistic:.4g}, {len(names) - 1} degrees of freedom"
    if one.right is None or other.right is None:
        raise UserError(
            f"-m {mode} needs utterances that are right or wrong, and these have many labels each. "
            "Use -m ttest, which compares the accuracy of every utterance."
        )
    hits = [[score.right[name] for name in names] for score in (one, other)]
    if mode == "fisher":
        outcome = fisher_test(*hits)
        return outcome, f"odds ratio {outcome.statistic:.4g}"
    alone = [sum(a and not b for a, b in zip(x, y, strict=True)) for x, y in (hits, hits[::-1])]
    return mcnemar_test(*hits), f"{alone[0]} right in the first run alone, {alone[1]} in the second alone"


def _folder(run: Path, split: str) -> Path:
    """The folder with a run's predictions; those of a checkpoint must be what was evaluated last."""
    if run.is_dir():
        return run
    if not run.is_file():
        raise UserError(f"{run} does not exist. Name the folder of a run, or a checkpoint in it.")
    evaluated, last = _predicted_by(run.parent, split)
    if last not in (None, run.name):
        raise UserError(
            f"The predictions of '{split}' in {run.parent} are those of {last}, not of {run.name}. "
            f"Evaluate it first: `{command_line('evaluate')} -t {evaluated} -e {run}`."
        )
    return run.parent


def _predicted_by(folder: Path, split: str) -> tuple[str, str | None]:
    """The split that was evaluated, and the name of the checkpoint, None where it is not known.

    That of the last evaluation; a training leaves the predictions of its last step.
    """
    run = read_run(folder)
    steps = {name: f"states-{run.last_step(name)}.ckpt" for name in run.splits}
    named = {name: Path(one.get("checkpoint") or "").name or None for name, one in run.evaluations.items()}
    for name, checkpoint in {**steps, **named}.items():
        if split == name or split.startswith((f"{name}-", f"{name}_")):  # such as test_fold1
            return name, checkpoint
    return split, None


if __name__ == "__main__":
    sys.exit(main())
