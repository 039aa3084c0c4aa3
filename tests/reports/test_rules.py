"""The rows of a gate's table: the number that decides, in its rule's unit, against the limit that was asked."""

import pytest
from made_gates import match, report, result

from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.wording import told
from robustbench_lite.reports import rules


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({"min": 0.9}, "at least 90.0 %"),
        ({"min": 0.9995}, "at least 99.95 %"),
        ({"max": 0.00001}, "at most 0.001 %"),
        ({"max_drop": 0.0005}, "a fall of at most 0.05 points"),
        ({"max_drop": 0.01}, "a fall of at most 1.0 point"),
        ({"max_rise": 0.025}, "a rise of at most 2.5 points"),
        ({"metric": "brier", "max": 0.12345}, "at most 0.12345"),
        ({"min": 0.9, "max": 0.99}, "at least 90.0 % and at most 99.0 %"),
    ],
)
def test_a_limit_is_not_rounded(asked, written):
    assert rules.limit(Rule(id="r", **asked)).replace("\xa0", " ") == written


def test_the_sentence_has_the_limit_that_was_asked():
    close = match("INCONCLUSIVE", bound="min", limit=0.99995, value=0.99991)
    assert "whether the limit, at least 99.995\xa0%, is kept" in told(close, "share", Rule(id="r", min=0.99995))


def test_the_worst_match_comes_first_also_of_those_that_pass():
    matches = [
        match(condition="far", bound="min", limit=0.5, ci_low=0.9),
        match(condition="near", bound="min", limit=0.5, ci_low=0.51, value=0.6),
        match(condition="between", bound="min", limit=0.5, ci_low=0.7),
    ]
    (row,) = rules.rows(report(result(min=0.5, matches=matches)))
    assert [line.condition for line in row.lines] == ["near", "between", "far"]
    assert row.value == "60.00 %"
    at_most = [
        match(condition=name, bound="max", limit=0.5, ci_low=0, ci_high=high)
        for name, high in (("a", 0.1), ("b", 0.4))
    ]
    (row,) = rules.rows(report(result(min=None, max=0.5, matches=at_most)))
    assert [line.condition for line in row.lines] == ["b", "a"]


def test_bounds_beyond_all_are_no_per_cent():
    endless = match(
        "INCONCLUSIVE", metric="mce", bound="max", limit=1.0, value=0.8, ci_low=0.5, ci_high=float("inf")
    )
    rule = {"metric": "mce", "min": None, "max": 1.0}
    (row,) = rules.rows(report(result(verdict="INCONCLUSIVE", matches=[endless], **rule)))
    assert row.interval == "50.00 % to beyond all"


def test_words_stand_beside_columns_only_where_they_say_more():
    def more(rule, **changes):
        rules_of = {"min": None, **rule}
        both = [match(**changes), match(condition="other", **changes)]
        (row,) = rules.rows(report(result(matches=both, **rules_of)))
        return {line.more for line in row.lines}

    assert more({"min": 0.9}, bound="min", limit=0.9) == {False}
    assert more({"min": 0.9, "min_n": 2000}, verdict="INCONCLUSIVE", bound="min", limit=0.9) == {True}
    assert more({"max_drop": 0.1}, bound="max_drop", limit=0.1) == {True}  # from where to where
    assert more({"min": 0.9}, verdict="ERROR", value=None, ci_low=None, ci_high=None) == {True}


def test_what_a_check_saw_is_told_once():
    def stopped(condition, check="zero_gradients"):
        words = f"the trust check {check} triggered on {condition}: 12 of 100 images."
        return match("ERROR", condition, value=None, ci_low=None, ci_high=None, words=words)

    found = report(result(verdict="ERROR", matches=[stopped("a"), stopped("b"), stopped("c", "noise")]))
    (row,) = rules.rows(found)
    assert [line.words for line in row.lines] == [
        "the trust check zero_gradients triggered on a: 12 of 100 images.",
        "the trust check zero_gradients triggered on b, too.",
        "the trust check noise triggered on c: 12 of 100 images.",
    ]


def test_where_all_rules_only_warn_nothing_is_fit_for_release():
    for verdict in ("PASS", "INCONCLUSIVE"):
        told = rules.decision(report(result("soft", "FAIL", level="warn"), verdict=verdict))
        assert told == ("Not decided.", "All rules only warn. Not kept, but meant as a warning only: soft.")


def test_the_rules_that_are_counted_are_said_to_be_those_that_bind():
    told = result("soft", level="warn")
    assert (
        rules.decision(report(result("a", "FAIL"), result("b"), told))[1] == "1 of 2 binding rules is broken: a."
    )
    assert rules.decision(report(result("a", "FAIL"), result("b")))[1] == "1 of 2 rules is broken: a."
    assert rules.decision(report(result("a"), result("b"), told))[1] == "All 2 binding rules are kept."
