"""How a plot is drawn with matplotlib.

Colours are those of Okabe and Ito (Color Universal Design, 2008) that are dark enough, or light enough, for lines;
markers and line styles tell the lines apart in grey, too. Matplotlib's settings stay as they are.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from robustbench_lite.reports import plot_data
from robustbench_lite.reports.plot_data import Line, Panel, Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_STYLES = ("-", (0, (6, 2)), "-.", (0, (1.5, 1.5)))
_PANEL = (2.7, 2.15)  # inches, of one of many
_ALONE = (6.4, 4.0)


class _Theme(NamedTuple):
    paper: str
    ink: str
    quiet: str
    colours: tuple[str, ...]


_LIGHT = _Theme(
    "#ffffff", "#1b2026", "#56606b", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
)
_DARK = _Theme(
    "#14181d", "#e8ecf0", "#a3adb8", ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#ffffff")
)


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's own settings, whatever those of the user are, and ours; for as long as it lasts."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is drawn in its place
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "rb", "svg.fonttype": "path", "pdf.fonttype": 42, "font.size": 9})
        yield


def draw(plot: Plot, size: tuple[float, float] | None, dark: bool) -> Figure:
    """The figure: panels in a grid, a heading above and the legend below.

    Args:
        plot: what is drawn.
        size: width and height in inches; None: what suits the number of panels.
        dark: light lines on a dark ground.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme = _DARK if dark else _LIGHT
    columns = _columns(len(plot.panels))
    rows = math.ceil(len(plot.panels) / columns)
    with settings():
        wide, high = _ALONE if len(plot.panels) == 1 else (columns * _PANEL[0], rows * _PANEL[1])
        names = _names(plot)
        per_row = _per_row([name for name, _, _ in names], size[0] if size else wide)
        below = 0.2 * math.ceil(len(names) / per_row) if len(names) > 1 else 0.0
        figure = Figure(figsize=size or (wide, high + 0.6 + below), layout="constrained", facecolor=theme.paper)
        FigureCanvasAgg(figure)
        grid: Any = figure.subplots(rows, columns, squeeze=False, sharey=plot.kind != "tradeoff")
        places = list(grid.flat)
        for place, panel in zip(places, plot.panels, strict=False):
            _draw(place, plot, panel, theme, alone=len(plot.panels) == 1)
        for place in places[len(plot.panels) :]:
            place.remove()
        for i in range(len(plot.panels)):
            if i % columns == 0:
                places[i].set_ylabel(plot.y_label, color=theme.ink)
        _heading(figure, plot, theme)
        if len(names) > 1:
            _legend(figure, names, per_row, theme, points=plot.kind == "tradeoff")
        # What is laid out now stays where it is for whoever saves it.
        figure.canvas.draw()
    return figure


def _columns(panels: int) -> int:
    """Few enough for one look: 1, 2, 3 beside each other, then about as many as rows, and five at most."""
    return panels if panels <= 3 else min(5, math.ceil(math.sqrt(panels)))


def _heading(figure: Figure, plot: Plot, theme: _Theme) -> None:
    width = max(30, int(figure.get_figwidth() * 14))
    text = "\n".join([plot.title, *textwrap.wrap(plot.note, width)])
    figure.suptitle(text, x=0.01, ha="left", fontsize=9.5, color=theme.ink, parse_math=False)


def _draw(axes: Any, plot: Plot, panel: Panel, theme: _Theme, *, alone: bool) -> None:
    for line in panel.lines:
        (_point if line.x_low else _curve)(axes, line, theme)
    title = textwrap.wrap(plot_data.shortened(panel.title, 52), 52 if alone else 27)
    axes.set_title("\n".join(title), fontsize=9, color=theme.ink, parse_math=False)
    axes.set_xlabel(panel.x_label, color=theme.ink)
    axes.set_facecolor(theme.paper)
    _limits(axes, plot)
    axes.grid(alpha=0.25, color=theme.quiet, linewidth=0.6)
    axes.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelleft=True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.quiet)


def _limits(axes: Any, plot: Plot) -> None:
    """The range and the ticks of both axes; the same in all panels but those of a trade-off."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    per_cent = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
    axes.yaxis.set_major_formatter(per_cent)
    if plot.kind == "tradeoff":
        axes.margins(0.12)
        axes.set_xlim(right=min(1.03, axes.get_xlim()[1]))
        axes.set_ylim(top=min(1.03, axes.get_ylim()[1]))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(per_cent)
        return
    axes.set_ylim(0, 1.03 if plot.kind != "risk-coverage" else min(1.03, 1.15 * _highest(plot)))
    same = [line for panel in plot.panels if panel.x_label == axes.get_xlabel() for line in panel.lines]
    end = max(max(line.x) for line in same)
    axes.set_xlim(0, 1.02 * (max(5.0, end) if plot.kind == "severity" else end))
    if plot.kind == "risk-coverage":
        axes.xaxis.set_major_formatter(per_cent)
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    elif plot.kind == "severity" and end <= 5:
        axes.xaxis.set_major_locator(MultipleLocator(1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _highest(plot: Plot) -> float:
    """Of the curves, and of their bands where these are not of a handful of images."""
    lines = [line for panel in plot.panels for line in panel.lines]
    bands = [high for line in lines for x, high in zip(line.x, line.high, strict=True) if x >= 0.3]
    return max([0.02, *bands, *(y for line in lines for y in line.y)])


def _curve(axes: Any, line: Line, theme: _Theme) -> None:
    look = _look(line, theme)
    every = max(1, len(line.x) // 8)
    axes.fill_between(line.x, line.low, line.high, color=look["color"], alpha=0.15, linewidth=0)
    face = theme.paper if line.dashed else look["color"]
    axes.plot(line.x, line.y, **look, markersize=4.5, markevery=every, linewidth=1.5, mfc=face, clip_on=False)


def _point(axes: Any, line: Line, theme: _Theme) -> None:
    look = _look(line, theme)
    (x,), (y,) = line.x, line.y
    axes.errorbar(
        x,
        y,
        xerr=[[x - line.x_low[0]], [line.x_high[0] - x]],
        yerr=[[y - line.low[0]], [line.high[0] - y]],
        fmt=look["marker"],
        color=look["color"],
        markersize=7,
        capsize=2.5,
        linewidth=1.2,
    )


def _look(line: Line, theme: _Theme) -> dict[str, Any]:
    return {
        "color": theme.colours[line.look % len(theme.colours)],
        "marker": _MARKERS[line.look % len(_MARKERS)],
        "linestyle": "--" if line.dashed else _STYLES[line.look % len(_STYLES)],
    }


def _names(plot: Plot) -> list[tuple[str, int, Line]]:
    """Every label once, with a line that has it, in the order of the looks."""
    found = {line.label: line for panel in plot.panels for line in panel.lines}
    return sorted(((label, line.look, line) for label, line in found.items() if label), key=lambda one: one[1])


def _per_row(labels: list[str], width: float) -> int:
    """How many names stand beside each other: as fit, at fourteen letters an inch, in rows of equal length."""
    longest = max((len(plot_data.shortened(label, 60)) for label in labels), default=1)
    fitting = max(1, int(width / (longest / 14 + 0.7)))
    return math.ceil(len(labels) / math.ceil(len(labels) / fitting)) if labels else 1


def _legend(
    figure: Figure, names: list[tuple[str, int, Line]], columns: int, theme: _Theme, *, points: bool
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for _, _, line in names:
        look = {**_look(line, theme), **({"linestyle": "none"} if points else {})}
        face = theme.paper if line.dashed else look["color"]
        handles.append(Line2D([], [], **look, markersize=5, mfc=face))
    # A name that begins with an underscore would be left out.
    labels = [" " * label.startswith("_") + plot_data.shortened(label, 60) for label, _, _ in names]
    legend = figure.legend(
        handles, labels, loc="outside lower left", ncols=columns, frameon=False, labelcolor=theme.ink
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
