"""A classifier that may abstain: what a detector beside it lets through, and how the risk falls with the coverage.

Pure functions of the rows of a condition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.intervals import proportion_interval

POINTS = 20  # of a curve that is kept


def risk_coverage(scores: npt.NDArray[Any], wrong: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Risk at every coverage: the share of errors among the k images of lowest score, for k = 1 … N.

    Geifman & El-Yaniv, *Selective classification for deep neural networks*, NeurIPS 2017. Among images of equal
    score none comes first: what is told is the mean over all their orders.

    Args:
        scores: (N,), the higher the sooner an image is left out; infinite is allowed, NaN is not.
        wrong: (N,) 0/1, whether the prediction is an error.
    """
    order = np.argsort(scores, kind="stable")
    ascending, errors = np.asarray(scores)[order], np.asarray(wrong, dtype=float)[order]
    _, starts, counts = np.unique(ascending, return_index=True, return_counts=True)
    shares = np.add.reduceat(errors, starts) / counts
    risks: npt.NDArray[np.float64] = np.repeat(shares, counts).cumsum() / np.arange(1, len(errors) + 1)
    return risks


def beside(rows: pd.DataFrame, *, grouped: bool) -> dict[str, Any] | None:
    """What a detector makes of the predictions of one condition; None without a detector.

    ``passed`` is the share of images that it lets through, ``accuracy_passed`` the accuracy on those (None if
    there are none), ``caught`` the share of wrong predictions that it flags, ``false_alarm_rate`` that of right
    ones, and ``slipped`` the share of all images that are wrong and let through; each but the counts ``n_…``
    with the ends of its 95 % interval. ``aurc`` is the area under the risk-coverage curve, the mean of the risks
    at all N coverages (Geifman, Uziel & El-Yaniv, ICLR 2019), ``aurc_confidence`` that of the network's own
    confidence, ``aurc_best`` the least there can be with so many errors; ``curve`` has both risks at some
    coverages.

    Args:
        rows: of one condition.
        grouped: whether the images have groups.
    """
    if not rows["outlier"].notna().any():
        return None
    wrong, flagged = rows["correct"].to_numpy() == 0, rows["flagged"].to_numpy() == 1
    groups = rows["group"].to_numpy() if grouped else None

    def share(name: str, of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        if not among.any():
            return {name: None, f"{name}_low": None, f"{name}_high": None}
        found = proportion_interval(of[among], None if groups is None else groups[among])
        return {name: float(of[among].mean()), f"{name}_low": found.low, f"{name}_high": found.high}

    every, n = np.ones_like(wrong), len(rows)
    by_score = risk_coverage(rows["outlier"].to_numpy(float), wrong)
    by_confidence = risk_coverage(-rows["confidence"].fillna(0).to_numpy(float), wrong)
    places = np.unique(np.ceil(np.linspace(n / POINTS, n, POINTS)).astype(int)) - 1
    return {
        **share("passed", ~flagged, every),
        **share("accuracy_passed", ~wrong, ~flagged),
        **share("caught", flagged, wrong),
        **share("false_alarm_rate", flagged, ~wrong),
        **share("slipped", wrong & ~flagged, every),
        "n_passed": int((~flagged).sum()),
        "n_wrong": int(wrong.sum()),
        "n_right": int((~wrong).sum()),
        "aurc": float(by_score.mean()),
        "aurc_confidence": float(by_confidence.mean()),
        "aurc_best": float(risk_coverage(wrong, wrong).mean()),
        "curve": [
            {"coverage": (k + 1) / n, "risk": float(by_score[k]), "risk_confidence": float(by_confidence[k])}
            for k in places.tolist()
        ],
    }
