"""Pictures of recordings: the log mel spectrogram, and below it the hidden states of layers, aligned in time.

    python -m s3prl.upstream.visualize -u hubert --input speech.wav --output pictures
    python -m s3prl.upstream.visualize -u tera -l 0,2,3 --similarity --input recordings --output pictures

A PNG for every recording. Time is in seconds, by the stride of the upstream. Without -l the first, the middle
and the last layer are drawn. --similarity adds for every layer how alike its frames are: their cosine, every
frame against every other. Of long recordings the first 20 seconds are used; --seconds changes that.
Recordings that cannot be used are named at the end, and the exit code is then 1.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from s3prl.utility import pictures
from s3prl.utility.arguments import command_parser
from s3prl.utility.audio import load
from s3prl.utility.errors import UserError, command
from s3prl.utility.progress import followed

from .interfaces import SAMPLE_RATE
from .tools.hidden import LOG_MEL_STRIDE, Insight, add_insight_options, insight, log_mel, unusable
from .tools.recordings import find_recordings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

DECIBELS = 4.342944819  # of a natural logarithm of a power: 10 / ln(10)
RANGE = 80.0  # dB that the spectrogram shows
OUTLIERS = 0.01  # part of the values of a layer that may lie outside its colours
MOST_FRAMES = 10_000  # of which every pair is compared


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Draw every recording; 1 when one could not be used."""
    parser = command_parser("visualize", __doc__)
    add = parser.add_argument
    add_insight_options(parser)
    add("--output", type=Path, required=True, metavar="FOLDER", help="where the pictures go")
    add("--similarity", action="store_true", help="also draw the self-similarity of every layer")
    add("--seconds", type=float, default=20.0, help="of a recording that are used (default: 20)")
    options = parser.parse_args(argv)
    if not 0 < options.seconds < math.inf:
        parser.error("--seconds must be positive and finite")
    recordings = find_recordings(options.input)
    seen, failed = insight(options), []
    longest = MOST_FRAMES * seen.stride / SAMPLE_RATE
    if options.similarity and options.seconds > longest:
        raise UserError(
            f"--similarity compares every frame with every other: --seconds may be {longest:g} at most here."
        )
    for name, path in followed(recordings.items(), len(recordings), "drawing", "recordings"):
        try:
            wav = load(path, stop=options.seconds)
            spectrogram, states = log_mel(wav), seen.states(wav)
        except UserError as error:
            failed.append(unusable(path, error))
            continue
        layers, states = shown(seen, states)
        picture = figure(name, spectrogram, states, layers, seen.stride, options.similarity)
        pictures.save(picture, [options.output / f"{name}.png"])
    print(f"{len(recordings) - len(failed)} picture(s) in {options.output}, {len(failed)} failed")
    for message in failed:
        print(f"failed: {message}", file=sys.stderr)
    return int(bool(failed))


def shown(seen: Insight, states: Tensor) -> tuple[list[int], Tensor]:
    """The layers to draw and their states: those of -l, else the first, the middle and the last one.

    Args:
        states: [layers, frames, dim] of those of -l, else of all.
    """
    if seen.layers is not None:
        return seen.layers, states
    layers = sorted({0, len(states) // 2, len(states) - 1})
    return layers, states[layers]


def similarity(states: Tensor) -> Tensor:
    """The cosine of every two frames: [frames, dim] -> [frames, frames]; 0 for a frame of zeros."""
    directions = F.normalize(states, dim=-1)
    return directions @ directions.T


def figure(
    title: str, spectrogram: Tensor, states: Tensor, layers: Sequence[int], stride: int, similar: bool = False
) -> "Figure":
    """The spectrogram, and a row for every layer below it; time in seconds, the same in all.

    Args:
        spectrogram: natural logarithms [frames, bands], a frame every LOG_MEL_STRIDE samples.
        states: [layers, frames, dim], a frame every `stride` samples.
        layers: their numbers.
        similar: draw the self-similarity of every layer beside it.
    """
    import matplotlib

    rows = 1 + len(layers)
    with matplotlib.rc_context({**pictures.LOOK, "axes.grid": False}):
        picture = pictures.new_figure(11.5 if similar else 8.0, 1.9 * rows + 0.4)
        grid = picture.add_gridspec(rows, 2 if similar else 1, width_ratios=[3, 1] if similar else None)
        top = picture.add_subplot(grid[0, 0])
        levels = DECIBELS * spectrogram
        image = _draw(top, levels.T, LOG_MEL_STRIDE, cmap="magma", vmax=float(levels.max()))
        image.set_clim(vmin=float(levels.max()) - RANGE)
        picture.colorbar(image, ax=top, label="dB", pad=0.01)
        top.set_ylabel("mel band")
        top.set_title(title, loc="left", fontsize="medium")
        panels = [top]
        for row, (layer, values) in enumerate(zip(layers, states, strict=True), start=1):
            panel = picture.add_subplot(grid[row, 0], sharex=top)
            limit = max(float(values.abs().flatten().kthvalue(_rank(values)).values), 1e-12)
            image = _draw(panel, values.T, stride, cmap="RdBu_r", vmin=-limit, vmax=limit)
            picture.colorbar(image, ax=panel, pad=0.01)
            panel.set_ylabel(f"layer {layer}\ndimension")
            panels.append(panel)
            if similar:
                _draw_similarity(picture, picture.add_subplot(grid[row, 1]), values, stride)
        for panel in panels[:-1]:
            panel.tick_params(labelbottom=False)
        panels[-1].set_xlabel("time (s)")
        ends = (len(spectrogram) * LOG_MEL_STRIDE, states.size(1) * stride)
        top.set_xlim(0, max(ends) / SAMPLE_RATE)
    return picture


def _draw(panel: "Axes", values: Tensor, stride: int, **colours: object) -> "AxesImage":
    """[rows, frames] from 0 to the end of the last frame, in seconds."""
    height, frames = values.shape
    extent = (0.0, frames * stride / SAMPLE_RATE, 0.0, float(height))
    return panel.imshow(values.numpy(), aspect="auto", origin="lower", extent=extent, **colours)


def _draw_similarity(picture: "Figure", panel: "Axes", values: Tensor, stride: int) -> None:
    end = len(values) * stride / SAMPLE_RATE
    image = panel.imshow(
        similarity(values).numpy(), aspect="equal", origin="lower", extent=(0.0, end, 0.0, end), vmax=1.0
    )
    picture.colorbar(image, ax=panel, label="cosine")
    panel.set_xlabel("time (s)")
    panel.set_ylabel("time (s)")


def _rank(values: Tensor) -> int:
    """The rank of the absolute value up to which colours reach."""
    return max(round((1 - OUTLIERS) * values.numel()), 1)


if __name__ == "__main__":
    sys.exit(main())
