"""The metrics that a rule can be about, by name."""

from __future__ import annotations

import math

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.gates.composites import Calibration, ErrorAuroc, WorstClass
from robustbench_lite.gates.corruptions import CorruptionMean
from robustbench_lite.gates.distortion import MedianDistortion
from robustbench_lite.gates.means import FalseAlarms, Mean, MeanOverConditions
from robustbench_lite.gates.metric import Metric
from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.severities import Area, Breaking

_ALL_SEVERITIES = (("kind", "of shifts"), ("severity", "over all severities"))
_ALL_IMAGES = (*_ALL_SEVERITIES, ("class_", "of the images of all classes"))
_ALL: tuple[Metric, ...] = (
    Mean("accuracy", "share of images that are classified right", counts=True),
    Mean(
        "robust_accuracy",
        "the same under attacks with a budget alone",
        usual="attack",
        attacks_only=True,
        counts=True,
        takes="an attack with a budget",
    ),
    MeanOverConditions(
        "mean_accuracy",
        "mean accuracy over all conditions that fit; without filters all but clean",
        usual="changed",
        takes="any condition but clean",
    ),
    WorstClass("worst_class", "lowest accuracy of any class"),
    Area(
        "area",
        "mean accuracy over the range of a shift's severities, straight in between",
        takes="a shift at two severities",
        whole=_ALL_SEVERITIES,
    ),
    Breaking(
        "breaking_point",
        "severity at which a shift takes the accuracy below a share of the clean one, of `rb shift --until`",
        "severity",
        limits=(0.0, math.inf),
        takes="rb shift --until",
        whole=_ALL_IMAGES,
    ),
    MedianDistortion(
        "median_distortion",
        "size of change at which half of the images are lost, of an attack that looks for the smallest",
        "number",
        "attack",
        limits=(0.0, math.inf),
        takes="an attack for the smallest change",
    ),
    CorruptionMean(
        "mean_corruption_error",
        "mean error over the corruptions of a published set",
        better="lower",
        takes="a published set, all severities",
        whole=_ALL_IMAGES,
    ),
    CorruptionMean(
        "mce",
        "the same as a share of the errors of the baseline's network, or of AlexNet",
        "share",
        which="mce",
        limits=(0.0, math.inf),
        better="lower",
        takes="a published set, all severities",
        whole=_ALL_IMAGES,
    ),
    CorruptionMean(
        "relative_mce",
        "the same of what the corruptions add to the clean error",
        "share",
        which="relative_mce",
        limits=(-math.inf, math.inf),
        better="lower",
        takes="a published set, all severities",
        whole=_ALL_IMAGES,
    ),
    Calibration("ece", "expected calibration error, 15 bins", "number", better="lower"),
    Mean(
        "brier",
        "Brier's score: squared distance of the probabilities from the label, 0 to 2",
        "number",
        limits=(0.0, 2.0),
        column="brier",
        most=2.0,
        better="lower",
    ),
    Mean(
        "flagged_share",
        "share of images that the detector flags",
        column="flagged",
        detector=True,
        counts=True,
        better="",
        takes="--detector",
    ),
    FalseAlarms(
        "false_alarm_rate",
        "share of images that the detector flags among those classified right",
        detector=True,
        counts=True,
        better="lower",
        takes="--detector",
    ),
    ErrorAuroc(
        "auroc",
        "probability that a wrongly classified image has a higher outlier score than a rightly classified one",
        detector=True,
        takes="--detector",
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def metric_of(name: str) -> Metric:
    """The metric of a name.

    Raises:
        UnknownNameError: there is none; says the nearest.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def check_rule(rule: Rule) -> None:
    """Raise InputError if a rule asks for a part of what its metric is over, or has a limit that says nothing.

    Raises:
        UnknownNameError: there is no such metric.
    """
    metric = metric_of(rule.metric)
    for name, reason in metric.whole:
        asked = getattr(rule.where, name)
        if asked is not None and (name, asked) != ("kind", "shift"):
            key = name.rstrip("_")
            raise InputError(
                f"where.{key} of the rule {rule.id!r} chooses nothing: {rule.metric} is {reason}.",
                f"Leave where.{key} out, or take accuracy or mean_accuracy.",
            )
    _check_limits(rule, metric)


def _check_limits(rule: Rule, metric: Metric) -> None:
    """Refuse a limit that nothing breaks, or that nothing keeps: 5 where 5 % are meant."""
    low, high = metric.limits
    if metric.unit == "share" and math.isinf(high):
        high = 10.0  # mCE is 1 of the network that it is a share of, and printed in per cent in papers
    for name in ("min", "max", "max_drop", "max_rise"):
        limit = getattr(rule, name)
        if limit is None:
            continue
        least, most = (0.0, high - low) if name.startswith("max_") else (low, high)
        if (least < limit <= most) if name == "min" else (least <= limit < most):
            continue
        per_cent = high <= 1 or metric.unit == "share"
        per_cent = per_cent and 1 <= limit <= 100
        raise InputError(
            f"{name} = {limit:g} of the rule {rule.id!r} says nothing: {rule.metric} is from {low:g} to {high:g}.",
            f"Write shares as shares: {limit / 100:g} for {limit:g} %." if per_cent else "Mend the rule.",
        )
