"""What a search for the worst case in a range has found: tables for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from robustbench_lite.reports.words import Result, class_name, percent
from robustbench_lite.runs import Run

SHOWN = 5


def search_tables(run: Run, results: list[Result]) -> list[Table]:
    """For every search the accuracy under both of its conditions, and the images that are most surely wrong."""
    accuracy = {result["condition"]: result["accuracy"] for result in results}
    tables = []
    for found in run.record.searches:
        table = Table(title=Text(f"Worst case in {found.ranges}"), title_justify="left")
        table.add_column("for", overflow="fold")
        table.add_column("found", overflow="fold")
        table.add_column("accuracy", justify="right", no_wrap=True)
        table.add_row("all images together", Text(found.together), percent(accuracy.get(found.together)))
        each = f"search.parquet; {found.method}, {found.tries} tries"
        table.add_row("every image by itself (upper bound)", Text(each), percent(accuracy.get(found.each)))
        worst = [e for e in run.record.examples if e.condition == found.each and e.role == "worst" and e.how]
        for e in worst[:SHOWN]:
            label, after = class_name(run.record, e.label), class_name(run.record, e.prediction)
            table.add_row(Text(f"{e.file}: {label} taken for {after}"), Text(e.how), "")
        tables.append(table)
    return tables
