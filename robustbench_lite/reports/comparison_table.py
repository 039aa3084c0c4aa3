"""A comparison of runs as a table for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from robustbench_lite.changed_images import Changed, ChangedImage
from robustbench_lite.comparison import Comparison, Difference
from robustbench_lite.reports import comparison_words as words
from robustbench_lite.reports.safe import short, terminal
from robustbench_lite.reports.words import class_name, percent
from robustbench_lite.runs import Run

_BLOCK = 50  # characters of the columns of one run
_FIRST = 42  # of those before them
_P = 12  # room that a column of p values needs, per run


def comparison_tables(comparison: Comparison, width: int = 140) -> list[Table]:
    """One table with a block of columns per run; where they do not fit side by side, a table per run."""
    names = words.named(comparison)
    base, others = names[0].letter, list(zip(names[1:], comparison.compared, strict=True))
    blocks = [(name.letter, {d.condition: d for d in one.differences}) for name, one in others]
    together = _FIRST + _BLOCK * len(blocks) <= width
    parts = [blocks] if together else [[block] for block in blocks]
    with_p = _FIRST + (_BLOCK + _P) * len(parts[0]) <= width
    tables = [_table(base, part, with_p=with_p) for part in parts]
    tables[0].title = Text(terminal(words.title(comparison)))
    tables[-1].caption = Text("; ".join(words.key(comparison)))
    return tables


def _table(base: str, blocks: list[tuple[str, dict[str, Difference]]], *, with_p: bool) -> Table:
    table = Table(title_justify="left", caption_justify="left")
    table.add_column("condition", overflow="fold")
    for name in ("n", base):
        table.add_column(name, justify="right", no_wrap=True)
    for letter, _ in blocks:
        for name in (
            letter,
            f"{letter} − {base}",
            "interval",
            *(["p, Holm"] if with_p else []),
            "broken",
            "mended",
        ):
            table.add_column(name, justify="right", no_wrap=True)
    for condition in dict.fromkeys(spec for _, found in blocks for spec in found):
        any_ = next(found[condition] for _, found in blocks if condition in found)
        n = {found[condition].n for _, found in blocks if condition in found}
        cells = [terminal(condition), " / ".join(map(str, sorted(n))), words.accuracy(any_.before, any_.n)]
        for _, found in blocks:
            cells += _cells(found.get(condition), with_p=with_p)
        # Text, not str: a file name or spec in brackets is no markup.
        table.add_row(*map(Text, cells))
    return table


def _cells(found: Difference | None, *, with_p: bool) -> list[str]:
    if found is None:
        return ["–"] * (6 if with_p else 5)
    p = [words.p_value(found.p_change_holm)] if with_p else []
    return [
        words.accuracy(found.after, found.n),
        words.difference(found),
        words.interval(found),
        *p,
        str(found.broken),
        str(found.mended),
    ]


def changed_table(run: Run, letter: str, changed: dict[str, Changed]) -> Table | None:
    """The images that broke or were mended, as far as they were asked for; None without any."""
    table = Table(title=Text(f"Images that changed in {letter}, the surest errors first"), title_justify="left")
    for name in ("condition", "", "file", "label", "before", "after"):
        table.add_column(name, overflow="fold")
    for condition, found in changed.items():
        for kind, images in (("broken", found.broken), ("mended", found.mended)):
            for image in images:
                cells = [condition, kind, short(image.file), *_answers(run, image)]
                table.add_row(*(Text(terminal(cell)) for cell in cells))
    return table if table.row_count else None


def _answers(run: Run, image: ChangedImage) -> list[str]:
    before, after = (
        f"{short(class_name(run.record, prediction))}, {percent(confidence, 0)}"
        for prediction, confidence in (
            (image.before, image.confidence_before),
            (image.after, image.confidence_after),
        )
    )
    return [short(class_name(run.record, image.label)), before, after]
