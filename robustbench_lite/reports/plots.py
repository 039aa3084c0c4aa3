"""Pictures for papers and slides: severity curves, accuracy against eps, trade-off, risk against coverage."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from robustbench_lite.comparison import check_ids
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.reports import plot_data
from robustbench_lite.reports.plot_data import KINDS, Wanted, everything
from robustbench_lite.reports.plot_drawing import draw, settings
from robustbench_lite.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")


def severity_figure(
    runs: Sequence[Run],
    wanted: Wanted = everything,
    *,
    size: tuple[float, float] | None = None,
    dark: bool = False,
) -> Figure:
    """Accuracy against severity: a panel per shift, a line per run.

    Args:
        runs: each a line.
        wanted: which conditions, by their spec.
        size: width and height in inches; None: what suits the number of panels.
        dark: light lines on a dark ground.

    Raises:
        InputError: the runs have nothing of the kind; the message says which command makes it.
    """
    return draw(plot_data.severity_plot(runs, wanted), size, dark)


def eps_figure(
    runs: Sequence[Run],
    wanted: Wanted = everything,
    *,
    size: tuple[float, float] | None = None,
    dark: bool = False,
) -> Figure:
    """Accuracy against eps. Arguments and errors as ``severity_figure``."""
    return draw(plot_data.eps_plot(runs, wanted), size, dark)


def tradeoff_figure(
    runs: Sequence[Run],
    wanted: Wanted | None = None,
    *,
    size: tuple[float, float] | None = None,
    dark: bool = False,
) -> Figure:
    """Accuracy under a condition against clean accuracy, a point per run; as ``severity_figure``.

    ``wanted`` None: all attacks with a budget.
    """
    return draw(plot_data.tradeoff_plot(runs, wanted), size, dark)


def risk_coverage_figure(
    runs: Sequence[Run],
    wanted: Wanted = everything,
    *,
    size: tuple[float, float] | None = None,
    dark: bool = False,
) -> Figure:
    """Errors among the images that are kept, against how many are kept; as ``severity_figure``."""
    return draw(plot_data.risk_coverage_plot(runs, wanted), size, dark)


_FIGURES: dict[str, Callable[..., Figure]] = {
    "severity": severity_figure,
    "eps": eps_figure,
    "tradeoff": tradeoff_figure,
    "risk-coverage": risk_coverage_figure,
}


def plot(
    runs: Sequence[Run],
    kind: str,
    wanted: Wanted | None = None,
    *,
    size: tuple[float, float] | None = None,
    dark: bool = False,
) -> Figure:
    """One picture of one or several runs.

    Args:
        runs: what is drawn.
        kind: ``severity``, ``eps``, ``tradeoff`` or ``risk-coverage``.
        wanted: which conditions, by their spec; None: all that are of the kind.
        size: width and height in inches; None: what suits the number of panels.
        dark: light lines on a dark ground.

    Returns:
        A figure of matplotlib, to be restyled or saved (``rendered``).

    Raises:
        InputError: no run, one run twice, an unknown kind, or runs that have nothing of it.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of plot", kind, KINDS)
    if not runs:
        raise InputError("a plot needs a run.", "Give a run folder.")
    check_ids(runs)
    chosen = {} if wanted is None else {"wanted": wanted}
    return _FIGURES[kind](runs, **chosen, size=size, dark=dark)


def rendered(figure: Figure, format_: str) -> bytes:
    """The file: the same bytes for the same numbers. Text is drawn as paths (SVG) or with its font (PDF)."""
    if format_ not in FORMATS:
        raise UnknownNameError("format", format_, FORMATS)
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "Producer": None}, "png": {"Software": None}}
    buffer = io.BytesIO()
    with settings():
        figure.savefig(
            buffer,
            format=format_,
            dpi=200,
            metadata=metadata[format_],
            facecolor=figure.get_facecolor(),
        )
    return buffer.getvalue()
