"""The loss over the learning rate, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

RAW, SMOOTH, MARK = "#9db8d6", "#1f5fa8", "#d95f02"


def lr_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None
) -> bytes:
    """A PNG: the loss of each step, and smoothed, over the learning rate; the suggested rate is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=RAW, linewidth=0.9, label="each step")
    axes.plot(rates, smoothed, color=SMOOTH, linewidth=1.8, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=MARK, linestyle="--", label=f"suggested: {suggestion:.2g}")
    axes.set_xscale("log")
    if smoothed:
        highest = max(smoothed[: len(smoothed) // 2 + 1])
        axes.set_ylim(min(0.0, *smoothed), 1.6 * highest)  # what explodes would flatten the rest
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
