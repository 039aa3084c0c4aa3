"""What robustness costs, as a table for the terminal and as a picture. From the document of a comparison."""

from __future__ import annotations

import io
import math
from typing import Any

from rich.table import Table
from rich.text import Text

from robustbench_lite.reports.words import number, percent
from robustbench_lite.specs import format_value

Row = dict[str, Any]  # an entry of ``recipes``

# Okabe and Ito's colours that are dark enough for lines, told apart also by those who see few; and by the shape.
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "osD^vP*X"


def threat_model(document: dict[str, Any]) -> str:
    """What robust accuracy is measured under."""
    size = "the smallest change" if document["eps"] is None else f"eps {format_value(float(document['eps']))}"
    return f"{document['norm']}, {size}, under {document['attack']}"


def tradeoff_table(document: dict[str, Any]) -> Table:
    """A row per recipe, each number above its 95 % interval. Recipes that failed say why."""
    rows: list[Row] = document["recipes"]
    unfinished = "" if document["status"] == "done" else f" ({document['status']}: not all was done)"
    n = next((row["n"] for row in rows if row["n"]), 0)
    table = Table(
        title=Text(
            f"{document['architecture']} on {document['data']}, {document['split']} split, n = {n}{unfinished}"
        ),
        caption=Text(
            f"threat model: {threat_model(document)}; robust accuracy is an upper bound: a stronger attack\n"
            "may find more. Under each number its 95 % interval; gain: points above standard, same images;\n"
            "training: multiple of standard by the clock, and by CPU time"
        ),
        title_justify="left",
        caption_justify="left",
        show_lines=True,
    )
    table.add_column("recipe", overflow="fold")
    for name in ("clean", "gain", "robust", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst shift", overflow="fold")
    table.add_column("training", justify="right", no_wrap=True)
    for row in rows:
        cells = (
            [
                _share(row, "clean"),
                _gain(row, "clean"),
                _share(row, "robust"),
                _gain(row, "robust"),
                f"{row['worst_shift']}\n{_share(row, 'worst_shift', ', ')}",
            ]
            if row["status"] == "done"
            else ["–", "", "–", "", f"{row['status']}: {row['reason']}"]
        )
        table.add_row(*map(Text, (row["recipe"], *cells, _training(row))))
    return table


def plan_table(plan: dict[str, Any]) -> Table:
    """What a comparison would train and judge."""
    table = Table(
        title=Text(
            f"{plan['to_train']} trainings of at most {plan['epochs']} epochs on {plan['train_images']} images of "
            f"{plan['data']}, then each network on {plan['n']} images of {plan['split']}"
        ),
        caption=Text(
            "forward passes and gradients: at most, of the images of all networks together; an attack spends them "
            "only on images that are still right"
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("what", overflow="fold")
    table.add_column("of what", overflow="fold")
    table.add_column("forward passes", justify="right")
    table.add_column("gradients", justify="right")
    for entry in plan["recipes"]:
        table.add_row(*map(Text, (f"{entry['state']}: {entry['recipe']}", entry["learns_from"], "", "")))
    for entry in plan["judging"]:
        counts = (f"{entry['forwards']:,}", f"{entry['gradients']:,}")
        table.add_row(*map(Text, ("judge", entry["condition"], *counts)))
    return table


def picture(document: dict[str, Any]) -> bytes:
    """A PNG: robust against clean accuracy, a point per recipe, with 95 % intervals and the time as a multiple."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes: Any = figure.subplots()
    for i, row in enumerate(document["recipes"]):
        if row["status"] != "done":
            continue
        x, y = row["clean_accuracy"], row["robust_accuracy"]
        times = f", {cost}" if (cost := _cost(document, row)) else ""
        axes.errorbar(
            *(x, y),
            xerr=[[x - row["clean_ci_low"]], [row["clean_ci_high"] - x]],
            yerr=[[y - row["robust_ci_low"]], [row["robust_ci_high"] - y]],
            fmt=_MARKERS[i % len(_MARKERS)],
            color=_COLOURS[i % len(_COLOURS)],
            markersize=9,
            capsize=3,
            linewidth=1.2,
            label=f"{row['recipe']}{times}",
        )
    axes.set_xlabel("clean accuracy")
    axes.set_ylabel(f"robust accuracy\n{threat_model(document)}")
    n = next((row["n"] for row in document["recipes"] if row["n"]), 0)
    axes.set_title(
        f"{document['architecture']} on {document['data']}, {document['split']} split, n = {n}; 95 % intervals",
        loc="left",
        fontsize=10,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def told(document: dict[str, Any]) -> list[str]:
    """What each recipe gains and costs, in a sentence, where its interval does not hold 0."""
    sentences = []
    for row in document["recipes"]:
        if row["clean_gain"] is None or row["robust_gain"] is None:
            continue
        parts = [
            f"{kind} accuracy {_points(row[f'{kind}_gain'])} points"
            if row[f"{kind}_gain_low"] > 0 or row[f"{kind}_gain_high"] < 0
            else f"no difference in {kind} accuracy that n = {row['n']} could show"
            for kind in ("robust", "clean")
        ]
        times = [cost] if (cost := _cost(document, row)) else []
        sentences.append(f"{row['recipe']} against standard: {', '.join([*parts, *times])}.")
    return sentences


def _share(row: Row, kind: str, between: str = "\n") -> str:
    low, high = (100 * row[f"{kind}_{end}"] for end in ("ci_low", "ci_high"))
    return f"{percent(row[f'{kind}_accuracy'])}{between}{low:.1f} – {high:.1f}"


def _gain(row: Row, kind: str) -> str:
    if row[f"{kind}_gain"] is None:
        return ""
    low, high = row[f"{kind}_gain_low"], row[f"{kind}_gain_high"]
    return f"{_points(row[f'{kind}_gain'])}\n{_points(low)} to {_points(high)}"


def _training(row: Row) -> str:
    if row["seconds"] is None:
        return ""
    if row["times"] is None:
        return f"{number(row['seconds'])} s"
    cpu = "" if row["cpu_times"] is None else f" ({_times(row['cpu_times'])} CPU)"
    return f"{_times(row['times'])}{cpu}\n{row['seconds']:.{1 if row['seconds'] < 100 else 0}f} s"


def _cost(document: dict[str, Any], row: Row) -> str:
    """The multiple that can be relied on: other programs slow the clock of a CPU, and a GPU takes no CPU time."""
    kind, times = ("CPU time", row["cpu_times"]) if document["device"] == "cpu" else ("time", row["times"])
    return "" if times is None else f"{_times(times)} the {kind}"


def _times(value: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0  # two that say something
    return f"{value:.{digits}f} ×"


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0:+.1f}".replace("-", "−")  # + 0: no minus before 0.0
