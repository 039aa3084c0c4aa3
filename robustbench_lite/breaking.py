"""How far a shift may go: the severity at which the accuracy falls below a share of the clean one."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd
from torch import Tensor

from robustbench_lite.bisection import Search
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Batch, Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import Evaluation, evaluate
from robustbench_lite.records import BreakingPoint, ConditionRecord
from robustbench_lite.registry import make, severity_of, spec
from robustbench_lite.shifts.scale import begins_clean, with_severity
from robustbench_lite.specs import parse, without
from robustbench_lite.types import Attack, Shift, is_shift
from robustbench_lite.unfinished import Store
from robustbench_lite.working import Progress

_MEMORY = 2 << 30  # bytes of images that are kept between two rounds


class Until(NamedTuple):
    """What a breaking point is, and how it is sought. Arguments as for ``breaking_points``."""

    share: float = 0.9
    severities: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)
    tolerance: float = 0.05

    def checked(self) -> Until:
        """The same, its severities ascending and above 0.

        Raises:
            InputError: a number is out of range.
        """
        if not 0 < self.share < 1:
            raise InputError(
                f"until={self.share:g} is no share of the clean accuracy.",
                "Give a number between 0 and 1, like 0.9.",
            )
        if not 0.001 <= self.tolerance <= 1:
            raise InputError(f"tolerance={self.tolerance:g} is out of range.", "Give a severity from 0.001 to 1.")
        severities = tuple(sorted({float(s) for s in self.severities if s > 0}))
        if not severities:
            raise InputError("no severity above 0 was named.", "The search begins with these: 1-5, or 0.5,1,2.")
        return self._replace(severities=severities)

    def rounds(self) -> int:
        """How often the images are gone through at the most: the scan, and the halvings of its widest step."""
        widest = max(b - a for a, b in zip((0.0, *self.severities), self.severities, strict=False))
        return 1 + max(0, math.ceil(math.log2(widest / self.tolerance)))

    def most(self) -> int:
        """The most severities of one shift that are evaluated."""
        return len(self.severities) + 3 * (self.rounds() - 1)


def breaking_points(
    classifier: Classifier,
    dataset: Dataset,
    shifts: Sequence[Shift | str],
    share: float = 0.9,
    *,
    severities: Sequence[float] = (1, 2, 3, 4, 5),
    tolerance: float = 0.05,
    seed: int = 0,
    batch_size: int | None = None,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_images: Callable[[str, Batch, Tensor], None] = lambda condition, batch, images: None,
) -> Evaluation:
    """Find the severity of each shift at which the accuracy falls below a share of the clean accuracy.

    First every severity of the scan, then bisection of the places where the curve crosses, all shifts together, so
    that there are few rounds. The interval has every severity whose accuracy does not differ significantly, at
    5 %, from the share (``intervals.retention_score``): it covers that other images could have been drawn. Images
    are decoded once if all of them take less than 2 GiB.

    Args:
        classifier: as for ``evaluate``, like the arguments that are not named here.
        dataset: labelled images.
        shifts: specs without a severity, such as ``night`` or ``night(auto_exposure=0)``, or shifts whose severity
            is replaced.
        share: between 0 and 1.
        severities: of the scan; the search goes no further than the strongest.
        tolerance: how near the place is to be known, in severities.

    Returns:
        What ``evaluate`` returns, a condition for every severity that was evaluated, and ``breaking_points``.
        After Ctrl-C or a failure these are what was known by then.

    Raises:
        InputError: as ``evaluate``; a number is out of range; a shift has no severity, or says it.
    """
    until = Until(share, tuple(severities), tolerance).checked()
    named = {without(spec(shift), "severity"): shift for shift in map(scalable, shifts)}
    if not named:
        raise InputError("no shift was named.", "For example night.")
    start, data = time.perf_counter(), dataset.remembered(_MEMORY)
    total = len(dataset) * (1 + len(named) * until.most())
    searches: dict[str, Search] = {}
    asked: dict[str, Sequence[float]] = dict.fromkeys(named, until.severities)
    whole: Evaluation | None = None
    while any(asked.values()):
        done = 0 if whole is None else len(whole.samples)
        changed = {(name, s): with_severity(named[name], s) for name, levels in asked.items() for s in levels}
        try:
            part = evaluate(
                classifier,
                data,
                list(changed.values()),
                seed=seed,
                batch_size=batch_size,
                store=store,
                on_progress=_further(on_progress, done, total),
                on_images=on_images if whole is None else _without_clean(on_images),
            )
        except Exception as error:
            if whole is None:
                raise
            whole = dataclasses.replace(whole, status="failed", error=error)
            break
        whole = part if whole is None else _joined(whole, part)
        if part.status != "done":
            break
        rows = dict(iter(part.samples.groupby("condition", sort=False)))
        for (name, severity), shift in changed.items():
            if name not in searches:
                grouped = dataset.groups is not None
                searches[name] = Search(
                    name, rows["clean"], share, until.severities, until.tolerance, grouped=grouped
                )
            searches[name].add(severity, rows[spec(shift)])
        asked = {name: search.wanted() for name, search in searches.items()}
    assert whole is not None
    found = [search.result() for search in searches.values()]
    return dataclasses.replace(_tidy(whole, found), breaking_points=found, seconds=time.perf_counter() - start)


def scalable(given: Shift | str) -> Shift:
    """The shift that is meant, if a severity can be put into it.

    Raises:
        InputError: it is none, or has no severity, or says it already.
    """
    if not isinstance(given, str):
        part: Attack | Shift = given
    else:
        parts = make(given).parts
        if len(parts) != 1:
            raise InputError(f"{given!r} is not one shift.", "Name one, such as night.")
        part = parts[0]
    if not is_shift(part):
        raise InputError(
            f"{spec(part)} is no shift.", "A breaking point is sought over the severities of a shift."
        )
    if severity_of(part) is None:
        raise InputError(
            f"{spec(part)} has no severity: no breaking point can be sought.", "Leave out an argument."
        )
    if not begins_clean(part):
        raise InputError(
            f"{spec(part)} changes the images at severity 0 already: its severity is not how far it goes.",
            "Leave out what the severity sets, or look for the worst case in a range: --search.",
        )
    if isinstance(given, str) and "severity" in parse(given)[0].arguments:
        raise InputError(
            f"{given} says its severity, which is what is sought.", f"Write {without(given, 'severity')}."
        )
    return part


def _further(on_progress: Callable[[Progress], None], done: int, total: int) -> Callable[[Progress], None]:
    return lambda progress: on_progress(progress._replace(done=min(done + progress.done, total), total=total))


def _without_clean(on_images: Callable[[str, Batch, Tensor], None]) -> Callable[[str, Batch, Tensor], None]:
    """The clean images come in every round, and are to be seen in the first only."""

    def seen(condition: str, batch: Batch, images: Tensor) -> None:
        if condition != "clean":
            on_images(condition, batch, images)

    return seen


def _joined(whole: Evaluation, part: Evaluation) -> Evaluation:
    """One evaluation and another of the same images; the clean ones, which are in both, cost twice."""
    clean, again = whole.conditions[0], part.conditions[0]
    changed = part.samples[part.samples["kind"] != "clean"]
    twice = {
        "forwards": clean.forwards + again.forwards,
        "seconds": round(clean.seconds + again.seconds, 3),
    }
    return dataclasses.replace(
        whole,
        samples=pd.concat([whole.samples, changed], ignore_index=True) if len(changed) else whole.samples,
        conditions=[clean.model_copy(update=twice), *whole.conditions[1:], *part.conditions[1:]],
        status=part.status,
        error=part.error,
        examples=whole.examples + part.examples,
        images={**whole.images, **part.images},
    )


def _tidy(whole: Evaluation, found: Sequence[BreakingPoint]) -> Evaluation:
    """In the order of the severities, with pictures of the scan and of the breaking points alone."""

    def order(condition: ConditionRecord) -> tuple[int, float]:
        place = names.index(without(condition.spec, "severity"))
        return place, 0.0 if condition.severity is None else condition.severity

    names = list(dict.fromkeys(without(c.spec, "severity") for c in whole.conditions))
    conditions = sorted(whole.conditions, key=order)
    rows = dict(iter(whole.samples.groupby("condition", sort=False)))
    if not rows:
        return whole
    shown = {(p.shift, s) for p in found for s in (*p.scan, p.severity)}
    pictured = {c.spec for c in conditions if not found or (without(c.spec, "severity"), c.severity) in shown}
    examples = [example for example in whole.examples if example.condition in pictured]
    files = {name for example in examples for name in (example.clean, example.changed)}
    return dataclasses.replace(
        whole,
        samples=pd.concat([rows[c.spec] for c in conditions if c.spec in rows], ignore_index=True),
        conditions=conditions,
        examples=examples,
        images={name: content for name, content in whole.images.items() if name in files},
    )
