"""What a training came to, for the terminal: the network beside simple methods, and what is said of it."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

History = dict[str, Any]  # of a checkpoint


def training_table(history: History) -> Table:
    """Accuracy on the validation images with its 95 % interval: of the network, then of simple methods."""
    table = Table(title=Text("On the validation images"), title_justify="left")
    table.add_column("")
    for name in ("accuracy", "95 % interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("learnt from")
    for name, learnt_from, found in _rows(history):
        table.add_row(
            name,
            f"{100 * found['accuracy']:.1f} %",
            f"{100 * found['ci_low']:.1f} to {100 * found['ci_high']:.1f}",
            f"{found['n']}",
            learnt_from,
        )
    return table


def _rows(history: History) -> list[tuple[str, str, dict[str, Any]]]:
    network = f"network, epoch {history['best_epoch']}"
    images = f"{history['train_images']:,} images"
    shares = {network: "validation", f"{network}, attacked": "validation_attacked"}
    shares[f"{network}, shifted"] = "validation_shifted"
    rows = [(words, images, history[name]) for words, name in shares.items() if history[name] is not None]
    return rows + [(one["name"], one["learnt_from"], one) for one in history["baselines"]]
