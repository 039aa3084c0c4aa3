"""A comparison of runs as one page that opens from disk, and fetches nothing."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.comparison import Comparison, Difference
from robustbench_lite.reports import comparison_words as words
from robustbench_lite.reports.changed_pictures import IN_ALL, Album, ChangedSection
from robustbench_lite.reports.comparison_text import AllChanged
from robustbench_lite.reports.page import environment, inlined
from robustbench_lite.reports.words import alarms


class _Row(NamedTuple):
    """One condition over all runs; None where a run has not got it."""

    condition: str
    n: str
    before: str
    found: list[Difference | None]


def comparison_html(comparison: Comparison, changed: AllChanged, limit: int) -> str:
    """The page: the outcome, a table with a block of columns per run, and the images that broke or were mended.

    Args:
        comparison: what is shown.
        changed: per run all images that changed, by condition.
        limit: at most so many broken and so many mended of each condition are shown.
    """
    names = words.named(comparison)
    others = [
        (name.letter, [(d.condition, o, words.other(o)) for d in one.differences for o in d.others])
        for name, one in zip(names[1:], comparison.compared, strict=True)
    ]
    page = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            title=words.title(comparison),
            sentences=words.sentences(comparison),
            strongest=words.strongest(comparison),
            alarms=[f"{name.letter}: {alarm}" for name in names for alarm in alarms(name.run)],
            names=names,
            notes=words.notes(comparison),
            rows=_rows(comparison),
            key=words.key(comparison),
            words=words,
            others=[
                (letter, [entry for entry in found if entry[1].before != entry[1].after])
                for letter, found in others
            ],
            sections=_sections(comparison, changed, limit),
            limit=limit,
            **inlined("report.css", "comparison.css"),
        )
    )
    return page + "\n"


def _rows(comparison: Comparison) -> list[_Row]:
    tables = [{d.condition: d for d in one.differences} for one in comparison.compared]
    rows = []
    for condition in dict.fromkeys(spec for table in tables for spec in table):
        found = [table.get(condition) for table in tables]
        those = [d for d in found if d is not None]
        n = " / ".join(map(str, sorted({d.n for d in those})))
        rows.append(_Row(condition, n, words.accuracy(those[0].before, those[0].n), found))
    return rows


def _sections(
    comparison: Comparison, changed: AllChanged, limit: int
) -> list[tuple[words.Named, list[ChangedSection]]]:
    names, found = words.named(comparison), []
    room = IN_ALL
    for name, one, by_condition in zip(names[1:], comparison.compared, changed, strict=True):
        album = Album(one.run, comparison.baseline, (names[0].letter, name.letter), room)
        found.append((name, [album.section(spec, images, limit) for spec, images in by_condition.items()]))
        room = album.room
    return found
