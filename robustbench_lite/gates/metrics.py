"""The metrics that a rule can be about, by name."""

from __future__ import annotations

from robustbench_lite.errors import UnknownNameError
from robustbench_lite.gates.means import FalseAlarms, Mean, MeanOverConditions
from robustbench_lite.gates.metric import Metric

_ALL: tuple[Metric, ...] = (
    Mean("accuracy", "share of images that are classified right"),
    Mean("robust_accuracy", "the same under attacks with a budget alone", usual="attack", attacks_only=True),
    MeanOverConditions(
        "mean_accuracy",
        "mean accuracy over all conditions that fit; without filters all but clean",
        usual="changed",
    ),
    Mean(
        "brier",
        "Brier's score: squared distance of the probabilities from the label, 0 to 2",
        "number",
        limits=(0.0, 2.0),
        column="brier",
        most=2.0,
    ),
    Mean("flagged_share", "share of images that the detector flags", column="flagged", detector=True),
    FalseAlarms(
        "false_alarm_rate", "share of images that the detector flags among those classified right", detector=True
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
