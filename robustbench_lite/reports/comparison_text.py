"""A comparison of runs as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from robustbench_lite.changed_images import Changed, ChangedImage
from robustbench_lite.comparison import Comparison, Difference
from robustbench_lite.records import RunRecord
from robustbench_lite.reports import comparison_words as words
from robustbench_lite.reports.safe import csv_cell, markdown, short
from robustbench_lite.reports.words import class_name, percent

AllChanged = Sequence[dict[str, Changed]]  # per run that is compared: by condition


def comparison_document(comparison: Comparison, changed: AllChanged) -> dict[str, Any]:
    """All of it as plain values; numbers that there are not are null.

    Args:
        comparison: what is told.
        changed: per run the images that are listed, by condition.
    """
    record = comparison.baseline.record
    return {
        "baseline": _run(comparison, 0),
        "data": record.data.spec,
        "tested": comparison.tested,
        "beyond_chance": comparison.beyond_chance,
        "runs": [
            {
                **_run(comparison, i),
                "warnings": one.warnings,
                "only_run": one.only_run,
                "only_baseline": one.only_baseline,
                "differences": [_difference(record, d, images) for d in one.differences],
            }
            for i, (one, images) in enumerate(zip(comparison.compared, changed, strict=True), start=1)
        ],
    }


def _run(comparison: Comparison, place: int) -> dict[str, Any]:
    letter, run = words.named(comparison)[place]
    record = run.record
    return {
        "name": letter,
        "run": str(run.path),
        "id": record.id,
        "status": record.status,
        "model": record.model.spec,
        "weights_sha256": record.model.weights_sha256,
        "demo": record.demo,
    }


def _difference(record: RunRecord, found: Difference, changed: dict[str, Changed]) -> dict[str, Any]:
    images = changed.get(found.condition, Changed([], []))
    return {
        **found._asdict(),
        "beyond_chance": found.beyond_chance,
        "others": {o.name: {"before": o.before, "after": o.after, "note": o.note} for o in found.others},
        "broken_images": [_image(record, image) for image in images.broken],
        "mended_images": [_image(record, image) for image in images.mended],
    }


def _image(record: RunRecord, image: ChangedImage) -> dict[str, Any]:
    classes = {name: class_name(record, getattr(image, name)) for name in ("label", "before", "after")}
    values = {**image._asdict(), **classes}
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def comparison_csv(comparison: Comparison) -> str:
    """A row per run and condition. Shares are from 0 to 1; no text can be taken for a formula."""
    others = list(dict.fromkeys(o.name for one in comparison.compared for d in one.differences for o in d.others))
    fields = [name for name in Difference._fields if name != "others"]
    head = ["name", "run", "model", "baseline", *fields, "beyond_chance"]
    head += [f"{name}_{when}" for name in others for when in ("before", "after")]
    rows = []
    for (letter, run), one in zip(words.named(comparison)[1:], comparison.compared, strict=True):
        texts = [letter, str(run.path), run.record.model.spec, str(comparison.baseline.path)]
        for d in one.differences:
            found = {o.name: o for o in d.others}
            more = [getattr(found.get(name), when, None) for name in others for when in ("before", "after")]
            rows.append([*texts, *(getattr(d, name) for name in fields), int(d.beyond_chance), *more])
    return _csv(head, rows)


def changed_csv(comparison: Comparison, changed: AllChanged) -> str:
    """A row per image that changed, of those that are listed."""
    head = ["name", "run", "condition", "change", *ChangedImage._fields]
    rows = []
    for (letter, run), by_condition in zip(words.named(comparison)[1:], changed, strict=True):
        for condition, kind, image in _listed(by_condition):
            values = _image(run.record, image).values()
            rows.append([letter, str(run.path), condition, kind, *values])
    return _csv(head, rows)


def _listed(changed: dict[str, Changed]) -> Iterator[tuple[str, str, ChangedImage]]:
    for condition, found in changed.items():
        yield from ((condition, "broken", image) for image in found.broken)
        yield from ((condition, "mended", image) for image in found.mended)


def _csv(head: list[str], rows: list[list[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([csv_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return file.getvalue()


def comparison_markdown(comparison: Comparison, changed: AllChanged) -> str:
    """For a pull request: the outcome, the runs, a table per run, and the images that changed."""
    names = words.named(comparison)
    lines = [f"# {markdown(words.title(comparison))}", ""]
    lines += [
        f"{markdown(sentence)}\n" for sentence in [*words.sentences(comparison), *words.strongest(comparison)]
    ]
    lines += [
        f"- **{name.letter}**{' (baseline)' * (i == 0)}: {_cell(name.words)}" for i, name in enumerate(names)
    ]
    if told := words.notes(comparison):
        lines += ["", "**Read with care**", "", *(f"- {markdown(short(note, 2000))}" for note in told)]
    for name, one, images in zip(names[1:], comparison.compared, changed, strict=True):
        lines += ["", f"## {name.letter} against {names[0].letter}", ""]
        lines += _differences(one.differences, names[0].letter, name.letter)
        lines += _others(one.differences)
        lines += _images(name.run.record, images)
    lines += ["", *(f"- {sentence}" for sentence in words.key(comparison)), ""]
    return "\n".join(lines)


def _differences(found: list[Difference], base: str, letter: str) -> list[str]:
    head = ["condition", "n", base, letter, "difference", "95 % interval", "p", "p, Holm", "broken", "mended"]
    rows = [
        [
            _cell(d.condition),
            str(d.n),
            words.accuracy(d.before, d.n),
            words.accuracy(d.after, d.n),
            words.difference(d),
            words.interval(d),
            words.p_value(d.p_change),
            words.p_value(d.p_change_holm),
            str(d.broken),
            str(d.mended),
        ]
        for d in found
    ]
    return _table(head, rows, numbers=9)


def _others(found: list[Difference]) -> list[str]:
    rows = [
        [_cell(d.condition), words.OTHERS[o.name], *words.other(o), _cell(o.note)]
        for d in found
        for o in d.others
        if o.before != o.after
    ]
    if not rows:
        return []
    table = _table(["condition", "number", "before", "after", ""], rows, numbers=0)
    return ["", "<details><summary>Other numbers that changed</summary>", "", *table, "", "</details>"]


def _images(record: RunRecord, changed: dict[str, Changed]) -> list[str]:
    rows = [
        [
            _cell(condition),
            kind,
            _cell(image.file),
            _cell(class_name(record, image.label)),
            f"{_cell(class_name(record, image.before))}, {percent(image.confidence_before, 0)}",
            f"{_cell(class_name(record, image.after))}, {percent(image.confidence_after, 0)}",
        ]
        for condition, kind, image in _listed(changed)
    ]
    if not rows:
        return []
    table = _table(["condition", "", "file", "label", "before", "after"], rows, numbers=0)
    summary = "Images that broke or were mended, the surest errors first"
    return ["", f"<details><summary>{summary}</summary>", "", *table, "", "</details>"]


def _table(head: list[str], rows: list[list[str]], *, numbers: int) -> list[str]:
    """Of cells that are Markdown; so many of the last columns are of numbers."""
    lines = [head, ["---"] * (len(head) - numbers) + ["--:"] * numbers, *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    return markdown(short(text))
