"""The mean corruption error of a published set, for the terminal and in words."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from robustbench_lite.corruption_error import ALEXNET, Estimate, SuiteError
from robustbench_lite.reports.words import percent

NOTE = (
    "error: mean over the five severities. CE: that as a share of the reference's. Relative CE: the same for the "
    "error beyond that on the clean images. Corruptions in brackets are not in the means"
)


def suite_tables(found: list[SuiteError]) -> list[Text | Table]:
    """For every set its means, and a table of its corruptions; at the end what the columns are."""
    parts: list[Text | Table] = []
    for suite in found:
        parts += [Text("\n".join(["", suite.suite, *means(suite)])), _table(suite)]
    return [*parts, Text(NOTE + ".", style="italic")] if parts else []


def _table(suite: SuiteError) -> Table:
    table = Table()
    table.add_column("corruption", overflow="fold")
    names = ["error", *(["CE", "relative CE"] if suite.reference else [])]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in suite.corruptions:
        name = row.corruption if row.in_mean else f"({row.corruption})"
        cells = [row.error, row.ce, row.relative_ce][: len(names)]
        table.add_row(Text(name), *("–" if value is None else percent(value) for value in cells))
    return table


def means(suite: SuiteError) -> list[str]:
    """The means by name, each with its interval, its reference, and over what it is."""
    over = f"{suite.measured} corruptions"
    if suite.measured < len(ALEXNET):
        over = f"only {suite.measured} of the {len(ALEXNET)} corruptions"
    lines = [f"mean corruption error {_with_interval(suite.mean_error)}: over {over}, {suite.n} images"]
    if suite.reference is None:
        return [*lines, "no mCE: it needs a reference. Give --baseline, a run of another network"]
    faultless = ", ".join(c.corruption for c in suite.corruptions if c.in_mean and c.ce is None)
    unmoved = ", ".join(c.corruption for c in suite.corruptions if c.in_mean and c.relative_ce is None)
    kinds = (
        ("mCE", suite.mce, f"makes no error under {faultless}"),
        ("relative mCE", suite.relative_mce, f"loses nothing by {unmoved}"),
    )
    for name, estimate, reason in kinds:
        value = f"no {name}" if estimate is None else f"{name} {_with_interval(estimate)}"
        lines.append(f"{value}: against {suite.reference}{f', which {reason}' if estimate is None else ''}")
    return lines


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return percent(estimate.value)
    return f"{percent(estimate.value)} (95 % interval {percent(estimate.low)} to {percent(estimate.high)})"
