"""What a rule's text for a condition stands for."""

import dataclasses
import json

import pytest
from gate_runs import made_run

from robustbench_lite import registry
from robustbench_lite.applying import resolve
from robustbench_lite.condition_records import _parameters
from robustbench_lite.gates.matching import fits, matching
from robustbench_lite.gates.rule import Where
from robustbench_lite.records import ConditionRecord
from robustbench_lite.scoring import severity
from robustbench_lite.specs import format_value

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


EPS = {"linf": 0.1, "l2": 1.0, "l1": 10.0, "l0": 5.0}
NEEDED = {
    "worst": "worst(fgsm, square(queries=50))",
    "torchattacks": "torchattacks:PGD",
    **dict.fromkeys(("imagenet_c", "cifar10_c", "tiny_imagenet_c"), "{}(corruption=fog)"),
}


def recorded(text):
    """What a run writes down of a condition, through JSON."""
    condition = resolve(registry.make(text), EPS)
    parameters = [_parameters(part) for part in condition.parts]
    told = {
        "spec": registry.spec(condition),
        "kind": condition.kind,
        "severity": severity(condition),
        "parameters": parameters,
        "threat_model": [],
        "warnings": [],
        "n": 1,
        "forwards": 1,
        "gradients": 0,
        "seconds": 0.0,
    }
    return ConditionRecord.model_validate_json(json.dumps(told))


def in_full(text):
    """A spec with every default written out."""
    part = resolve(registry.make(text), EPS).parts[0]
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part) if f.compare}
    members = [registry.spec(attack) for attack in fields.pop("attacks", ())]
    written = [f"{name}={format_value(value)}" for name, value in fields.items()]
    return f"{registry.spec(part).partition('(')[0]}({', '.join([*members, *written])})"


@pytest.mark.parametrize("name", sorted({**registry.names("shift"), **registry.names("attack")}))
def test_every_name_stands_for_its_defaults(name):
    if name == "torchattacks":
        pytest.importorskip("torchattacks")
    text = NEEDED.get(name, name).format(name)
    record = made_run(data={"eps": EPS}).record
    alone, chain = recorded(text), recorded(f"night + {text}")
    others = [recorded("night(severity=2)"), recorded("pgd(eps=0.05)")]
    record.conditions = [alone, *others, *([] if name == "night" else [chain])]
    for asked in (text, in_full(text), alone.spec):
        assert [c.spec for c in matching(Where(condition=asked), record)] == [alone.spec], asked
    record.conditions = [alone, chain, recorded(f"night(severity=2) + {text}")]
    for asked in (f"night + {text}", chain.spec):
        assert [c.spec for c in matching(Where(condition=asked), record)] == [chain.spec], asked


def test_a_severity_that_is_left_out_is_the_usual_one():
    record = made_run().record
    record.conditions = [recorded(f"night(severity={s})") for s in (1, 2, 3, 5)]
    record.conditions += [recorded("night(motion=0.05)"), recorded("night(motion=0.05, severity=2)")]

    def found(**where):
        return [c.spec for c in matching(Where(**where), record)]

    assert found(condition="night") == found(condition="night", severity=3) == ["night(severity=3)"]
    assert found(condition="night", severity=5) == ["night(severity=5)"]
    assert len(found(condition="night(severity=*)")) == 6
    assert len(found(condition="night*")) == 6
    assert found(condition="night(motion=0.05)") == ["night(severity=3, motion=0.05)"]


def test_only_two_signs_are_wildcards():
    assert fits("a[b]*", "a[b]c")
    assert not fits("a[b]*", "abc")
    assert fits("*", "a\nb")
    assert not fits("a.c", "abc")
