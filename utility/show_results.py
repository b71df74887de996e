"""The metrics of an experiment as a table, and its curves as a picture.

python -m s3prl.utility.show_results result/downstream/my_run
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.metric import Metric

RUNNERS_OWN = ("learning-rate", "gradient-norm", "nan_gradients", "out_of_memory")


def results_of(expdir: Path) -> dict[str, dict[str, Any]]:
    """What `-m evaluate` wrote for every split of an experiment: split -> content of its result file.

    Raises:
        UserError: nothing has been evaluated yet.
    """
    found = {}
    for path in sorted(expdir.glob("result-*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[content["split"]] = content
    if not found:
        raise UserError(
            f"{expdir} has no result yet. Run: python run_downstream.py -m evaluate -t SPLIT "
            f"-e {expdir}/dev-best.ckpt"
        )
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as text: a row for every split, a column for every metric."""
    names = list(dict.fromkeys(name for result in results.values() for name in result["metrics"]))
    rows = [["split", "step", *names]]
    for split, result in results.items():
        values = [result["metrics"].get(name) for name in names]
        rows.append([split, str(result["step"]), *("-" if v is None else f"{v:.4g}" for v in values)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def curves(expdir: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The training curves in metrics.jsonl: metric -> split -> [(step, value)]."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    path = expdir / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        metrics = json.loads(line)
        step, split = metrics.pop("step"), metrics.pop("split")
        for name, value in metrics.items():
            if value is not None and name not in RUNNERS_OWN:
                found.setdefault(name, {}).setdefault(split, []).append((step, value))
    return found


def draw_curves(expdir: Path) -> Path | None:
    """Draw every metric over the steps into `curves.png`; None when there is nothing to draw."""
    found = curves(expdir)
    if not found:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(4.5 * len(found), 3.5), squeeze=False)
    for axis, (name, splits) in zip(axes[0], found.items(), strict=True):
        for split, points in splits.items():
            axis.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 30 else None)
        axis.set(title=name, xlabel="step")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    path = expdir / "curves.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of one experiment and draw its curves."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("expdir", type=Path, help="the experiment folder")
    expdir = parser.parse_args(argv).expdir
    print(f"{table(results_of(expdir))}\n")
    if headline := Metric.of(expdir):
        better = "lower" if headline.lower_is_better else "higher"
        print(f"judged by    {headline.name} on {headline.split}, {better} is better")
    try:
        picture = draw_curves(expdir)
    except OSError as error:  # the folder of another user
        picture = None
        print(f"curves       not drawn: {error}")
    if picture is not None:
        print(f"curves       {picture} (or: tensorboard --logdir {expdir})")
        print(f"numbers      {expdir / 'metrics.jsonl'}")
    print(f"checkpoints  {', '.join(str(path) for path in sorted(expdir.glob('*.ckpt')))}")


if __name__ == "__main__":
    sys.exit(main())
