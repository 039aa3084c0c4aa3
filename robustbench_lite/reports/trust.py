"""The trust checks of a run in words."""

from __future__ import annotations

from collections import Counter

from robustbench_lite.records import CheckRecord
from robustbench_lite.runs import Run


def sections(run: Run) -> list[tuple[str, list[CheckRecord]]]:
    """What was checked: ``the network``, then every condition that has checks, by its spec."""
    found = [("the network", run.record.checks)]
    found += [(condition.spec, condition.checks) for condition in run.record.conditions]
    return [(about, checks) for about, checks in found if checks]


def triggered(run: Run) -> list[tuple[str, CheckRecord]]:
    """The checks that triggered, each with its sentence; that of a condition begins with its spec."""
    found = [(check.seen, check) for check in run.record.checks]
    found += [(f"{c.spec}: {check.seen}", check) for c in run.record.conditions for check in c.checks]
    return [(sentence, check) for sentence, check in found if check.status == "triggered"]


def summary(run: Run) -> str:
    """``10 of 10 passed``, or how many triggered or did not run; empty for a run without checks."""
    checks = [check for _, found in sections(run) for check in found]
    return counted(checks) if checks else ""


def counted(checks: list[CheckRecord]) -> str:
    """The same of some checks."""
    counts = Counter(check.status for check in checks)
    n = counts.total()
    others = [f"{counts[status]} {status}" for status in ("triggered", "not run") if counts[status]]
    return ", ".join([f"{counts['passed']} of {n} passed", *others])
