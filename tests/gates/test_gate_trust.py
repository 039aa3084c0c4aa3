"""What a gate says of attacks that nobody checked."""

import pytest
from gate_runs import simple_run

from robustbench_lite.gates.gate import gate
from robustbench_lite.gates.rule import Rule
from robustbench_lite.records import LEFT_OUT, CheckRecord
from robustbench_lite.reports.annotations import workflow_commands
from robustbench_lite.reports.gate_summary import summary
from robustbench_lite.reports.gate_table import gate_table
from robustbench_lite.reports.junit import junit

ATTACK = {"spec": "pgd(eps=0.1)", "kind": "attack", "threats": [{"norm": "linf", "eps": 0.1}]}
PGD = Rule(id="pgd", metric="robust_accuracy", min=0.4)


def run(*seen, path="run", status="not run"):
    made = simple_run(60, 100, path=path, **ATTACK)
    made.record.conditions[1].checks.extend(
        CheckRecord(name="one_step", status=status, seen=text) for text in seen
    )
    return made


def told(report):
    return [text for text in report.warnings if "no trust check was made" in text]


def test_every_output_warns_of_attacks_without_checks():
    report = gate(run(LEFT_OUT), PGD)
    assert report.verdict == "PASS"
    (warning,) = told(report)
    assert warning.startswith("run: no trust check was made of pgd(eps=0.1) (--no-checks)")
    assert "no trust check was made" in "".join(str(part) for part in gate_table(report).renderables)
    for text in (junit(report), summary(report), "\n".join(workflow_commands(report, "github"))):
        assert "no trust check was made" in text


@pytest.mark.parametrize(
    ("made", "rule", "count"),
    [
        (run(f"one: {LEFT_OUT}"), PGD, 1),  # a merged run, one of whose shards was not checked
        (run(LEFT_OUT), Rule(id="clean", min=0.4), 0),  # not about attacks
        (run("the attack uses no gradients."), PGD, 0),
        (run(LEFT_OUT, status="passed"), PGD, 0),
        (run(LEFT_OUT), Rule(id="fog", where={"condition": "fog"}, min=0.4), 0),
    ],
)
def test_only_what_was_judged_and_left_out_is_warned_of(made, rule, count):
    assert len(told(gate(made, rule))) == count


def test_a_baseline_without_checks_is_warned_of_where_it_is_compared_with():
    rule = Rule(id="fall", metric="robust_accuracy", max_drop=0.3)
    baseline = run(LEFT_OUT, path="old")
    assert [text.partition(":")[0] for text in told(gate(run(), rule, baseline=baseline))] == ["old"]
    assert told(gate(run(), PGD, baseline=baseline)) == []
    both = told(gate(run(LEFT_OUT), [rule, PGD], baseline=baseline))
    assert sorted(text.partition(":")[0] for text in both) == ["old", "run"]
