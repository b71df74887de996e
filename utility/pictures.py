"""Figures without a display, written atomically as PNG or PDF, in one look for all commands."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s3prl.utility.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
LOOK = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.6, "axes.edgecolor": "#808080", "axes.axisbelow": True,
    "legend.frameon": False, "pdf.fonttype": 42,
    "text.parse_math": False,  # names of files and folders may have a $
}  # fmt: skip
DOTS = 150  # per inch


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, sizes in inches; draw on it inside of `matplotlib.rc_context(LOOK)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    return picture


def add_legend(picture: "Figure", handles: Sequence["Artist"], names: Sequence[str], columns: int) -> None:
    """Names below the panels; a name may begin with `_`, which Matplotlib by itself would leave out."""
    picture.legend(list(handles), list(names), loc="outside lower center", ncols=columns, fontsize="small")


def save(picture: "Figure", paths: Sequence[Path]) -> None:
    """Write a figure to files, whose suffixes (`.png`, `.pdf`) say the format; folders are made.

    Raises:
        OSError: a file cannot be written.
    """
    import matplotlib

    for path in paths:
        content = io.BytesIO()
        with matplotlib.rc_context(LOOK):
            picture.savefig(content, format=path.suffix[1:], dpi=DOTS)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file, content=content: file.write(content.getvalue()))
