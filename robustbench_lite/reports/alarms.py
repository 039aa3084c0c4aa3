"""What an outlier detector promised and kept, and how its scores lie: for section 7 of the page."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.intervals import proportion_interval
from robustbench_lite.records import GuardRecord
from robustbench_lite.reports.budgets import round_step
from robustbench_lite.reports.severity import BOTTOM, LEFT, RIGHT, TOP
from robustbench_lite.reports.view import View
from robustbench_lite.reports.words import number, percent

BINS = 30

Scores = npt.NDArray[np.float64]


class Promise(NamedTuple):
    """The share of false alarms: promised, realised on the unchanged images, and what to think of it."""

    promised: str
    realised: str
    n: int
    outcome: str


class Histogram(NamedTuple):
    """Two groups of scores, each as shares of its own, in one drawing."""

    title: str
    solid_name: str
    dashed_name: str
    solid: str  # corners, as SVG writes them
    dashed: str
    threshold: float  # x
    xs: list[tuple[float, str]]
    ys: list[tuple[float, str]]
    summary: str


def promise(view: View) -> Promise | None:
    """Whether the detector flags as few of the unchanged images as it promised; None without such images."""
    found = view.record.detector
    clean = [c.spec for c in view.record.conditions if c.kind == "clean"]
    rows = view.run.rows(["flagged", "group", "outlier"], clean)
    rows = rows[rows["outlier"].notna()]
    if found is None or not len(rows):
        return None
    flagged = rows["flagged"].to_numpy()
    groups = None if view.record.data.n_groups is None else rows["group"].to_numpy()
    low, high = proportion_interval(flagged, groups)
    share = float(flagged.mean())
    realised = f"{percent(share)} ({percent(low)} to {percent(high)})"
    return Promise(percent(found.false_alarms_promised), realised, len(rows), _outcome(found, low, high))


def _outcome(found: GuardRecord, low: float, high: float) -> str:
    promised = percent(found.false_alarms_promised)
    if low > found.false_alarms_promised_high:
        return (
            f"The promise was not kept: more than {promised} of the unchanged images are flagged, by more than "
            "the calibration on few images explains. They are unlike those that it was calibrated with, or other."
        )
    if low > found.false_alarms_promised:
        return (
            f"More than the {promised} that were promised, but no more than a calibration on "
            f"{found.n_calibrated} images may be off by."
        )
    if high < found.false_alarms_promised:
        return f"The promise was kept: fewer than {promised} of the unchanged images are flagged."
    return f"The promise is not refuted: what was seen is compatible with {promised}."


def histograms(view: View) -> list[Histogram]:
    """Scores of unchanged against changed images, and of wrong against right predictions."""
    found = view.record.detector
    usual = [c.spec for c in view.usual.record.conditions]
    rows = view.run.rows(["kind", "correct", "outlier"], usual)
    rows = rows[rows["outlier"].notna()]
    if found is None or not len(rows):
        return []
    scores = rows["outlier"].to_numpy(float)
    clean, right = (rows["kind"] == "clean").to_numpy(), (rows["correct"] == 1).to_numpy()
    axis = _axis(scores, found.threshold)
    pairs = (
        ("Unchanged and changed images", ("unchanged", "changed"), clean),
        ("Right and wrong predictions", ("right", "wrong"), right),
    )
    return [
        _drawn(title, names, scores[first], scores[~first], found.threshold, axis)
        for title, names, first in pairs
        if first.any() and not first.all()
    ]


def _axis(scores: Scores, threshold: float) -> Scores:
    """Edges of the bins: nearly all scores, and the threshold; what lies beyond is in the outermost bins."""
    finite = scores[np.isfinite(scores)]
    low, high = np.quantile(finite, (0.005, 0.995)) if len(finite) else (threshold, threshold)
    if np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    room = 0.03 * (high - low) or 1.0
    return np.linspace(low - room, high + room, BINS + 1)


def _drawn(
    title: str, names: tuple[str, str], first: Scores, second: Scores, threshold: float, edges: Scores
) -> Histogram:
    shares = [_shares(scores, edges) for scores in (first, second)]
    top = max(float(share.max()) for share in shares)

    def x(score: float) -> float:
        return float(LEFT + (RIGHT - LEFT) * (score - edges[0]) / (edges[-1] - edges[0]))

    def corners(share: Scores) -> str:
        ends = np.repeat([x(edge) for edge in edges], 2)
        heights = BOTTOM - (BOTTOM - TOP) * np.concatenate(([0], np.repeat(share, 2), [0])) / top
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(ends, heights, strict=True))

    above = [float((scores > threshold).mean()) for scores in (first, second)]
    medians = [float(np.median(scores)) for scores in (first, second)]
    summary = "; ".join(
        f"{name}: {len(scores)} images, median score {number(median)}, {percent(share)} above the threshold"
        for name, scores, median, share in zip(names, (first, second), medians, above, strict=True)
    )
    step = round_step(float(edges[-1] - edges[0]))
    ticks = np.arange(np.ceil(edges[0] / step), np.floor(edges[-1] / step) + 1) * step
    return Histogram(
        title,
        names[0],
        names[1],
        corners(shares[0]),
        corners(shares[1]),
        min(max(x(threshold), LEFT), RIGHT),
        [(x(tick), number(tick + 0.0)) for tick in ticks],
        [(BOTTOM - (BOTTOM - TOP) * k / 2, percent(top * k / 2, 0)) for k in range(3)],
        f"{summary}.",
    )


def _shares(scores: Scores, edges: Scores) -> Scores:
    inside = np.clip(np.nan_to_num(scores, posinf=edges[-1], neginf=edges[0]), edges[0], edges[-1])
    counts, _ = np.histogram(inside, edges)
    return counts / max(1, len(scores))
