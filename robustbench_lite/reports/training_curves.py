"""The course of a training as a picture: loss, accuracies and learning rate by epoch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = dict[str, Any]  # of a checkpoint, or of a training that is under way

TRAIN, VALIDATION, ROBUST, SHIFT, GREY = (
    "#d95f02",
    "#1f5fa8",
    "#1b9e77",
    "#8654a8",
    "#666666",
)  # told apart in grey
_ACCURACIES = (
    ("train_accuracy", "training, as shown", TRAIN),
    ("val_accuracy", "validation", VALIDATION),
    ("robust_accuracy", "validation, attacked", ROBUST),
    ("shift_accuracy", "validation, shifted", SHIFT),
)
_DASHES = ((0, (1, 2)), (0, (4, 2)), (0, (7, 2, 1, 2)))  # of the simple methods


def training_curves(history: History) -> bytes:
    """A PNG: losses, accuracies beside those of simple methods, and the learning rate; the kept epoch is marked.

    Args:
        history: with one epoch or more; ``baselines`` may be empty.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure(figsize=(8, 8), layout="constrained")
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    _draw(loss, history, (("train_loss", "training, as shown", TRAIN), ("val_loss", "validation", VALIDATION)))
    loss.set_ylabel("loss, nats")
    losses = [epoch[name] for epoch in history["epochs"] for name in ("train_loss", "val_loss")]
    if max(losses) > 10 * min(losses) > 0:
        loss.set_yscale("log")
        loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        loss.set_ylim(0, 1.1 * max(losses) or 1)
    _draw(accuracy, history, _ACCURACIES)
    for one, dashes in zip(history["baselines"], _DASHES, strict=False):
        label = f"{one['name']}: {100 * one['accuracy']:.1f} %"
        accuracy.axhline(100 * one["accuracy"], color=GREY, linestyle=dashes, linewidth=1, label=label)
    accuracy.set_ylabel("accuracy, %")
    accuracy.set_ylim(0, 101)
    _draw(rate, history, (("lr", "learning rate", GREY),))
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    rate.set_xlabel("epoch")
    rate.set_xlim(0.5, len(history["epochs"]) + 0.5)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (loss, accuracy, rate):
        axes.axvline(history["best_epoch"], color=GREY, linewidth=0.8, alpha=0.6)
        axes.grid(alpha=0.25)
        if axes is not rate:
            axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    loss.set_title(f"epoch {history['best_epoch']} of {len(history['epochs'])} is kept", loc="left", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _draw(axes: Axes, history: History, series: tuple[tuple[str, str, str], ...]) -> None:
    """One line per series that the history has; a point per epoch, so that one epoch is seen as well."""
    epochs = history["epochs"]
    numbers = [epoch["epoch"] for epoch in epochs]
    marker = "o" if len(epochs) <= 40 else ""
    for name, label, color in series:
        values = [epoch[name] for epoch in epochs]
        if all(value is None for value in values):
            continue
        factor = 100 if name.endswith("accuracy") else 1
        heights = [float("nan") if value is None else factor * value for value in values]
        axes.plot(numbers, heights, color=color, marker=marker, markersize=3.5, linewidth=1.4, label=label)
