"""A gate's verdicts for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from robustbench_lite.gates.verdict import GateReport, Verdict
from robustbench_lite.reports.rules import SHAPES, Row, decision, rows
from robustbench_lite.reports.safe import short, terminal

# Colours that are told apart with any colour vision; shape and word say the same.
_STYLES: dict[Verdict, str] = {
    "PASS": "bold cyan",
    "FAIL": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "ERROR": "bold magenta",
}
_NARROW = 100  # columns; below, the interval and the number of images are told in the sentences only


def gate_table(report: GateReport, width: int = 140) -> Group:
    """The verdict in one line, a table with a row per rule, and below it what did not pass and what to do next.

    Args:
        report: what came of the rules.
        width: columns of the terminal.
    """
    found = rows(report)
    parts: list[Table | Text] = [_told(report.verdict, " ".join(decision(report)))]
    if found:
        parts.append(_table(found, width))
    for row in found:
        if row.verdict != "PASS":
            parts += _sentences(row)
    parts += [Text(f"warning: {_text(warning, 1000)}") for warning in report.warnings]
    return Group(*parts)


def _table(found: list[Row], width: int) -> Table:
    table = Table()
    table.add_column("verdict", no_wrap=True)
    for name in ("rule", "asked", "limit"):
        table.add_column(name, overflow="fold")
    table.add_column("found", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("interval", justify="right", no_wrap=True)
        table.add_column("n", justify="right", no_wrap=True)
    for row in found:
        texts = [row.id, row.asked, row.limit, row.value, *((row.interval, row.n) if width >= _NARROW else ())]
        word = Text(f"{SHAPES[row.verdict]} {row.verdict}", _STYLES[row.verdict])
        table.add_row(word, *(Text(_text(text)) for text in texts))
    return table


def _sentences(row: Row) -> list[Text]:
    only = " (only a warning)" if row.only_told else ""
    told = [_told(row.verdict, f"{_text(row.id)}{only}: {_text(row.words, 1000)}")]
    worst = [line for line in row.lines if line.verdict != "PASS" and line.words not in row.words][:5]
    told += [_told(line.verdict, _text(line.words, 1000), indent="    ") for line in worst]
    if row.remedy:
        told.append(Text(f"    next: {_text(row.remedy, 1000)}"))
    return told


def _told(verdict: Verdict, words: str, indent: str = "") -> Text:
    return Text.assemble(indent, (f"{SHAPES[verdict]} {verdict}", _STYLES[verdict]), f" {terminal(words)}")


def _text(text: str, most: int = 200) -> str:
    return terminal(short(text, most))
