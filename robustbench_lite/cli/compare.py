"""The command ``rb compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.conditions import ConditionOption, wanted
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.changed_images import Changed
    from robustbench_lite.comparison import Comparison

_ENDINGS = {".md": "md", ".csv": "csv", ".json": "json", ".html": "html"}
_LISTED = {"table": 0, "csv": 0, "md": 5, "json": 10, "html": 12}  # images of each condition and kind


@console.guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, on the same images.")],
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="RUN", help="What every run is compared with. (default: the first run)"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="md, csv, json or html. (default: a table, or as --out ends)"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file to write it to. (default: print it)")
    ] = None,
    condition: ConditionOption = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=0,
            help="List so many broken and mended images of each condition; with csv in place of the differences.",
        ),
    ] = None,
) -> None:
    """Compare runs on the same images, image by image: what broke, what was mended, what is beyond chance.

    Examples:

      rb compare runs/main runs/new

      rb compare runs/a runs/b runs/c --baseline runs/main --out comparison.html
    """
    format_ = _format(format_, out)
    from robustbench_lite.changed_images import changed_images
    from robustbench_lite.comparison import compare as compared
    from robustbench_lite.runs import read_run

    opened = [read_run(run) for run in runs]
    reference = None if baseline is None else read_run(baseline)
    found = compared(opened, reference, wanted(condition, [*opened, *([reference] if reference else [])]))
    if condition and not found.tested:
        raise InputError(
            f"no condition that the runs share matches {', '.join(map(repr, condition))}.",
            "See their conditions with rb show; * stands for anything.",
        )
    limit = _LISTED[format_] if samples is None else samples
    # A page shows first what there are pictures of, so it chooses from all.
    most = None if format_ == "html" else limit
    changed = [
        changed_images(
            one.run, found.baseline, [d.condition for d in one.differences if d.broken + d.mended], most
        )
        if limit
        else {}
        for one in found.compared
    ]
    text = _rendered(found, changed, format_, limit)
    if text is None:
        _print(found, changed)
    elif out is None:
        sys.stdout.write(text)
    else:
        from robustbench_lite.files import write_file

        write_file(out, text.encode("utf-8"))
        sys.stdout.write(f"{out}\n")


def _format(wanted: str | None, out: Path | None) -> str:
    ending = None if out is None else _ENDINGS.get(out.suffix.lower())
    known = [*_ENDINGS.values()]
    if wanted is not None and wanted not in known:
        raise InputError(f"unknown --format {wanted!r}.", f"Known: {', '.join(known)}.")
    if out is not None and wanted is None and ending is None:
        raise InputError(f"--out {out} does not say which format.", f"End it in {', '.join(_ENDINGS)}.")
    if out is not None and out.is_dir():
        raise InputError(f"{out} is a folder.", "Give a file.")
    return wanted or ending or "table"


def _rendered(found: Comparison, changed: list[dict[str, Changed]], format_: str, limit: int) -> str | None:
    """The text of a format; None for the table, which needs to know the terminal."""
    from robustbench_lite.reports import comparison_text as text

    if format_ == "md":
        return text.comparison_markdown(found, changed)
    if format_ == "csv":
        return text.changed_csv(found, changed) if limit else text.comparison_csv(found)
    if format_ == "json":
        return console.json_text(text.comparison_document(found, changed))
    if format_ == "html":
        from robustbench_lite.reports.comparison_html import comparison_html

        return comparison_html(found, changed, limit)
    return None


def _print(found: Comparison, changed: list[dict[str, Changed]]) -> None:
    from robustbench_lite.reports import comparison_words as words
    from robustbench_lite.reports.comparison_table import changed_table, comparison_tables
    from robustbench_lite.reports.safe import terminal

    out = console.stdout()
    for i, name in enumerate(words.named(found)):
        sys.stdout.write(terminal(f"{name.letter}: {name.words}{', the baseline' * (i == 0)}") + "\n")
    for table in comparison_tables(found, out.width):
        out.print(table)
    for name, images in zip(words.named(found)[1:], changed, strict=True):
        listed = changed_table(name.run, name.letter, images)
        if listed is not None:
            out.print(listed)
    for sentence in [*words.sentences(found), *words.strongest(found)]:
        sys.stdout.write(terminal(sentence) + "\n")
    for note in words.notes(found):
        console.note(f"warning: {terminal(note)}")
