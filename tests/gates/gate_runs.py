"""Made-up runs with chosen numbers of right images."""

import dataclasses

import numpy as np
import pandas as pd
from made_runs import Made, record, rows

from robustbench_lite.records import RunRecord
from robustbench_lite.runs import Run

DETECTOR = {
    "input_shape": [1, 8, 8],
    "members": {"pca": 1.0},
    "threshold": 1.0,
    "false_alarms_promised": 0.05,
    "false_alarms_promised_low": 0.03,
    "false_alarms_promised_high": 0.08,
    "n_calibrated": 500,
    "n_seen": 0,
    "without_gradient": [],
}


def made_run(path="run", *, conditions=None, samples=None, **changes):
    """A run in memory; ``samples(frame)`` may change its rows, ``changes`` are fields of its record."""
    made = Made(examples=0, **({} if conditions is None else {"conditions": conditions}))
    for name in [f.name for f in dataclasses.fields(made)]:
        if name in changes:
            setattr(made, name, changes.pop(name))
    made.record = {"id": str(path), **changes}
    frame = rows(made).reset_index(drop=True)
    if samples is not None:
        frame = samples(frame)
    return Run(path, RunRecord.model_validate({**record(made), "examples": []}), frame)


def simple_run(right, n, *, path="run", spec="clean", kind="clean", severity=None, groups=None, **changes):
    """A run of one condition beside the clean images, under which the first ``right`` of n images are right."""
    clean = [("clean", "clean", None, [], 1.0, 0)] if spec != "clean" else []
    threats = changes.pop("threats", [])
    conditions = [*clean, (spec, kind, severity, threats, right / n, 0)]

    def grouped(frame):
        return frame if groups is None else frame.assign(group=np.tile(np.asarray(groups, str), len(conditions)))

    data = changes.pop("data", {})
    if groups is not None:
        data = {**data, "n_groups": len(set(groups))}
    return made_run(path, conditions=conditions, n=n, samples=grouped, data=data, **changes)


def with_right(run, right):
    """The same run with another 0/1 column, of a run with one condition."""
    frame = run.samples.copy()
    frame["correct"] = np.asarray(right, dtype=np.int8)
    return run.replace(samples=frame)


def pair(both, lost, gained, neither, **changes):
    """Run and baseline with this two-by-two table on the clean images."""
    n = both + lost + gained + neither
    before = np.repeat([1, 1, 0, 0], [both, lost, gained, neither])
    after = np.repeat([1, 0, 1, 0], [both, lost, gained, neither])
    run, baseline = (simple_run(n, n, path=path, **changes) for path in ("run", "baseline"))
    return with_right(run, after), with_right(baseline, before)


def concat(*frames):
    return pd.concat(frames, ignore_index=True)
