"""Tables of several runs have one row of heads that name the run, and are sorted by any column."""

import re

import pytest
from made_runs import CONDITIONS, Made, write_made

from robustbench_lite.changed_images import changed_images
from robustbench_lite.comparison import compare
from robustbench_lite.reports.comparison_html import comparison_html
from robustbench_lite.reports.html import html_report


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A, and two that are worse; the last lacks a condition."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for i, lost in enumerate((0, 0.1, 0.2)):
        conditions = [
            (spec, kind, severity, threats, max(0.0, accuracy - lost * (j % 3)), gradients)
            for j, (spec, kind, severity, threats, accuracy, gradients) in enumerate(CONDITIONS[: 6 - (i == 2)])
        ]
        found.append(write_made(folder / str(i), Made(conditions=conditions, examples=1, record={"id": f"r{i}"})))
    return found


def column(table, button):
    """The first lines of the cells below a button, as numbers; None where there is none."""
    place = button.evaluate("b => b.closest('th').cellIndex")
    cells = table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
    first = [re.match(r"[-+]?[\d.]+", cell.strip().replace("−", "-")) for cell in cells]
    return [None if found is None else float(found[0]) for found in first]


def assert_sorted(table, name):
    button = table.get_by_role("button", name=name, exact=True)
    before = column(table, button)
    numbers = sorted(n for n in before if n is not None)
    missing = [None] * before.count(None)
    assert len(set(numbers)) > 2
    button.click()
    assert column(table, button) == [*numbers, *missing]
    button.click()
    assert column(table, button) == [*reversed(numbers), *missing]
    button.click()
    assert column(table, button) == before


def test_a_comparison_is_sorted_by_any_column_of_any_run(open_page, runs, violations, tmp_path):
    found = compare(runs)
    changed = [
        changed_images(one.run, found.baseline, [d.condition for d in one.differences]) for one in found.compared
    ]
    file = tmp_path / "comparison.html"
    file.write_text(comparison_html(found, changed, 1), encoding="utf-8")
    opened = open_page(file, viewport={"width": 1280, "height": 900})
    table = opened.page.get_by_role("group", name="Differences under every condition").locator("table")
    for name in ("A accuracy", "B accuracy", "B against A difference", "C against A difference", "C broken"):
        assert_sorted(table, name)
    assert table.locator("[colspan], [rowspan]").count() == 0
    assert violations(opened.page, ".scroll") == []
    assert opened.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    opened.assert_quiet()


def test_runs_side_by_side_are_sorted_by_any_column_of_any_run(open_page, runs, tmp_path):
    file = tmp_path / "several.html"
    file.write_text(html_report(runs), encoding="utf-8")
    opened = open_page(file)
    table = opened.page.get_by_role("group", name="Runs side by side").locator("table")
    for name in ("A accuracy", "B against A", "C accuracy"):
        assert_sorted(table, name)
    opened.assert_quiet()
