"""The metrics of runs over their steps, as a figure: a panel per metric, splits told apart by line style.

Colours tell splits apart too where there is one run, and runs where there are several.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from s3prl.utility.pictures import COLOURS, LOOK, new_figure, save
from s3prl.utility.results import LEARNING_RATE, RUNNERS_OWN, Points, Run, names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILES = ("curves.png", "curves.pdf")
COLUMNS = 3  # panels side by side
TRAINING = {"linestyle": "-", "linewidth": 1.0, "marker": "", "zorder": 2}
DEVELOPMENT = (("-", "o"), ("-.", "^"), (":", "v"))  # line style, marker
TEST = (("--", "s"), (":", "D"), ("-.", "P"))
MARKERS = 15  # on a line, at most
MANY = 200  # points; a longer line shows the means of groups of points, and their range behind it
RATES = ("wer", "cer", "uer", "per", "eer", "der")  # error rates
WORDS = {"acc": "accuracy", LEARNING_RATE: "learning rate"}
DECADE = 10.0  # errors and losses that span more than this factor are drawn on a logarithmic axis


class _Line(NamedTuple):
    """What is drawn of one split of one run."""

    run: Run
    split: str
    colour: Any
    style: dict[str, Any]
    strength: float  # opacity: training sets of several runs stay in the background


def draw(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write `curves.png` and `curves.pdf` into a folder; an empty list when there is nothing to draw.

    Raises:
        OSError: the folder cannot be written.
    """
    if not _metrics(runs):
        return []
    import matplotlib

    paths = [folder / name for name in FILES]
    with matplotlib.rc_context(LOOK):
        save(figure(runs), paths)
    return paths


def figure(runs: Sequence[Run]) -> "Figure":
    """A panel for every metric, those that decide first; no display is needed."""
    metrics, lines = _metrics(runs), _lines(runs)
    columns = 2 if len(metrics) == 4 else min(COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    picture = new_figure(4.2 * columns, 2.9 * rows + 0.5)
    panels = list(picture.subplots(rows, columns, squeeze=False).flat)
    for panel, metric in zip(panels, metrics, strict=False):
        values: dict[str, list[float]] = {"training": [], "evaluation": []}
        for line in lines:
            points = line.run.curves.get(metric, {}).get(line.split)
            if points:
                _draw_line(panel, points, line)
                values["training" if line.style is TRAINING else "evaluation"] += points.values()
        _label_axes(panel, metric, values)
        _mark_best(panel, metric, lines, titled=len(runs) == 1)
    for panel in panels[len(metrics) :]:
        panel.remove()
    _legend(picture, runs, lines)
    return picture


def _metrics(runs: Sequence[Run]) -> list[str]:
    """What decides first, then the task's other metrics, the loss, the learning rate."""
    deciding = [run.best.metric.name for run in runs if run.best is not None]
    found = dict.fromkeys([*deciding, *(name for run in runs for name in run.curves)])
    last = ("loss", LEARNING_RATE)
    first = [name for name in found if name not in RUNNERS_OWN and name not in last]
    return first + [name for name in last if name in found]


def _lines(runs: Sequence[Run]) -> list[_Line]:
    splits = list(dict.fromkeys(split for run in runs for split in run.splits))
    training = set().union(*(run.training_splits for run in runs))
    styles = _styles(splits, training)
    colours = _colours(len(runs) if len(runs) > 1 else len(splits))
    return [
        _Line(
            run,
            split,
            colours[number if len(runs) > 1 else splits.index(split)],
            styles[split],
            0.5 if len(runs) > 1 and split in training else 1.0,
        )
        for number, run in enumerate(runs)
        for split in run.splits
    ]


def _styles(splits: Sequence[str], training: set[str]) -> dict[str, dict[str, Any]]:
    """A line style and marker for every split, so that they can be told apart without colours."""
    styles, tests, others = {}, 0, 0
    for split in splits:
        if split in training:
            styles[split] = TRAINING
            continue
        if split.startswith("test"):
            style, marker = TEST[tests % len(TEST)]
            tests += 1
        else:
            style, marker = DEVELOPMENT[others % len(DEVELOPMENT)]
            others += 1
        styles[split] = {"linestyle": style, "linewidth": 1.6, "marker": marker, "markersize": 4, "zorder": 3}
    return styles


def _colours(count: int) -> list[Any]:
    if count <= len(COLOURS):
        return list(COLOURS)
    import matplotlib

    return [matplotlib.colormaps["turbo"](number / (count - 1)) for number in range(count)]


def _draw_line(panel: "Axes", points: Points, line: _Line) -> None:
    steps = sorted(points)
    values = [points[step] for step in steps]
    size = _group_size(points)
    if size > 1:
        groups = [values[start : start + size] for start in range(0, len(values), size)]
        steps = [_mean(steps[start : start + size]) for start in range(0, len(steps), size)]
        panel.fill_between(
            steps, [min(group) for group in groups], [max(group) for group in groups],
            color=line.colour, alpha=0.2 * line.strength, linewidth=0, zorder=1,
        )  # fmt: skip
        values = [_mean(group) for group in groups]
    style = {**line.style, "marker": line.style["marker"] or ("." if len(steps) == 1 else "")}
    style["alpha"] = line.strength
    panel.plot(steps, values, color=line.colour, markevery=math.ceil(len(steps) / MARKERS), **style)


def _group_size(points: Points) -> int:
    """How many points of a line are drawn as one."""
    return math.ceil(len(points) / MANY)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _label_axes(panel: "Axes", metric: str, values: dict[str, list[float]]) -> None:
    """Names, units and ticks.

    Args:
        values: what the panel shows of "training" and "evaluation".
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    every = values["training"] + values["evaluation"]
    panel.set_xlabel("step (updates)")
    panel.set_ylabel(axis_label(metric, every))
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x / 1000:g}k" if abs(x) >= 10_000 else f"{x:g}")
    )
    panel.set_xlim(left=0)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    is_error = metric.rsplit("-", 1)[-1] in (*RATES, "loss")
    positive = [value for value in values["evaluation"] or every if value > 0]
    low, high = min(every), max(every)
    if is_error and positive and low >= 0 and high > DECADE * min(positive):
        linear = min(positive) / 5
        if low >= linear:
            panel.set_yscale("log")
            panel.set_ylim(low / 1.3, high * 1.3)
        else:  # linear far below the evaluations: a training set with hardly an error needs little space
            panel.set_yscale("symlog", linthresh=linear, linscale=0.3)
            panel.set_ylim(-linear / 4, high * 1.3)
        panel.yaxis.set_major_locator(FixedLocator(_ticks(linear, low, high)))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))  # forgotten with the old scale
    elif (is_error or metric == LEARNING_RATE) and low >= 0 < high:
        panel.set_ylim(0, 1.05 * high)  # from zero, lest noise looks like progress


def _ticks(linear: float, low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten; powers alone where there are many; and zero.

    Args:
        linear: below it, where there is anything, the axis is linear and reaches down to zero.
        low, high: what the axis shows.
    """
    begin = max(low, linear)
    leading = (1, 2, 5) if high / begin < DECADE**2.7 else (1,)
    powers = range(math.floor(math.log10(begin)), math.ceil(math.log10(high)) + 1)
    return [0.0] * (low < linear) + [
        number * 10.0**power for power in powers for number in leading if number * 10.0**power >= begin * 0.7
    ]


def axis_label(metric: str, values: Sequence[float]) -> str:
    """`WER (%)`, `accuracy`, ...: the name of a metric in words, with its unit where it has one."""
    *prefix, name = metric.split("-")
    if name not in RATES:
        return WORDS.get(metric, metric)
    percent = max(values) > 2  # else a fraction; above 1 is possible, by insertions
    return " ".join([*prefix, name]).upper() + (" (%)" if percent else "")


def _mark_best(panel: "Axes", metric: str, lines: Sequence[_Line], titled: bool) -> None:
    """A ring around the score that decided; for a single run also its value above and its step everywhere."""
    for line in lines:
        best = line.run.best
        if best is None or line.split != best.metric.split:
            continue
        if titled:
            panel.axvline(best.step, color="#808080", linestyle=":", linewidth=1, zorder=1)
        if metric != best.metric.name:
            continue
        panel.plot(
            [best.step], [best.score], linestyle="", marker="o", markersize=10, zorder=4,
            markerfacecolor="none", markeredgecolor=line.colour, markeredgewidth=1.4,
        )  # fmt: skip
        if titled:
            title = f"best on {line.split}: {best.score:.4g} at step {best.step}"
            panel.set_title(title, loc="right", fontsize="medium", color=line.colour)


def _legend(picture: "Figure", runs: Sequence[Run], lines: Sequence[_Line]) -> None:
    """One for all panels: the splits of one run; or the runs by colour, then the splits by line style."""
    from matplotlib.lines import Line2D

    several = len(runs) > 1
    styles = {line.split: line for line in lines}
    entries = [
        Line2D([], [], color="#606060" if several else line.colour, label=_label(line), **line.style)
        for line in styles.values()
    ]
    if several:
        colours = _colours(len(runs))
        entries = [
            Line2D([], [], color=colours[number], linewidth=3, label=name + _best_in_brackets(run))
            for number, (name, run) in enumerate(zip(names_of(runs), runs, strict=True))
        ] + entries
    else:
        picture.suptitle(names_of(runs)[0], fontsize="large")
    columns = min(len(entries), 2 if several else 6)
    picture.legend(handles=entries, loc="outside lower center", ncols=columns, fontsize="small")


def _label(line: _Line) -> str:
    size = max(_group_size(splits[line.split]) for splits in line.run.curves.values() if line.split in splits)
    return line.split + (f" (means of {size} logs, and their range)" if size > 1 else "")


def _best_in_brackets(run: Run) -> str:
    if run.best is None:
        return ""
    return f" (best {run.best.metric.name} {run.best.score:.4g} at step {run.best.step})"
