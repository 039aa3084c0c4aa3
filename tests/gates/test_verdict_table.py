"""Rule × data → verdict, worked out by hand; and every reason for an ERROR."""

import numpy as np
import pytest
from gate_runs import DETECTOR, made_run, pair, simple_run
from pydantic import ValidationError

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.gates.gate import gate
from robustbench_lite.gates.rule import GateSettings, Rule

# right of n, rule, verdict: Clopper-Pearson's one-sided 95 % bounds are those of published tables (in brackets).
SHARES = [
    (100, 100, {"min": 0.97}, "PASS"),  # lower bound 0.05^(1/100) = 0.9705
    (100, 100, {"min": 0.971}, "INCONCLUSIVE"),
    (100, 100, {"min": 1.0}, "INCONCLUSIVE"),  # at the limit
    (90, 100, {"min": 0.9}, "INCONCLUSIVE"),
    (90, 100, {"min": 0.83}, "PASS"),  # 0.8363
    (90, 100, {"min": 0.84}, "INCONCLUSIVE"),
    (90, 100, {"min": 0.94}, "INCONCLUSIVE"),  # upper bound 0.9448
    (90, 100, {"min": 0.95}, "FAIL"),
    (0, 50, {"min": 0.06}, "FAIL"),  # upper bound 1 - 0.05^(1/50) = 0.0582
    (0, 50, {"min": 0.05}, "INCONCLUSIVE"),
    (0, 50, {"max": 0.06}, "PASS"),
    (10, 100, {"max": 0.05}, "FAIL"),  # lower bound 0.0553
    (10, 100, {"max": 0.17}, "PASS"),  # upper bound 0.1637
    (50, 100, {"min": 0.3, "max": 0.7}, "PASS"),
    (50, 100, {"min": 0.3, "max": 0.55}, "INCONCLUSIVE"),
    (50, 100, {"min": 0.7, "max": 0.8}, "FAIL"),
    (100, 100, {"min": 0.9, "min_n": 101}, "INCONCLUSIVE"),
    (10, 100, {"min": 0.9, "min_n": 101}, "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("right", "n", "rule", "verdict"), SHARES)
def test_shares(right, n, rule, verdict):
    report = gate(simple_run(right, n), Rule(id="r", **rule))
    assert report.results[0].verdict == report.verdict == verdict
    assert report.exit_code == {"PASS": 0, "FAIL": 3, "INCONCLUSIVE": 4}[verdict]


# both right, lost, gained, neither; Bonett and Price: (lost - gained) / (n + 2) ± 1.645 · se
CHANGES = [
    ((1000, 0, 0, 0), {"max_drop": 0.01}, "PASS"),  # upper bound 1.645 · sqrt(2) / 1002 = 0.0023
    ((100, 0, 0, 0), {"max_drop": 0.01}, "INCONCLUSIVE"),
    ((900, 50, 50, 0), {"max_drop": 0.01}, "INCONCLUSIVE"),  # ± 0.0166
    ((9000, 500, 500, 0), {"max_drop": 0.01}, "PASS"),  # ± 0.0052
    ((900, 100, 0, 0), {"max_drop": 0.05}, "FAIL"),  # lower bound 0.0840
    ((900, 60, 0, 40), {"max_drop": 0.05}, "INCONCLUSIVE"),  # 0.0475
    ((900, 70, 0, 30), {"max_drop": 0.05}, "FAIL"),  # 0.0565
    ((900, 10, 0, 90), {"max_drop": 0.0}, "FAIL"),  # 0.0042
    ((900, 3, 0, 97), {"max_drop": 0.0}, "INCONCLUSIVE"),
    ((900, 0, 50, 50), {"max_rise": 0.02}, "FAIL"),
    ((900, 0, 50, 50), {"max_drop": 0.0}, "PASS"),
    ((900, 0, 5, 95), {"max_drop": 0.01, "max_rise": 0.03}, "PASS"),
    ((900, 0, 50, 50), {"max_drop": 0.01, "max_rise": 0.03}, "FAIL"),
]


@pytest.mark.parametrize(("table", "rule", "verdict"), CHANGES)
def test_changes(table, rule, verdict):
    run, baseline = pair(*table)
    result = gate(run, Rule(id="r", **rule), baseline=baseline).results[0]
    assert result.verdict == verdict
    for match in result.matches:
        assert (match.broken, match.mended) == (table[1], table[2])
        assert match.before - match.after == pytest.approx((table[1] - table[2]) / sum(table))


def test_the_interval_and_the_verdict_never_contradict():
    for right in range(60, 101, 4):
        for settings in (GateSettings(), GateSettings(proportion="wilson"), GateSettings(confidence=0.99)):
            rules = [Rule(id=f"{k}", min=k / 10) for k in range(1, 10)]
            for result in gate(simple_run(right, 100), rules, settings).results:
                (match,) = result.matches
                assert (match.verdict == "PASS") == (match.ci_low >= match.limit and match.value != match.limit)
                assert (match.verdict == "FAIL") == (match.ci_high < match.limit)


def test_holm_holds_a_fail_back_that_one_rule_alone_would_be():
    run = simple_run(88, 100)  # p = 0.0052 for at least 0.95, 0.0119 …
    alone = gate(run, Rule(id="a", min=0.94)).results[0]
    assert alone.verdict == "FAIL"
    many = [Rule(id=f"{k}", min=0.94) for k in range(5)]
    assert {r.verdict for r in gate(run, many).results} == {"INCONCLUSIVE"}
    assert {r.verdict for r in gate(run, many, GateSettings(correction="none")).results} == {"FAIL"}
    warns = [Rule(id="a", min=0.94), *(Rule(id=f"{k}", min=0.94, level="warn") for k in range(5))]
    report = gate(run, warns)
    assert [r.verdict for r in report.results] == ["FAIL", *["INCONCLUSIVE"] * 5]


@pytest.mark.parametrize("right", [50, 99])
def test_rules_that_only_warn_decide_nothing_and_stop_nothing(right):
    report = gate(simple_run(right, 100), Rule(id="a", min=0.9, level="warn"))
    assert report.results[0].verdict == ("FAIL" if right == 50 else "PASS")
    assert (report.verdict, report.exit_code) == ("INCONCLUSIVE", 0)
    assert report.warnings == ["No rule can stop a build: all have level warn."]


def test_the_worst_match_counts_and_all_are_told():
    result = gate(made_run(), Rule(id="r", where={"condition": "night*"}, min=0.7)).results[0]
    assert {m.condition: m.verdict for m in result.matches} == {
        "night(severity=1)": "PASS",
        "night": "PASS",
        "night(severity=5)": "FAIL",
        "night(severity=2) + pgd(eps=4/255)": "FAIL",
    }
    assert result.verdict == "FAIL"
    assert result.words.startswith("2 of 4 FAIL; the worst: accuracy under night(severity=5) is 40.00 %")


def test_a_class_and_every_class():
    run = made_run()
    one = gate(run, Rule(id="r", where={"class": "3"}, min=0.3)).results[0]
    assert [(m.class_name, m.n) for m in one.matches] == [("3", 10)]
    every = gate(run, Rule(id="r", where={"class": "*"}, min=0.3)).results[0]
    assert [m.class_name for m in every.matches] == [str(k) for k in range(10)]
    assert gate(run, Rule(id="r", where={"class": "cat"}, min=0.3)).results[0].verdict == "ERROR"


def test_groups_are_the_units():
    groups = np.arange(400) // 8
    run, grouped = simple_run(320, 400), simple_run(320, 400, groups=groups)
    assert gate(run, Rule(id="r", min=0.75)).verdict == "PASS"
    assert gate(grouped, Rule(id="r", min=0.75)).verdict == "INCONCLUSIVE"


def test_levels_and_inconclusive_decide_the_exit_code():
    run = simple_run(90, 100)
    good, bad, open_ = ({"min": x} for x in (0.7, 0.99, 0.9))
    codes = {
        0: [(good, "fail"), (bad, "warn")],
        3: [(good, "fail"), (open_, "fail"), (bad, "fail")],
        4: [(good, "fail"), (open_, "fail")],
    }
    for code, rules in codes.items():
        rules = [Rule(id=str(i), level=level, **rule) for i, (rule, level) in enumerate(rules)]
        assert gate(run, rules).exit_code == code
    lenient = GateSettings(inconclusive="warn")
    assert gate(run, Rule(id="a", **open_), lenient).exit_code == 0
    assert gate(run, Rule(id="a", **bad), lenient).exit_code == 3


CHECK = {
    "name": "logits",
    "status": "triggered",
    "seen": "no logits",
    "advice": "Remove the layer.",
}
ATTACK = {"spec": "pgd(eps=0.1)", "kind": "attack", "threats": [{"norm": "linf", "eps": 0.1}]}
ERRORS = {
    "nothing matched": (lambda: simple_run(90, 100), {"where": {"condition": "fog(*)"}}, "Nothing matched"),
    "interrupted": (lambda: simple_run(90, 100, status="interrupted"), {}, "was interrupted before its end"),
    "failed": (lambda: simple_run(90, 100, status="failed"), {}, "was failed before its end"),
    "a part": (
        lambda: simple_run(90, 100, shard={"index": 1, "count": 3, "n_whole": 300}),
        {},
        "part 1 of 3",
    ),
    "fewer rows": (lambda: simple_run(90, 100, data={"n_used": 120}), {}, "100 of 120 images"),
    "demo": (lambda: simple_run(90, 100, demo=True), {}, "demo network"),
    "check of the network": (lambda: simple_run(90, 100, checks=[CHECK]), {}, "trust check logits triggered"),
    "no detector": (lambda: simple_run(90, 100), {"metric": "flagged_share", "max": 0.1}, "no detector"),
    "no attack": (
        lambda: simple_run(90, 100),
        {"metric": "robust_accuracy", "where": {"condition": "clean"}},
        "it is no attack",
    ),
    "no budget": (
        lambda: made_run(),
        {"metric": "robust_accuracy", "where": {"condition": "cw(norm=l2)"}},
        "median_distortion",
    ),
    "NaN": (
        lambda: made_run(samples=lambda frame: frame.assign(brier=np.float32("nan"))),
        {"metric": "brier", "max": 0.5},
        "NaN for 100 of 100",
    ),
    "no baseline": (lambda: simple_run(90, 100), {"max_drop": 0.01}, "no baseline"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_reason_for_an_error(name):
    make, rule, words = ERRORS[name]
    rule = rule if {"max", "max_drop"} & set(rule) else {**rule, "min": 0.5}
    report = gate(make(), Rule(id="r", **rule))
    (result,) = report.results
    assert result.verdict == "ERROR"
    assert report.exit_code == 3
    assert words in result.words
    assert result.remedy


def test_an_unfinished_run_is_finished_and_a_merge_without_a_shard_done_again():
    for merged, unfinished, remedy in (
        ([], ".unfinished-1", "Finish it: rb attack --on 'pgd(eps=0.1)' --resume"),
        ([], "", "Run it again: rb attack --on 'pgd(eps=0.1)'"),
        (["one", "two"], "", "Give rb merge all shards"),
    ):
        run = simple_run(90, 100, status="interrupted", merged=merged, unfinished=unfinished)
        assert remedy in gate(run, Rule(id="r", min=0.5)).results[0].remedy


def test_a_check_of_a_condition_stops_that_condition_alone_unless_it_is_allowed():
    run = simple_run(60, 100, **ATTACK)
    run.record.conditions[1].checks.append(
        type(run.record).model_validate({**run.record.model_dump(), "checks": [CHECK]}).checks[0]
    )
    rules = [Rule(id="clean", min=0.9), Rule(id="pgd", metric="robust_accuracy", min=0.4)]
    assert [r.verdict for r in gate(run, rules).results] == ["PASS", "ERROR"]
    stopped = gate(run, rules)
    assert 'allow_triggered = ["logits"]' in stopped.results[1].remedy
    assert stopped.warnings == []
    allowed = gate(run, rules, GateSettings(allow_triggered=("logits",), allow_demo=True))
    assert allowed.exit_code == 0
    assert [w.partition(" is set")[0] for w in allowed.warnings] == ["allow_demo", "allow_triggered"]
    assert "logits" in allowed.warnings[1]
    assert gate(run, rules, GateSettings(allow_triggered=("noise",))).exit_code == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"manifest_sha256": "ef" * 32}}, "about other images"),
        ({"class_names": list("abcdefghij")}, "other classes"),
        ({"status": "interrupted"}, "the baseline was interrupted"),
        ({"demo": True}, "the baseline is of the demo network"),
        ({"checks": [CHECK]}, "triggered on the network of the baseline"),
        ({"spec": "fog", "kind": "shift", "severity": 3.0}, "has no night"),
    ],
)
def test_baselines_that_are_none(changes, words):
    given = {"spec": "night", "kind": "shift", "severity": 3.0}
    run = simple_run(90, 100, **given)
    baseline = simple_run(90, 100, path="baseline", **{**given, **changes})
    result = gate(run, Rule(id="r", where={"condition": "night"}, max_drop=0.1), baseline=baseline).results[0]
    assert result.verdict == "ERROR"
    assert words in result.words.lower()


def test_a_run_is_not_compared_with_itself():
    run = simple_run(90, 100)
    result = gate(run, Rule(id="r", max_drop=0.1), baseline=run).results[0]
    assert (result.verdict, result.words) == ("ERROR", "the run is the baseline itself.")


def test_several_runs_and_a_rule_that_only_one_has():
    runs = [simple_run(95, 100, path="a"), simple_run(80, 100, path="b", spec="fog", kind="shift", severity=3.0)]
    report = gate(runs, [Rule(id="clean", min=0.8), Rule(id="fog", where={"condition": "fog"}, min=0.6)])
    assert [[m.run for m in r.matches] for r in report.results] == [["a", "b"], ["b"]]
    assert report.exit_code == 0
    with pytest.raises(InputError, match=r"^a2 and a are the same run: both have the id one"):
        gate([simple_run(1, 2, path="a", id="one"), simple_run(1, 2, path="a2", id="one")], Rule(id="r", min=0.1))


def test_bad_rules():
    run = simple_run(90, 100)
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        gate(run, Rule(id="r", metric="acuracy", min=0.5))
    with pytest.raises(InputError, match="no rule"):
        gate(run, [])
    with pytest.raises(InputError, match="no run"):
        gate([], Rule(id="r", min=0.5))
    with pytest.raises(InputError, match="two rules have the id 'r'"):
        gate(run, [Rule(id="r", min=0.5), Rule(id="r", min=0.6)])
    for bad in (
        {},
        {"min": 0.5, "max_drop": 0.1},
        {"min": float("nan")},
        {"min": float("inf")},
        {"max_drop": -0.1},
        {"min": 0.9, "max": 0.1},
        {"min": 0.5, "baseline": "x"},
        {"min": 0.5, "wher": {}},
    ):
        with pytest.raises(ValidationError):
            Rule(id="r", **bad)


@pytest.mark.parametrize(
    ("right", "bound", "limit", "end"),
    [
        (99, "min", 0.9, "; the limit, at least 90.0\xa0%, is kept."),
        (60, "min", 0.9995, "; the limit, at least 99.95\xa0%, is broken."),
        (90, "max", 0.9, "; whether the limit, at most 90.0\xa0%, is kept cannot be told."),
    ],
)
def test_a_verdict_in_words_has_the_limit_with_all_its_digits(right, bound, limit, end):
    (words,) = [m.words for m in gate(simple_run(right, 100), Rule(id="r", **{bound: limit})).results[0].matches]
    assert words.startswith(f"accuracy under clean is {right}.00 % (")
    assert words.endswith(f" %) on 100 images{end}")


def ids(report):
    return [r.verdict for r in report.results]


def test_pass_is_not_corrected_for_the_number_of_rules():
    run = simple_run(90, 100)
    many = [Rule(id=str(k), min=0.83 - k / 1000) for k in range(8)]  # 0.8363 alone; corrected 0.81
    assert set(ids(gate(run, many))) == {"PASS"}
    assert set(ids(gate(simple_run(10, 100), [Rule(id=str(k), max=0.17) for k in range(8)]))) == {"PASS"}


def test_at_the_limit_even_a_bound_that_is_the_limit_is_not_enough():
    run, baseline = (simple_run(0, 100, path=p) for p in ("run", "baseline"))
    assert gate(run, Rule(id="r", max=0.0)).verdict == "INCONCLUSIVE"
    assert gate(run, Rule(id="r", max_rise=0.0), baseline=baseline).verdict == "INCONCLUSIVE"


def test_as_many_images_as_asked_for_are_enough():
    assert gate(simple_run(100, 100), Rule(id="r", min=0.9, min_n=100)).verdict == "PASS"


def test_the_order_of_verdicts():
    from robustbench_lite.gates.deciding import worst

    assert [worst(v) for v in (["PASS", "INCONCLUSIVE"], ["INCONCLUSIVE", "ERROR"], ["ERROR", "FAIL"], [])] == [
        "INCONCLUSIVE",
        "ERROR",
        "FAIL",
        "PASS",
    ]


@pytest.mark.parametrize("side", ["run", "baseline"])
@pytest.mark.parametrize(
    "change",
    [lambda f: f.iloc[:-1], lambda f: f.iloc[[0, *range(len(f))]], lambda f: f.iloc[[0, *range(len(f) - 1)]]],
    ids=["missing", "twice", "twice for another"],
)
def test_rows_are_those_that_the_record_tells_of(side, change):
    runs = {name: simple_run(95, 100, path=name) for name in ("run", "baseline")}
    runs[side] = runs[side].replace(samples=change(runs[side].samples))
    rules = [Rule(id="own", min=0.5), Rule(id="change", max_drop=0.2)]
    own, fall = gate(runs["run"], rules, baseline=runs["baseline"]).results
    assert (own.verdict, fall.verdict) == ("ERROR" if side == "run" else "PASS", "ERROR")
    assert "images under clean, not 100" in fall.words


def test_a_baseline_that_lacks_images():
    run, baseline = (simple_run(95, 100, path=p) for p in ("run", "baseline"))
    baseline.record.conditions[0].n = 99
    result = gate(run, Rule(id="r", max_drop=0.2), baseline=baseline).results[0]
    assert (result.verdict, "the baseline has 99 of 100" in result.words.lower()) == ("ERROR", True)


def test_conditions_that_only_the_baseline_has_are_not_forgotten():
    run, baseline = simple_run(95, 100, spec="night(severity=1)", kind="shift", severity=1.0), made_run("old")
    rule = Rule(id="r", where={"condition": "night(*)", "kind": "shift"}, max_drop=0.3)
    result = gate(run, rule, baseline=baseline).results[0]
    assert result.verdict == "ERROR"
    assert "no run has night(severity=5), which the baseline has" in " ".join(m.words for m in result.matches)
    rest = made_run("rest")
    assert gate([run, rest], rule, baseline=baseline).results[0].verdict == "PASS"


def test_the_very_same_run_twice():
    run = simple_run(90, 100)
    with pytest.raises(InputError, match="are the same run"):
        gate([run, run], Rule(id="r", min=0.1))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"max_drop": 1}, "0.01 for 1 %"),
        ({"metric": "ece", "max": 5}, "0.05 for 5 %"),
        ({"metric": "mce", "max": 76.7}, "0.767 for 76.7 %"),
        ({"min": 95}, "0.95 for 95 %"),
        ({"min": -0.1}, "Mend the rule"),
        ({"min": 0}, "Mend the rule"),
        ({"metric": "brier", "max": 2}, "Mend the rule"),
    ],
)
def test_limits_that_say_nothing_are_refused(rule, told):
    with pytest.raises(InputError) as refused:
        gate(simple_run(90, 100), Rule(id="r", **rule))
    assert told in str(refused.value)


def test_p_of_a_change_is_mcnemars_and_left_out_with_groups():
    from scipy.stats import binomtest

    run, baseline = pair(80, 12, 3, 5)
    (match,) = gate(run, Rule(id="r", max_drop=0.2), baseline=baseline).results[0].matches
    assert match.p_change == pytest.approx(binomtest(3, 15).pvalue)
    run, baseline = pair(80, 12, 3, 5, groups=np.arange(100) // 4)
    (match,) = gate(run, Rule(id="r", max_drop=0.2), baseline=baseline).results[0].matches
    assert match.p_change is None


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"where": {"class": "2"}, "min": 0.8}, "images of that class (chosen"),
        ({"where": {"class": "*"}, "min": 0.8}, "images of each class (chosen"),
        ({"metric": "worst_class", "min": 0.7}, "images of that class (chosen"),
        ({"min": 0.5, "min_n": 5000}, "Evaluate about 5000 images (chosen"),
        ({"min": 0.99, "min_n": 5000}, "Evaluate more images, 5000 at the least (chosen"),
    ],
)
def test_how_many_images_and_of_what(rule, told):
    result = gate(made_run(), Rule(id="r", **rule)).results[0]
    assert result.verdict == "INCONCLUSIVE"
    assert told in result.remedy


def test_a_name_that_matches_nothing_is_told_how_to_be_written():
    for where, is_told in (({"condition": "fog"}, True), ({"condition": "fog(*)"}, False)):
        (result,) = gate(simple_run(90, 100), Rule(id="r", min=0.5, where=where)).results
        assert ("fog(*) is all of them" in result.remedy) == is_told


def test_a_number_that_is_nan_is_never_judged():
    from robustbench_lite.gates.bounds import Estimate
    from robustbench_lite.gates.comparing import Comparison
    from robustbench_lite.gates.deciding import judge
    from robustbench_lite.gates.metric import Subject
    from robustbench_lite.gates.metrics import METRICS

    estimate = Estimate(float("nan"), 100, lambda a: 0.9, lambda a: 0.95)
    about = METRICS["accuracy"], "run", Subject("clean", ("clean",))
    for bound, limit in (("min", 0.5), ("max", 0.99), ("min", 0.99)):
        one = Comparison(Rule(id="r", **{bound: limit}), *about, bound, limit, estimate)
        (match,) = judge([one], GateSettings())
        assert (match.verdict, match.value, match.words) == ("ERROR", None, "the number is NaN.")


@pytest.mark.parametrize("metric", ["flagged_share", "false_alarm_rate", "auroc"])
def test_a_baseline_without_a_detector(metric):
    run, baseline = (made_run(path, detector=d) for path, d in (("run", DETECTOR), ("old", None)))
    result = gate(run, Rule(id="r", metric=metric, max_drop=0.1), baseline=baseline).results[0]
    assert result.verdict == "ERROR"
    assert f"the baseline has no detector, which {metric} is about" in result.words
    assert result.remedy == "Run it with --detector."
