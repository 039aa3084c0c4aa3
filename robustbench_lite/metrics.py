"""Pure functions of a run's rows: the numbers of every condition, and its comparison with the clean images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.intervals import Interval, paired_interval, proportion_interval, wilson
from robustbench_lite.records import ConditionRecord, CurvePoint
from robustbench_lite.runs import Run
from robustbench_lite.selective import beside

BINS = 15  # of the calibration error

_TOLERANCE = 1e-6  # as that of the evaluator's look at a budget
_NORMS = ("l2", "linf", "l1", "l0")


class CalibrationError(NamedTuple):
    """How far confidence and accuracy are apart, and how far they would be if only chance parted them."""

    error: float
    by_chance: float


def calibration_error(confidence: npt.NDArray[Any], right: npt.NDArray[Any], bins: int = BINS) -> CalibrationError:
    """Expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017): bins of equal width.

    The mean over all images of the difference, in their bin, between mean confidence and accuracy. It is never
    below 0, and few images raise it; ``by_chance`` is what it would be on average for a network whose every
    confidence is right, each bin's count taken as normal.

    Args:
        confidence: (N,) softmax probabilities of the predictions, N > 0.
        right: (N,) 0/1, whether the prediction is the label.
        bins: how many, from 0 to 1, each open below and closed above; 15 as Guo et al. have.
    """
    confidence = np.asarray(confidence, dtype=float)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, confidence - np.asarray(right, dtype=float), minlength=bins)
    spread = np.bincount(place, confidence * (1 - confidence), minlength=bins)
    n = len(confidence)
    return CalibrationError(float(np.abs(gap).sum() / n), float(np.sqrt(2 / np.pi * spread).sum() / n))


def per_class(rows: pd.DataFrame, class_names: Sequence[str], *, grouped: bool) -> list[dict[str, Any]]:
    """Accuracy of every class that has images, with its interval, in label order.

    Args:
        rows: of one condition.
        class_names: by label.
        grouped: whether the images have groups.
    """
    ascending = rows.sort_values("label", kind="stable")
    labels, starts = np.unique(ascending["label"].to_numpy(int), return_index=True)
    correct = np.split(ascending["correct"].to_numpy(), starts[1:])
    groups = np.split(ascending["group"].to_numpy(), starts[1:]) if grouped else [None] * len(labels)
    found = []
    for label, hits, together in zip(labels.tolist(), correct, groups, strict=False):
        low, high = wilson(int(hits.sum()), len(hits)) if together is None else proportion_interval(hits, together)
        name = class_names[label] if label < len(class_names) else f"class {label}"
        accuracy = float(hits.mean())
        found.append({"class_name": name, "n": len(hits), "accuracy": accuracy, "ci_low": low, "ci_high": high})
    return found


def robustness_curve(rows: pd.DataFrame, norm: str, usual: float | None, *, grouped: bool) -> list[CurvePoint]:
    """Robust accuracy against eps, from one run of an attack that looks for the smallest perturbation.

    At most 23 budgets: 0, where the accuracy is the clean one; the sizes below which 0, 5, … 100 % of the changes
    that were found are; and the usual budget.

    Args:
        rows: of the attack alone.
        norm: which size counts.
        usual: the data's usual budget in this norm, or None.
        grouped: whether the images have groups.
    """
    found = _lost_at(rows, norm)
    found = found[np.isfinite(found) & (found > 0)]
    quantiles = np.quantile(found, np.linspace(0, 1, 21), method="higher") if len(found) else np.array([])
    grid = {0.0, *(_rounded_up(float(q)) for q in quantiles), *([] if usual is None else [usual])}
    return robust_accuracy(rows, norm, sorted(grid), grouped=grouped)


def robust_accuracy(rows: pd.DataFrame, norm: str, budgets: Sequence[float], *, grouped: bool) -> list[CurvePoint]:
    """Accuracy under each budget. An image is robust if it is right, and nothing that small was found."""
    lost_at = _lost_at(rows, norm)
    groups = rows["group"].to_numpy() if grouped else None
    points = []
    for eps in budgets if len(rows) else ():
        robust = lost_at > eps + _TOLERANCE * max(1.0, eps)
        low, high = proportion_interval(robust, groups)
        points.append(CurvePoint(eps=eps, accuracy=float(robust.mean()), ci_low=low, ci_high=high))
    return points


def _lost_at(rows: pd.DataFrame, norm: str) -> npt.NDArray[np.float64]:
    """The budget that every image is lost at: none if nothing was found, -1 if it is wrong without a change."""
    found = np.where(rows["attacked"] == 1, rows[norm], -1.0)
    return np.where(rows["correct"] == 1, np.inf, found)


def _rounded_up(value: float) -> float:
    """To three digits, so that the curve's last point has everything that was found."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step - 1e-6) * step:.3g}")


def kill_shares(rows: pd.DataFrame, members: Sequence[str] = ()) -> dict[str, float]:
    """Which attack of a portfolio fooled the network on which share of the attacked images, the largest first.

    Empty without a portfolio, or if no image was attacked.

    Args:
        rows: of one condition.
        members: the attacks of the portfolio; those that fooled the network on no image are named too.
    """
    attacked = rows[rows["attacked"] == 1]
    counts = {str(name): int(count) for name, count in attacked["by"].value_counts().items()}
    if len(attacked) == 0:
        return {}
    return {name: counts.get(name, 0) / len(attacked) for name in dict.fromkeys([*counts, *members])}


def summarise(run: Run) -> list[dict[str, Any]]:
    """One entry per condition that has rows, in the order of the run: all numbers that it has for itself.

    ``drop`` is paired: clean accuracy minus accuracy on the same images, None without clean rows; ``drop_low`` and
    ``drop_high`` are the ends of its interval, None for the clean images too. ``ece`` and ``ece_by_chance`` are
    those of ``calibration_error``, ``brier`` the mean of Brier's score, ``filled`` the median share of invented
    pixels, None where no shift can say. ``classes`` is that of ``per_class``, ``worst_class`` the one
    of lowest accuracy.
    ``median_l2`` and ``median_linf`` are over the images on which an attack succeeded, and over all images
    for a shift; None where there are none. ``median_l1`` and ``median_l0`` are for attacks in that norm.
    ``success_rate`` is the share of attacked images on which the attack reached its goal, and
    ``success_rate_8bit`` the share on which it still does when the image is rounded to 8 bits; ``fooled`` and
    ``fooled_8bit`` count them. ``detector`` is that of ``selective.beside``, ``kills`` that of ``kill_shares``,
    ``curve`` the record's.
    """
    rows = dict(iter(run.samples.groupby("condition", sort=False)))
    return [_summary(run, record, rows) for record in run.record.conditions if record.spec in rows]


def _summary(run: Run, record: ConditionRecord, by_condition: dict[Any, pd.DataFrame]) -> dict[str, Any]:
    rows = by_condition[record.spec]
    clean = by_condition.get("clean", rows.iloc[:0])
    # A condition that was interrupted has fewer rows than the clean images.
    clean = clean[clean["index"].isin(rows["index"])]
    n = len(rows)
    groups = None if run.record.data.n_groups is None else rows["group"].to_numpy()
    interval = proportion_interval(rows["correct"].to_numpy(), groups)
    drop = paired_drop(clean, rows, grouped=groups is not None) if record.kind != "clean" else None
    right = rows["prediction"] == rows["label"]
    calibration = calibration_error(rows["confidence"].fillna(0).to_numpy(), right.to_numpy())
    classes = per_class(rows, run.record.data.class_names, grouped=groups is not None)
    wrong = rows[rows["correct"] == 0]
    attacked = rows[rows["attacked"] == 1]
    is_attack = bool(record.threat_model)
    changed = rows[rows["succeeded"] == 1] if is_attack else rows.iloc[: 0 if record.kind == "clean" else n]
    usual = {"l2", "linf", *(threat.norm for threat in record.threat_model)}
    sizes = {f"median_{norm}": _median(changed[norm]) if norm in usual else None for norm in _NORMS}
    return {
        "condition": record.spec,
        "kind": record.kind,
        "severity": record.severity,
        "n": n,
        "accuracy": float(rows["correct"].mean()),
        "ci_low": interval.low,
        "ci_high": interval.high,
        "drop": float(clean["correct"].mean() - rows["correct"].mean()) if len(clean) else None,
        "drop_low": None if drop is None else drop.low,
        "drop_high": None if drop is None else drop.high,
        "ece": calibration.error,
        "ece_by_chance": calibration.by_chance,
        "brier": _mean(rows["brier"]),
        "confidence_when_wrong": _mean(wrong["confidence"]),
        "success_rate": _mean(attacked["succeeded"]) if is_attack else None,
        "success_rate_8bit": _mean(attacked["fools_8bit"]) if is_attack else None,
        "fooled": int(attacked["succeeded"].sum()) if is_attack else None,
        "fooled_8bit": int(attacked["fools_8bit"].sum()) if is_attack else None,
        "filled": _median(rows["filled"]),
        "worst_class": min(classes, key=lambda c: float(c["accuracy"])),
        "classes": classes,
        **sizes,
        "forwards_per_sample": record.forwards / n,
        "gradients_per_sample": record.gradients / n,
        "seconds": record.seconds,
        "warnings": record.warnings,
        "detector": beside(rows, grouped=groups is not None),
        "kills": kill_shares(rows, record.members),
        "curve": [point.model_dump() for point in record.curve],
        "checks": [check.model_dump() for check in record.checks],
    }


def paired_drop(clean: pd.DataFrame, rows: pd.DataFrame, *, grouped: bool) -> Interval | None:
    """Interval for the accuracy that is lost on the images that both have; None if there is none."""
    both = rows.merge(clean[["index", "correct"]], on="index", suffixes=("", "_before"))
    if not len(both):
        return None
    groups = both["group"].to_numpy() if grouped else None
    return paired_interval(both["correct_before"].to_numpy(), both["correct"].to_numpy(), groups)


def _mean(values: pd.Series[Any]) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def _median(values: pd.Series[Any]) -> float | None:
    return float(values.median()) if values.notna().any() else None
