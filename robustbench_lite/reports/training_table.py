"""What a training came to, for the terminal: the network beside simple methods, and what is said of it."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from robustbench_lite.intervals import wilson

History = dict[str, Any]  # of a checkpoint


def training_table(history: History) -> Table:
    """Accuracy on the validation images with its 95 % interval: of the network, then of simple methods."""
    best = history["epochs"][history["best_epoch"] - 1]
    table = Table(title=Text("On the validation images"), title_justify="left")
    table.add_column("")
    for name in ("accuracy", "95 % interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("learnt from")
    for name, learnt_from, found in _rows(history, best):
        table.add_row(
            name,
            f"{100 * found['accuracy']:.1f} %",
            f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}",
            f"{found['n']}",
            learnt_from,
        )
    return table


def _rows(history: History, best: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    network = f"network, epoch {history['best_epoch']}"
    rows = [(network, f"{history['train_images']:,} images", history["validation"])]
    for key, name in (("robust_accuracy", "attacked"), ("shift_accuracy", "shifted")):
        if best[key] is not None:
            rows.append((f"{network}, {name}", "", share(best[key], history["val_images"])))
    return rows + [(one["name"], one["learnt_from"], one) for one in history["baselines"]]


def share(accuracy: float, n: int) -> dict[str, Any]:
    """An accuracy on n images with Wilson's interval."""
    interval = wilson(round(accuracy * n), n)
    return {"accuracy": accuracy, "n": n, "ci_low": interval.low, "ci_high": interval.high}
