"""The gate's table in terminals wide and narrow, with colours and without."""

import io

import pytest
from made_gates import EACH, hostile, report, result
from rich.console import Console

from robustbench_lite.reports.gate_table import gate_table


def printed(found, width=140, **settings):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False, **settings)
    console.print(gate_table(found, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_each_verdict_has_shape_and_word(width):
    text = printed(EACH, width)
    for word in ("✓ PASS", "✗ FAIL", "? INCONCLUSIVE", "! ERROR"):
        assert word in text
    assert max(map(len, text.splitlines())) <= width
    joined = " ".join(text.split())
    assert joined.startswith(
        "! ERROR Not to be released: it was not judged. 1 of 4 binding rules could not be applied: fog."
    )
    assert "next: Run it again with --limit 2000." in joined
    assert "worst-class (only a warning)" in joined
    assert ("interval" in text) == (width >= 100)


def test_numbers_of_the_rule():
    (row,) = [line for line in printed(report(result("clean"))).splitlines() if "clean " in line]
    for part in ("93.0", "91.5", "94.5", "1000", "at least 90.0", "night(severity=3)"):
        assert part in row


def test_colours_and_none(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed(EACH, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    bare = printed(EACH, force_terminal=True)
    assert "✗ FAIL" in bare
    assert not any(f"\x1b[{code}m" in bare or f";{code}m" in bare for code in range(30, 38))


@pytest.mark.parametrize("width", [40, 140])
@pytest.mark.parametrize("most", [1, 100])
def test_hostile_text(width, most):
    text = printed(hostile(most), width)
    assert "\x1b" not in text
    assert "##[" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert "\u202e" not in text
    assert len(text) < 60_000


def test_a_metric_has_one_unit_in_the_table_and_in_the_words():
    from robustbench_lite.gates.metrics import METRICS
    from robustbench_lite.gates.rule import Rule
    from robustbench_lite.gates.wording import written
    from robustbench_lite.reports.rules import limit

    for name, metric in METRICS.items():
        words, table = written(0.42, metric.unit), limit(Rule(id="r", metric=name, max=0.42))
        assert ("%" in words) == ("%" in table), name
