"""One shift over its severities: area, flips and what belongs to one curve."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from robustbench_lite.records import ConditionRecord, DataRecord, RunRecord
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import sweeps

N = 40


def run_of(shares, *, n_groups=None, kept=None, spec="night(severity={})"):
    """A run with so much accuracy at every severity; severity 0 is clean. The wrong ones are called 1."""
    conditions, frames = [], []
    for severity, share in shares.items():
        name = "clean" if severity == 0 else spec.format(severity)
        kind = "clean" if severity == 0 else "shift"
        plain = {"parameters": [], "threat_model": [], "forwards": 0, "gradients": 0, "seconds": 0, "warnings": []}
        conditions.append(
            ConditionRecord(spec=name, kind=kind, severity=None if severity == 0 else severity, n=N, **plain)
        )
        correct = np.arange(N) < round(share * N)
        frame = pd.DataFrame({"index": range(N), "condition": name, "correct": correct.astype(int)})
        frames.append(frame.assign(prediction=np.where(correct, 0, 1), group=[f"g{i // 4}" for i in range(N)]))
        if kept and severity:
            frames[-1] = frames[-1][:kept]
    record = RunRecord.model_construct(
        conditions=conditions, data=DataRecord.model_construct(n_groups=n_groups, class_names=["a", "b"])
    )
    return Run(Path(), record, pd.concat(frames, ignore_index=True))


def test_the_area_is_that_of_the_trapezoids_over_the_range():
    shares = {0: 1.0, 1: 0.9, 2.5: 0.5, 5: 0.1}
    (found,) = sweeps(run_of(shares))
    assert found.area == pytest.approx(trapezoid(list(shares.values()), list(shares)) / 5)
    assert found.area_low < found.area < found.area_high
    assert [(level.severity, level.accuracy) for level in found.levels] == list(shares.items())
    assert found.shift == "night"


def test_the_clean_images_are_no_severity_0_of_a_shift_that_changes_them_there():
    run = run_of({0: 1.0, 1: 0.6, 3: 0.2})
    for condition in run.record.conditions:
        condition.from_clean = False
    (found,) = sweeps(run)
    assert [level.severity for level in found.levels] == [1, 3]
    assert found.area == pytest.approx(0.4)


def test_a_flat_line_has_its_height_as_area_and_falling_at_once_leaves_half_of_the_first_step():
    assert sweeps(run_of({0: 0.8, 1: 0.8, 5: 0.8}))[0].area == pytest.approx(0.8)
    assert sweeps(run_of({0: 1.0, 1: 0.0, 5: 0.0}))[0].area == pytest.approx(0.1)


def test_flips_are_counted_between_neighbours_whatever_the_order_of_the_run():
    (found,) = sweeps(run_of({0: 1.0, 4: 0.5, 1: 0.9, 2: 0.95}))
    assert [level.severity for level in found.levels] == [0, 1, 2, 4]
    assert [level.flips for level in found.levels] == [None, *map(pytest.approx, (0.1, 0.05, 0.45))]


def test_right_again_is_a_flip_though_the_accuracy_is_the_same():
    run = run_of({0: 1.0, 1: 0.5, 2: 0.5})
    at_two = run.samples["condition"] == "night(severity=2)"
    run.samples.loc[at_two, ["prediction", "correct"]] = run.samples.loc[
        at_two, ["prediction", "correct"]
    ].to_numpy()[::-1]
    assert [level.flips for level in sweeps(run)[0].levels] == [None, 0.5, 1.0]


def test_images_that_a_stopped_run_never_came_to_are_left_out():
    (found,) = sweeps(run_of({0: 0.5, 2: 0.5}, kept=20))
    assert found.area == 1  # of the first 20, all right
    assert found.levels[1].flips == 0
    assert found.levels[0].accuracy == 0.5


def test_groups_widen_the_interval_of_the_area():
    shares = {0: 1.0, 1: 0.7, 5: 0.3}
    alone, grouped = sweeps(run_of(shares))[0], sweeps(run_of(shares, n_groups=10))[0]
    assert grouped.area == alone.area
    assert grouped.area_high - grouped.area_low > 1.5 * (alone.area_high - alone.area_low)


def test_arguments_tell_curves_apart_and_what_has_no_severity_has_none():
    dark = run_of({0: 1.0, 1: 0.9}, spec="night(severity={}, exposure_ev=-1)")
    assert [s.shift for s in sweeps(dark)] == ["night(exposure_ev=-1)"]
    assert sweeps(run_of({0: 1.0})) == []
    assert sweeps(run_of({0: 1.0, 1: 0.5}, spec="<b>(severity={}) & 'x")) == []
