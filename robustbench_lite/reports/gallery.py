"""Examples of a run, in words and pictures: which are shown, and what was made of them."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.records import Example
from robustbench_lite.reports.pictures import Picture, Size, pictures, size_for
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import class_name, percent
from robustbench_lite.runs import Run

PER_CONDITION = 6
IN_ALL = 200
ALL_OPEN, WORST_OPEN = 8, 3  # conditions: up to so many are unfolded all, of more the worst


class Shown(NamedTuple):
    """One example; without pictures where their files are missing or damaged."""

    role: str
    id: str  # the first digits of the sample id
    file: str
    label: str
    before: str
    after: str
    right_before: bool
    right_after: bool
    confidence: str
    how: str
    pictures: list[Picture]


class Gallery(NamedTuple):
    """Examples by condition, worst first, and how many were left out."""

    conditions: list[tuple[str, list[Shown]]]
    left_out: int


def values(view: View) -> Values:
    """Section 6 of the page: worst and ordinary examples; of many conditions those that cost most are unfolded."""
    found = gallery(view.run)
    accuracy = {str(r["condition"]): float(r["accuracy"]) for r in view.results}
    specs = sorted((spec for spec, _ in found.conditions), key=lambda spec: accuracy.get(spec, 1.0))
    return {
        "gallery": found,
        "opened": specs if len(specs) <= ALL_OPEN else specs[:WORST_OPEN],
        "told": {spec: f"{percent(accuracy.get(spec))} right" for spec in specs},
    }


def gallery(run: Run) -> Gallery:
    """Examples of every condition, as many as a page can hold."""
    examples = run.record.examples
    by_condition: dict[str, list[Example]] = {}
    for example in examples:
        by_condition.setdefault(example.condition, []).append(example)
    limit = max(1, min(PER_CONDITION, IN_ALL // max(1, len(by_condition))))
    chosen = [(spec, _choose(found, limit)) for spec, found in by_condition.items()][:IN_ALL]
    count = sum(len(found) for _, found in chosen)
    size = size_for(count)
    shown = [(spec, [_show(run, example, size) for example in found]) for spec, found in chosen]
    return Gallery(shown, len(examples) - count)


def _choose(examples: list[Example], limit: int) -> list[Example]:
    """Worst first, but room for ordinary ones: the worst alone would paint too dark a picture."""
    worst = [e for e in examples if e.role == "worst"]
    ordinary = [e for e in examples if e.role == "ordinary"]
    ordinary = ordinary[: max(limit // 3, limit - len(worst))]
    return [*worst[: limit - len(ordinary)], *ordinary]


def _show(run: Run, example: Example, size: Size) -> Shown:
    record = run.record
    return Shown(
        role=example.role,
        id=example.sample_id[:12],
        file=example.file,
        label=class_name(record, example.label),
        before=class_name(record, example.clean_prediction),
        after=class_name(record, example.prediction),
        right_before=example.clean_prediction == example.label,
        right_after=example.prediction == example.label,
        confidence=percent(example.confidence, 0),
        how=example.how,
        pictures=pictures(run.path, example, size),
    )
