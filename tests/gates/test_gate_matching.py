"""What a rule's text for a condition stands for."""

import pytest
from gate_runs import made_run

from robustbench_lite.gates.matching import fits, matching
from robustbench_lite.gates.rule import Where

LINF = [{"norm": "linf", "eps": 0.1}]
PGD = "pgd(eps=0.1, norm=l2, steps=20)"
CONDITIONS = [
    ("clean", "clean", None, [], 1.0, 0),
    ("pgd(eps=0.1)", "attack", None, LINF, 0.5, 40),
    (PGD, "attack", None, LINF, 0.5, 40),
    ("night", "shift", 3.0, [], 0.5, 0),
    ("night(severity=5)", "shift", 5.0, [], 0.5, 0),
    ("worst(fgsm, pgd, eps=0.1)", "attack", None, LINF, 0.5, 40),
    ("night + pgd(eps=0.1)", "chain", 3.0, LINF, 0.5, 40),
]


@pytest.fixture(scope="module")
def record():
    record = made_run(conditions=CONDITIONS).record
    parameters = {
        "pgd(eps=0.1)": [{"name": "pgd", "eps": 0.1, "norm": "linf", "steps": 40, "loss": "ce"}],
        PGD: [{"name": "pgd", "eps": 0.1, "norm": "l2", "steps": 20, "loss": "ce"}],
        "night": [{"name": "night", "severity": 3.0, "gain": None}],
        "night(severity=5)": [{"name": "night", "severity": 5.0, "gain": None}],
        "night + pgd(eps=0.1)": [
            {"name": "night", "severity": 3.0, "gain": None},
            {"name": "pgd", "eps": 0.1, "norm": "linf", "steps": 40, "loss": "ce"},
        ],
    }
    for condition in record.conditions:
        condition.parameters = parameters.get(condition.spec, [])
    return record


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("clean", ["clean"]),
        ("pgd(eps=0.1)", ["pgd(eps=0.1)"]),
        ("PGD( eps = 0.10 )", ["pgd(eps=0.1)"]),
        ("pgd(steps=40, eps=0.1)", ["pgd(eps=0.1)"]),  # a default that is written
        ("pgd(loss=ce, norm=linf, eps=0.1)", ["pgd(eps=0.1)"]),
        ("pgd", ["pgd(eps=0.1)"]),  # the data's usual budget
        ("pgd(steps=20, eps=0.1, norm=l2)", [PGD]),  # another order
        ("pgd(steps=20, eps=0.1)", []),  # the norm is no default
        ("pgd(norm=l2, eps=0.1)", []),  # nor are the steps
        ("pgd(norm=l2, steps=20)", []),  # 0.1 is not the usual budget of l2
        ("pgd(norm=l2, loss=ce, steps=20, eps=0.1)", [PGD]),
        ("pgd(eps=0.1, loss=dlr)", []),
        ("pgd() + night()", []),  # another order of steps
        ("night + pgd", ["night + pgd(eps=0.1)"]),
        ("night + pgd + clean", []),
        ("pgd(eps=0.2)", []),
        ("pgd(eps=0.1, alpha=3)", []),
        ("pgd(*)", ["pgd(eps=0.1)", PGD]),
        ("*", [c[0] for c in CONDITIONS]),
        ("night(severity=3)", ["night"]),
        ("night(severity=*)", ["night", "night(severity=5)"]),
        ("night(severity=?)", ["night", "night(severity=5)"]),
        ("night(severity=3) + pgd(steps=40, eps=0.1)", ["night + pgd(eps=0.1)"]),
        ("* + *", ["night + pgd(eps=0.1)"]),
        ("worst(fgsm, pgd, eps=0.1)", ["worst(fgsm, pgd, eps=0.1)"]),
        ("worst(fgsm, eps=0.1)", []),
        ("no spec (", []),
        ("", []),
    ],
)
def test_conditions(record, text, found):
    assert [c.spec for c in matching(Where(condition=text), record)] == found


def test_other_filters(record):
    assert [c.spec for c in matching(Where(kind="shift"), record)] == ["night", "night(severity=5)"]
    assert [c.spec for c in matching(Where(kind="shift", severity=5), record)] == ["night(severity=5)"]
    assert len(matching(Where(), record)) == len(CONDITIONS)


@pytest.mark.parametrize(
    ("condition", "severity", "found"),
    [
        ("night", 5, ["night(severity=5)"]),
        ("night", 3, ["night"]),
        ("night", 4, []),
        ("night(severity=5)", 5, ["night(severity=5)"]),
        ("night(severity=3)", 5, []),
        ("jpeg", 5, []),
        ("no spec (", 5, []),
    ],
)
def test_a_severity_beside_a_condition_is_its_argument(record, condition, severity, found):
    assert [c.spec for c in matching(Where(condition=condition, severity=severity), record)] == found


def test_only_two_signs_are_wildcards():
    assert fits("a[b]*", "a[b]c")
    assert not fits("a[b]*", "abc")
    assert fits("*", "a\nb")
    assert not fits("a.c", "abc")
