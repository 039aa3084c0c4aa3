"""What of a page is folded: never what is worst, or what failed."""

import pytest
from made_runs import CONDITIONS, Made, write_made
from pages import Page

from robustbench_lite.records import CheckRecord
from robustbench_lite.reports.html import html_report


def folds(source):
    """Every heading that folds, and whether it is open."""
    found = {}
    for part in source.split('<details class="fold"')[1:]:
        summary = part.partition("<summary>")[2].partition("</summary>")[0]
        found[Page(summary.replace("<wbr>", "")).words.replace("\N{NO-BREAK SPACE}", " ")] = part.startswith(
            " open"
        )
    return found


def shifts(n):
    found = [(f"night(severity={1 + i / 10:g})", "shift", 1 + i / 10, [], 0.9 - i / 100, 0) for i in range(n)]
    return [CONDITIONS[0], *found]


@pytest.mark.parametrize(("n", "opened"), [(19, True), (20, False)])
def test_long_tables_are_folded(make_run, n, opened):
    found = folds(html_report(make_run(conditions=shifts(n), examples=0)))
    tables = ["Calibration and stability", "Accuracy by class", "Conditions in full"]
    assert [found[name] for name in tables] == [opened] * 3
    assert found["Under each condition"] == (n <= 20)


def test_of_many_conditions_the_worst_examples_are_open(make_run):
    found = folds(html_report(make_run(conditions=shifts(9)[::-1], examples=1)))
    examples = {name: opened for name, opened in found.items() if name.endswith(" right")}
    assert len(examples) == 9
    assert {name for name, opened in examples.items() if opened} == {
        "night(severity=1.6) 84.0 % right",
        "night(severity=1.7) 83.0 % right",
        "night(severity=1.8) 82.0 % right",
    }


def test_all_examples_of_few_conditions_are_open(make_run):
    assert all(folds(html_report(make_run(conditions=shifts(8), examples=1))).values())


def test_of_many_tables_of_checks_those_that_triggered_are_open(make_run):
    run = make_run(examples=0)
    for i, condition in enumerate(run.record.conditions):
        status = "triggered" if i == 3 else "passed"
        condition.checks.append(CheckRecord(name="noise", status=status, seen="seen."))
    found = folds(html_report(run))
    checks = {name: opened for name, opened in found.items() if " of 1 passed" in name}
    assert len(checks) == len(CONDITIONS)
    assert [name for name, opened in checks.items() if opened] == ["night(severity=1) 0 of 1 passed, 1 triggered"]


def test_of_several_runs_only_the_warnings_are_open(make_run, tmp_path):
    other = write_made(tmp_path / "other", Made(examples=0, record={"id": "20260102T000000Z-attack-other"}))
    source = html_report([make_run(examples=0), other])
    found = {name: opened for name, opened in folds(source).items() if name[:1] in "AB" and name[1:2].isdigit()}
    assert len(found) == 16
    assert [name for name, opened in found.items() if opened] == [
        "A2 Warnings, and what was not tested",
        "B2 Warnings, and what was not tested",
    ]
    # Where a link leads to is never itself folded away.
    assert source.index('id="a-conditions"') < source.index('<h2 id="a-conditions-title">')
    assert "<details" in source[source.index('id="a-conditions"') : source.index('<h2 id="a-conditions-title">')]
