"""Every metric against a value that was worked out otherwise, and what it says of rows that do not have it."""

import numpy as np
import pytest
from gate_runs import DETECTOR, made_run, simple_run
from made_runs import CONDITIONS
from sklearn.metrics import roc_auc_score

from robustbench_lite.corruption_error import suite_errors
from robustbench_lite.errors import InputError
from robustbench_lite.gates.gate import gate
from robustbench_lite.gates.metrics import METRICS
from robustbench_lite.gates.rule import Rule
from robustbench_lite.metrics import calibration_error
from robustbench_lite.shifts.published_tables import MAIN
from robustbench_lite.sweeps import sweeps


def judged(run, metric, baseline=None, **rule):
    rule = (
        rule
        if {"min", "max", "max_drop", "max_rise"} & set(rule)
        else {**rule, "max": 0.999 * min(METRICS[metric].limits[1], 10)}
    )
    return gate(run, Rule(id="r", metric=metric, **rule), baseline=baseline).results[0]


def values(*words, **more):
    return {m.condition: m.value for m in judged(*words, **more).matches}


def scored(frame):
    rng = np.random.default_rng(0)
    score = rng.normal(size=len(frame)) + 1.5 * (frame["correct"] == 0)
    confidence = rng.uniform(0.4, 1, len(frame))
    return frame.assign(outlier=score, flagged=(score > 1).astype(int), confidence=confidence)


@pytest.fixture(scope="module")
def run():
    return made_run("run", samples=scored, detector=DETECTOR)


@pytest.fixture(scope="module")
def old():
    return made_run("old", samples=scored, detector=DETECTOR)


def rows(run, spec):
    return run.samples[run.samples["condition"] == spec]


def test_usual_conditions(run):
    assert values(run, "accuracy") == {"clean": 0.97}
    assert values(run, "robust_accuracy") == {"pgd(eps=0.1)": 0.31, "night(severity=2) + pgd(eps=4/255)": 0.5}
    assert list(values(run, "median_distortion")) == ["cw(norm=l2)"]
    mean = values(run, "mean_accuracy")
    assert mean == {"7 conditions": pytest.approx(np.mean([c[4] for c in CONDITIONS[1:]]))}
    assert values(run, "mean_accuracy", where={"condition": "night*", "kind": "shift"}) == {
        "3 conditions": pytest.approx((0.95 + 0.8 + 0.4) / 3)
    }


def test_values_of_the_rows(run):
    night = rows(run, "night")
    where = {"condition": "night"}
    worst = night.groupby("label")["correct"].mean().min()
    assert values(run, "worst_class", where=where)["night"] == pytest.approx(worst)
    assert values(run, "brier", where=where)["night"] == pytest.approx(night["brier"].mean())
    assert values(run, "flagged_share", where=where)["night"] == pytest.approx(night["flagged"].mean())
    right = night[night["correct"] == 1]
    assert values(run, "false_alarm_rate", where=where)["night"] == pytest.approx(right["flagged"].mean())
    auroc = roc_auc_score(1 - night["correct"], night["outlier"])
    assert values(run, "auroc", where=where)["night"] == pytest.approx(auroc)
    error = calibration_error(night["confidence"].to_numpy(), (night["prediction"] == night["label"]).to_numpy())
    assert values(run, "ece", where=where)["night"] == pytest.approx(error.error)
    # 2 of 100 are right under cw and never lost; the 3 that are wrong as they are count 0
    cw = rows(run, "cw(norm=l2)")
    lost = np.sort(np.where(cw["correct"] == 1, np.inf, np.where(cw["attacked"] == 1, cw["l2"], 0)))
    assert values(run, "median_distortion")["cw(norm=l2)"] == pytest.approx(lost[49])


def test_the_area_is_that_of_the_sweep(run):
    expected = {sweep.shift: pytest.approx(sweep.area) for sweep in sweeps(run)}
    assert values(run, "area") == expected
    assert list(values(run, "area", where={"condition": "night"})) == ["night"]
    assert list(values(run, "area", where={"condition": "gauss*"})) == ["gaussian_blur"]


@pytest.mark.parametrize("metric", ["area", "breaking_point", "mean_corruption_error", "mce", "relative_mce"])
def test_a_part_of_what_a_metric_is_over_is_not_asked_for_in_vain(run, metric):
    parts = [
        {"severity": 5},
        {"kind": "attack"},
        {"kind": "chain"},
        *([] if metric == "area" else [{"class": "3"}]),
    ]
    for where in parts:
        with pytest.raises(
            InputError, match=rf"^where\.{next(iter(where))} of the rule 'r' chooses nothing: {metric} "
        ):
            judged(run, metric, where=where)
    assert judged(run, metric, where={"kind": "shift"})


def test_a_severity_is_no_part_of_the_name_of_an_area(run):
    for named in ("night(severity=1)", "night(severity=3)", "night(severity=5)"):
        assert judged(run, "area", where={"condition": named}).verdict == "ERROR"


def test_a_breaking_point_is_held_to_its_severities():
    conditions = [
        ("clean", "clean", None, [], 1.0, 0),
        *(
            (f"fog(severity={s})", "shift", float(s), [], a, 0)
            for s, a in ((1, 1.0), (2, 0.97), (4, 0.89), (5, 0.5))
        ),
    ]
    point = {
        "shift": "fog", "share": 0.9, "tolerance": 0.05, "severity": 4.0, "ci_low": 2.0, "ci_high": 5.0,
        "scan": [1.0, 2.0, 4.0, 5.0], "severities": [1.0, 2.0, 4.0, 5.0], "notes": [],
    }  # fmt: skip
    run = made_run("run", conditions=conditions, n=200, breaking_points=[point])
    (match,) = judged(run, "breaking_point", min=2).matches
    assert (match.value, match.ci_low, match.ci_high, match.verdict) == (4.0, 2.0, 5.0, "PASS")
    verdicts = [judged(run, "breaking_point", min=limit).verdict for limit in (1, 3, 5, 6)]
    assert verdicts == ["PASS", "INCONCLUSIVE", "INCONCLUSIVE", "FAIL"]
    assert (
        judged(run, "breaking_point", max_drop=1, baseline=made_run("old", breaking_points=[])).verdict == "ERROR"
    )


@pytest.mark.parametrize("metric", ["worst_class", "ece", "brier", "auroc", "false_alarm_rate", "area"])
def test_an_unchanged_network_has_not_changed_and_not_for_sure(run, old, metric):
    for match in judged(run, metric, old, max_drop=0.5, max_rise=0.6).matches:
        assert match.value == 0
        assert match.ci_low < 0 < match.ci_high
        assert match.before == match.after


def test_a_network_that_got_worse_in_one_class():
    def one_class(frame):
        fallen = (frame["label"] == 3) & (frame["index"] % 4 > 0)
        return frame.assign(correct=np.where(fallen, 0, frame["correct"]))

    clean = CONDITIONS[:1]
    old, new = (made_run(p, n=2000, conditions=clean, samples=s) for p, s in (("old", None), ("new", one_class)))
    (match,) = judged(new, "worst_class", old, max_drop=0.1).matches
    assert match.verdict == "FAIL"
    assert match.before - match.after == pytest.approx(match.value)
    assert 0.5 < match.ci_low < match.value < match.ci_high
    assert judged(old, "worst_class", new, max_rise=0.1).verdict == "FAIL"


def published(accuracy=0.95, left_out=()):
    """Conditions of a whole set, less some (corruption, severity)."""
    return [("clean", "clean", None, [], accuracy, 0)] + [
        (
            f"cifar10_c(corruption={name}, severity={s})",
            "shift",
            float(s),
            [],
            max(0.0, accuracy - 0.1 * s - k / 50),
            0,
        )
        for k, name in enumerate(MAIN)
        for s in range(1, 6)
        if (name, s) not in left_out
    ]


def test_metrics_of_a_published_set():
    run, old = made_run("run", conditions=published()), made_run("old", conditions=published(0.8))
    told = suite_errors(run, old)[0]
    assert told.measured == 15
    for metric in ("mean_corruption_error", "mce", "relative_mce"):
        (match,) = judged(run, metric, old, max=0.9).matches
        expected = getattr(told, "mean_error" if metric == "mean_corruption_error" else metric)
        assert match.value == pytest.approx(expected.value)
        assert (match.ci_low, match.ci_high) == pytest.approx((expected.low, expected.high), abs=0.1)
        assert match.ci_low < match.value < match.ci_high
    assert judged(run, "mce").verdict == "ERROR"
    (match,) = judged(run, "mean_corruption_error", old, max_drop=0.5).matches
    assert match.before == pytest.approx(suite_errors(old)[0].mean_error.value)
    assert match.value == pytest.approx(match.before - match.after)
    assert judged(run, "mce", old, max_drop=0.5).verdict == "ERROR"


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ([("fog", s) for s in range(1, 6)], "cifar10_c lacks fog."),
        ([("fog", 2), ("fog", 4), ("snow", 5)], "cifar10_c lacks snow at severity 5, fog at severity 2, 4."),
        ([(name, s) for name in MAIN for s in (2, 3, 4)], "cifar10_c lacks gaussian_noise at severity 2, 3, 4, "),
    ],
)
@pytest.mark.parametrize("metric", ["mean_corruption_error", "mce", "relative_mce"])
def test_a_part_of_a_published_set_has_no_such_number(metric, left_out, told):
    run, old = made_run("run", conditions=published(left_out=left_out)), made_run("old", conditions=published(0.8))
    for pattern in (None, "cifar10_c", "cifar*"):
        result = judged(run, metric, old, max=0.9, where={"condition": pattern})
        assert (result.verdict, told in result.words) == ("ERROR", True)
        assert "rb shift --suite" in result.remedy
    assert judged(run, metric, old, max=0.9, where={"condition": "imagenet_c"}).words.startswith("Nothing matched")
    assert judged(old, metric, run, max=0.9).verdict == ("ERROR" if metric != "mean_corruption_error" else "PASS")


def test_a_reference_without_errors_leaves_no_mce():
    run = made_run("run", conditions=published())
    perfect = [(*c[:4], 1.0, 0) for c in published()]
    old = made_run("old", conditions=perfect)
    assert "makes no error under some corruption" in judged(run, "mce", old, max=0.9).words
    assert "loses nothing under some corruption" in judged(run, "relative_mce", old, max=0.9).words


def test_what_has_no_such_number():
    plain = simple_run(100, 100)
    for metric in ("auroc", "false_alarm_rate", "flagged_share"):
        assert "no detector" in judged(plain, metric).words
    watched = simple_run(100, 100, detector=DETECTOR)
    assert "all images are right" in judged(watched, "auroc").words
    assert "no image is right" in judged(simple_run(0, 100, detector=DETECTOR), "false_alarm_rate").words
    assert judged(plain, "breaking_point").verdict == judged(plain, "area").verdict == "ERROR"
    assert judged(plain, "median_distortion").verdict == "ERROR"
    assert set(METRICS) == {m.name for m in METRICS.values()}


def test_a_calibration_error_is_written_as_a_number():
    def unsure(frame):
        return frame.assign(confidence=np.where(frame["correct"] == 1, 0.9, 0.8))

    (result,) = gate(made_run(samples=unsure), Rule(id="r", metric="ece", max=0.034)).results
    assert "ece under clean is 0.121 (" in result.words  # 0.97 · (1 - 0.9) + 0.03 · 0.8
    assert "at most 0.034" in result.words
    assert "%" not in result.words
