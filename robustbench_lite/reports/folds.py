"""What a network comes to over folds, for the terminal. From the document of a protocol."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

Document = dict[str, Any]

_MOST_CLASSES = 12
_PER_FOLD = ("accuracy", "worst_class_accuracy", "robust_accuracy", "shift_accuracy", "majority_class")
_SHARES = {*_PER_FOLD, "nearest_neighbour", "logistic_regression"}  # the others are no percentages


def sides_table(document: Document) -> Table:
    """How many images of which class every fold learns from, chooses by, and holds out."""
    classes = list(document["sides"][0]["classes"])
    shown = classes if len(classes) <= _MOST_CLASSES else []
    table = Table(
        title=_title(document), title_justify="left", caption=_trainings(document), caption_justify="left"
    )
    table.add_column("fold", justify="right")
    table.add_column("side")
    for name in ("images", *shown, *([] if shown else ["fewest per class"])):
        table.add_column(Text(name), justify="right")
    for side in document["sides"]:
        counts = side["classes"]
        few = [] if shown else [str(min(counts.values()))]
        table.add_row(
            str(side["fold"]),
            side["side"].replace("_", " "),
            str(side["n"]),
            *(str(counts[name]) for name in shown),
            *few,
            end_section=side["side"] == "held_out",
        )
    return table


def folds_table(document: Document) -> Table:
    """A row per fold: images on each side, and the measures on those held out."""
    rows = document["folds"]
    shown = [name for name in _PER_FOLD if any(row[name] is not None for row in rows)]
    table = Table(title=_title(document), title_justify="left")
    for name in ("fold", "learns from", "chooses by", "held out", "epoch", *map(_words, shown)):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (row["fold"], row["train"], row["val"], row["held_out"], f"{row['best_epoch']} of {row['epochs']}")
        table.add_row(*map(str, cells), *(_value(name, row[name]) for name in shown))
    return table


def summary_table(document: Document) -> Table:
    """A row per measure: mean, spread, and interval."""
    several = len(document["folds"]) > 1
    with_interval = any(row["ci_low"] is not None for row in document["summary"])
    table = Table(title=Text("Over the folds"), title_justify="left", caption=_caption(document, with_interval))
    table.caption_justify = "left"
    table.add_column("measure")
    columns = ("mean", *(("std", "min to max") if several else ()), *(["95 % interval"] if with_interval else ()))
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in document["summary"]:
        name = row["measure"]
        cells = [_value(name, row["mean"])]
        if several:
            cells += [_value(name, row["std"]), f"{_value(name, row['min'])} to {_value(name, row['max'])}"]
        if with_interval:
            ends = f"{_value(name, row['ci_low'])} to {_value(name, row['ci_high'])}"
            cells.append("" if row["ci_low"] is None else ends)
        table.add_row(_words(name), *cells)
    return table


def pooled_words(document: Document) -> str:
    """The accuracy over all images held out."""
    found = document["pooled"]
    units = "groups" if document["groups"] is not None else "images"
    times = "" if found["predictions"] == found["n"] else f" ({found['predictions']} predictions)"
    return (
        f"All {found['n']} images held out{times} together: {100 * found['accuracy']:.1f} % right, "
        f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f} % (95 %, {units} as units)."
    )


def _caption(document: Document, with_interval: bool) -> Text:
    told = []
    if document["attack"] is not None:
        told.append(
            f"robust: {document['norm']}, under {document['attack']}; an upper bound: others may find more"
        )
    if with_interval:
        told.append("interval: corrected resampled t (Nadeau & Bengio 2003); folds share what they learn from")
    elif document["protocol"].startswith("time"):
        told.append("no interval: later folds learn from more, and the world may have changed")
    return Text("\n".join(told))


def _title(document: Document) -> Text:
    unfinished = "" if document.get("status", "done") == "done" else " (interrupted: not all was done)"
    images = f"{document['n']} images ({document['split']})"
    return Text(f"{document['protocol']}: {document['architecture']} on {document['data']}, {images}{unfinished}")


def _trainings(document: Document) -> Text:
    return Text(f"{document['trainings']} trainings of at most {document['epochs']} epochs")


def _words(name: str) -> str:
    if name in ("ece", "brier"):
        return name.upper() if name == "ece" else "Brier"
    return name.removesuffix("_accuracy").replace("_", " ")


def _value(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if name in _SHARES else f"{value:.3f}"
