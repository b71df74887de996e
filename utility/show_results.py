"""The metrics of runs as a table, and their curves in curves.png and curves.pdf; also while they train.

python -m s3prl.utility.show_results result/downstream/my_run
python -m s3prl.utility.show_results result/downstream                 # every run below, in one picture
python -m s3prl.utility.show_results run_a run_b --output comparison
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from s3prl.utility import results, sweeps
from s3prl.utility.arguments import command_parser
from s3prl.utility.commands import tensorboard_command
from s3prl.utility.errors import command, first_line


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of the runs and draw their curves."""
    parser = command_parser("results", __doc__)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="a run's folder, or one above several runs"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER",
        help="where the pictures go (default: the folder of the run, or the one above all of the runs)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    runs = [results.read_run(folder) for folder in results.find_runs(options.folders)]
    print(f"{results.table(runs)}\n")
    for name, run in zip(results.names_of(runs), runs, strict=True):
        label = f"{name}: " if len(runs) > 1 else ""
        print(f"decided by   {label}{results.decision(run)}")
    for parent in dict.fromkeys(run.folder.parent for run in runs):
        shown = {run.folder.name for run in runs if run.folder.parent == parent}
        heads = [sweeps.folder_of(parent, rate) for rate in sweeps.heads_in(parent)]
        heads = [sweeps.head_of(folder) for folder in heads if folder.name in shown]
        if len(heads) > 1:
            print(f"\nsweep        {parent}\n{sweeps.table(heads)}\n")
    print(f"curves       {_draw(runs, options.output)}")
    if len(runs) == 1:
        folder = runs[0].folder
        if runs[0].curves:
            print(f"numbers      {folder / results.JSONL}{_tensorboard(folder)}")
        print(f"checkpoints  {', '.join(map(str, sorted(folder.glob('*.ckpt')))) or 'none'}")


def _draw(runs: Sequence[results.Run], output: Path | None) -> str:
    """Draw the curves; says where they are, or why there are none: the table is there all the same."""
    folder = output or _common_folder([run.folder for run in runs])
    try:
        from s3prl.utility import curves  # only here: Matplotlib takes its time to load

        folder.mkdir(parents=True, exist_ok=True)
        paths = curves.draw(runs, folder)
    except (OSError, ImportError) as error:
        return f"not drawn ({first_line(error)}). Choose a folder for them with --output."
    return ", ".join(map(str, paths)) or f"nothing to draw yet: no {results.JSONL} has a complete line"


def _common_folder(folders: Sequence[Path]) -> Path:
    return folders[0] if len(folders) == 1 else Path(os.path.commonpath([path.parent for path in folders]))


def _tensorboard(folder: Path) -> str:
    shown = tensorboard_command(folder)
    return f" (or: {shown})" if shown else ""


if __name__ == "__main__":
    sys.exit(main())
