"""The weights of the layers that a downstream task has learned, as a table and a bar plot.

    python -m s3prl.utility.visualize_weight --ckpt result/downstream/my_run/dev-best.ckpt
    python -m s3prl.utility.visualize_weight --ckpt a/dev-best.ckpt b/dev-best.ckpt --name hubert wavlm

`weight` is what was learned, `norm` the softmax of it: the factor of the layer in the weighted sum. Layers
are numbered from 0, as -l counts them. A layer of large values may matter more than its factor says, unless
the run had --upstream_feature_normalize. The plot is visualize_weight.png and .pdf, beside the checkpoint, or
for several checkpoints in the folder above all of them.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from s3prl.utility import pictures, safe_load
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.results import aligned
from s3prl.utility.weights import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

FILES = ("visualize_weight.png", "visualize_weight.pdf")
FEATURIZER = "Featurizer"


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and draw the bars."""
    parser = command_parser("weights", __doc__)
    add = parser.add_argument
    add("--ckpt", type=Path, nargs="+", required=True, metavar="FILE", help="checkpoints of downstream runs")
    add("--name", nargs="+", metavar="NAME", help="of every checkpoint, for the plot (default: its path)")
    add("--out_dir", type=Path, metavar="FOLDER", help="where the plot goes")
    add("--trust_checkpoint", action="store_true", help="also run the code that a full pickle holds")
    options = parser.parse_args(argv)
    names = names_of(options.ckpt, options.name)
    weights = {
        name: layer_weights(path, options.trust_checkpoint)
        for name, path in zip(names, options.ckpt, strict=True)
    }
    print(table(weights))
    folder = options.out_dir or _common_folder(options.ckpt)
    paths = [folder / name for name in FILES]
    pictures.save(figure(weights), paths)
    print(f"\nplot  {', '.join(map(str, paths))}")


def layer_weights(path: Path, trust: bool = False) -> "Tensor":
    """What a downstream run has learned for every layer, before the softmax: float32 [layers].

    Args:
        trust: also run the code of a full pickle.

    Raises:
        UserError: the file cannot be read, is no checkpoint of a downstream run, mixes no layers, or its
            weights are NaN.
    """
    if path.is_dir():
        found = sorted(str(one) for one in path.glob("*.ckpt"))
        hint = f" It has: {', '.join(found)}." if found else ""
        raise UserError(f"--ckpt {path} is a folder. Name a checkpoint in it.{hint}")
    state = safe_load.load(path, trust)
    if FEATURIZER not in state and "Downstream" not in state:
        raise UserError(
            f"{path} is no checkpoint of a downstream run: it has no '{FEATURIZER}', but {listed(state)}."
        )
    featurizer = state.get(FEATURIZER)
    weights = featurizer.get("weights") if isinstance(featurizer, Mapping) else None
    if not hasattr(weights, "isfinite"):  # no tensor
        raise UserError(
            f"{path} has learned no weights of layers: its task was given one layer only, because the "
            "upstream has no more or because -s or -l chose one. Train with neither to learn a weighted sum."
        )
    if not weights.isfinite().all():
        raise UserError(f"The layer weights in {path} are NaN or infinite: its training has diverged.")
    return weights.detach().float()


def names_of(paths: Sequence[Path], given: Sequence[str] | None) -> list[str]:
    """A name for every checkpoint: those given, or the parts of their paths that differ.

    Raises:
        UserError: not as many names as checkpoints, or the same name twice.
    """
    if given is None:
        if len(paths) == 1:
            return [paths[0].name]
        common = _common_folder(paths).resolve()
        given = [str(path.resolve().relative_to(common)) for path in paths]
    if len(given) != len(paths) or len(set(given)) != len(given):
        raise UserError(f"--name needs {len(paths)} different names, one for each --ckpt: {' '.join(given)}.")
    return list(given)


def table(weights: Mapping[str, "Tensor"]) -> str:
    """A row for every layer, two columns for every checkpoint: what was learned, and its softmax."""
    columns = [["layer", *map(str, range(max(map(len, weights.values()))))]]
    for name, learned in weights.items():
        label = f"{name}: " if len(weights) > 1 else ""
        for title, values in (("weight", learned), ("norm", learned.softmax(-1))):
            texts = [f"{value:.4f}" for value in values.tolist()]
            columns.append([f"{label}{title}", *texts, *[""] * (len(columns[0]) - 1 - len(texts))])
    return aligned(list(zip(*columns, strict=True)), 0)


def figure(weights: Mapping[str, "Tensor"]) -> "Figure":
    """Bars of the softmax of the weights [layers], those of several checkpoints side by side."""
    import matplotlib

    layers = max(map(len, weights.values()))
    width = 0.8 / len(weights)
    with matplotlib.rc_context(pictures.LOOK):
        colours = matplotlib.colormaps["turbo"]
        picture = pictures.new_figure(min(max(5.0, 0.16 * layers * (len(weights) + 1)), 16.0), 3.2)
        panel = picture.subplots()
        for number, (name, learned) in enumerate(weights.items()):
            few = len(weights) <= len(pictures.COLOURS)
            panel.bar(
                [layer + (number - (len(weights) - 1) / 2) * width for layer in range(len(learned))],
                learned.softmax(-1).tolist(),
                width,
                color=pictures.COLOURS[number] if few else colours(number / (len(weights) - 1)),
                label=name,
            )
        panel.set_xticks(range(layers))
        panel.grid(axis="x", visible=False)
        panel.set_xlabel("layer (from the input to the last)")
        panel.set_ylabel("softmax of the weights")
        pictures.add_legend(picture, panel.containers, list(weights), columns=2)
    return picture


def _common_folder(paths: Sequence[Path]) -> Path:
    if len(paths) == 1:
        return paths[0].parent
    return Path(os.path.commonpath([path.resolve().parent for path in paths]))


if __name__ == "__main__":
    sys.exit(main())
