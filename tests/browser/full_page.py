"""A made-up run that fills every section of the page."""

import numpy as np
from made_runs import CONDITIONS, Made, write_made

from robustbench_lite.records import BreakingPoint, CheckRecord, GuardRecord

DETECTOR = {
    "folder": "guards/parts",
    "sha256": "ef" * 32,
    "input_shape": [1, 8, 8],
    "members": {"pca(components=12)": 1.0},
    "threshold": 3.25,
    "false_alarms_promised": 0.05,
    "false_alarms_promised_low": 0.029,
    "false_alarms_promised_high": 0.072,
    "n_calibrated": 375,
    "n_seen": 7,
    "without_gradient": [],
}
POINT = {
    "shift": "night",
    "share": 0.9,
    "tolerance": 0.05,
    "severity": 3,
    "ci_low": 1,
    "ci_high": None,
    "scan": [1, 5],
    "severities": [1, 3, 5],
    "notes": ["not monotone"],
}
WORST = ("worst(fgsm, pgd, eps=0.1)", "attack", None, [{"norm": "linf", "eps": 0.1}], 0.25, 40)


def full_run(folder, **changes):
    """Attacks, a portfolio, shifts with a breaking point, a chain, a detector, checks, examples."""
    made = Made(**{"conditions": [*CONDITIONS, WORST], **changes})
    run = write_made(folder, made)
    record = run.record
    record.detector = GuardRecord(**DETECTOR)
    record.breaking_points.append(BreakingPoint(**POINT))
    bad = CheckRecord(
        name="gradients", status="triggered", seen="all were 0.", advice="Look.", command="rb attack -a 'x'"
    )
    record.conditions[1].checks.append(bad)
    record.checks.append(CheckRecord(name="logits", status="passed", seen="no probabilities."))
    rows = run.samples
    rows["outlier"] = np.linspace(0, 8, len(rows)).astype("float32")
    rows["flagged"] = (rows["outlier"] > DETECTOR["threshold"]).astype("int8")
    # Some classes lose more than others, so that there is an order.
    lost = (rows["condition"] == "night") & (rows["label"] == 3)
    rows.loc[lost, "prediction"], rows.loc[lost, "correct"] = 8, 0
    return run
