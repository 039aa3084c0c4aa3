"""What a run will cost before it runs: passes by arithmetic, time by timing a few images."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from robustbench_lite.attacks.evade import Evade
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.attacks.square import Square
from robustbench_lite.classifiers.pieces import default_batch
from robustbench_lite.classifiers.scores import ScoreFunction
from robustbench_lite.errors import RbError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.guarding import means_both
from robustbench_lite.registry import spec, without_severity
from robustbench_lite.search import most_spent
from robustbench_lite.types import Attack, Condition, is_shift
from robustbench_lite.working import Progress

if TYPE_CHECKING:
    from robustbench_lite.breaking import Until
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.runner import Prepared

SIZES = (4, 16, 64)  # images that are timed, more and more
ENOUGH_S, _TRIES = 3.0, 3  # no more once they took that long
# Budgets too small to fool anything, so that every image takes every step.
_TINY, _STEPS = 1e-6, 4
_FORWARD, _GRADIENT = Square(eps=_TINY, queries=_STEPS), PGD(eps=_TINY, steps=_STEPS)
_READ, _PASS = "reading", "forward"
_BOTH = Evade(eps=_TINY, steps=_STEPS, restarts=1)
# Images that attacks are tried on, and seconds for all of these trials.
TRIED, TRIAL_S = 16, 6.0


class Line(NamedTuple):
    """Seconds of a batch: so many, and so many per image."""

    batch: float
    image: float

    def of(self, n: int, batch_size: int) -> float:
        """Of n images."""
        return self.batch * math.ceil(n / batch_size) + self.image * n

    def less(self, other: Line, share: float = 1.0) -> Line:
        """What is left without another, or that share of it; never negative."""
        return Line(max(self.batch - other.batch, 0) * share, max(self.image - other.image, 0) * share)


class Plan(NamedTuple):
    """What will be done, and what it may cost."""

    conditions: list[dict[str, Any]]
    n: int  # images
    timed: int  # images that were timed; none of a function
    seconds: float | None  # at the most, of all conditions whose time is known; None if none is
    expected_seconds: float | None  # likewise; None if there are attacks that could not be tried


class _TooLong(RbError):  # one of ours, or it would be taken for a fault of the network
    """Ends a trial."""


def plan(prepared: Prepared, until: Until | None = None) -> Plan:
    """What every condition, or search for a breaking point, may cost at the most, and how long it may take.

    The time is what a few images took under every shift, and an attack's dearest case by the time of a step. What
    is to be expected of an attack is the share of that case that it takes of a few images, if they are done in
    time. Both leave out the trust checks, and a search in ranges. A function that returns scores is not called,
    for that may cost money: there is no time then.

    Returns:
        per condition its spec, ``forwards_per_sample``, ``gradients_per_sample``, whether it ``attacks``, and
        ``seconds`` (None for a search, and of a function), ``expected_seconds`` (None also for what was not
        tried).

    Raises:
        InputError: as ``evaluate``, for a few of the images.
    """
    shape, pieces = prepared.dataset.image_shape, prepared.classifier.in_pieces
    batch_size = prepared.inputs.batch_size or default_batch(shape, pieces=pieces)
    n = prepared.shard.images(len(prepared.dataset), batch_size)
    rows = [{**row, "attacks": False, "seconds": None, "expected_seconds": None} for row in cost(prepared, until)]
    for row, condition in zip(rows, prepared.conditions, strict=False):
        row["attacks"] = bool(condition.attacks)
    if isinstance(prepared.classifier.network, ScoreFunction):
        return Plan(rows, n, 0, None, None)
    times = _Times(prepared, batch_size)
    for row, condition in zip(rows, prepared.conditions, strict=False):
        row["seconds"] = round(times.of(condition, n) * row.get("severities", 1), 3)
        if not condition.attacks:
            row["expected_seconds"] = row["seconds"]
    left = TRIAL_S
    tried = [pair for pair in zip(rows, prepared.conditions, strict=False) if pair[1].attacks]
    for row, condition in sorted(tried, key=lambda pair: pair[0]["seconds"]):  # the cheap ones are told at least
        began = time.perf_counter()
        share = _share(prepared, condition, left)
        left = max(left - (time.perf_counter() - began), 0)
        if share is not None:
            row["expected_seconds"] = round(times.of(condition, n, share), 3)
    known = [row["expected_seconds"] for row in rows if row["seconds"] is not None]
    expected = None if None in known else round(sum(known), 3)
    return Plan(rows, n, times.timed, round(sum(row["seconds"] or 0 for row in rows), 3), expected)


def _share(prepared: Prepared, condition: Condition, seconds: float) -> float | None:
    """Which share of the most passes an attack takes of a few images; None if they are not done in time."""
    until = time.perf_counter() + seconds

    def stop(*_: object) -> None:
        if time.perf_counter() > until:
            raise _TooLong("the trial takes too long")

    handle = prepared.classifier.network.register_forward_pre_hook(stop)
    try:
        tried = evaluate(
            prepared.classifier,
            _some(prepared.dataset, TRIED),
            [condition],
            detector=prepared.detector,
            seed=prepared.inputs.seed,
            probes=False,
        )
    except _TooLong:
        return None
    finally:
        handle.remove()
    found = next(told for told in tried.conditions if told.spec == spec(condition))
    if tried.status != "done" or not found.n:
        return None
    costs = [attack.max_cost() for attack in condition.attacks]
    most = sum(cost.forwards + cost.gradients for cost in costs)
    took = (found.forwards + found.gradients) / found.n - 1  # that scores the result
    return min(max(took, 0) / most, 1) if most else 1.0


def _some(dataset: Dataset, n: int) -> Dataset:
    """So many of the images, or all, evenly from all."""
    whole = len(dataset)
    n = min(n, whole)
    return dataset.select([i * whole // n for i in range(n)])


def cost(prepared: Prepared, until: Until | None = None) -> list[dict[str, Any]]:
    """What every condition, or search for a breaking point, may cost at the most, per image, in passes."""
    if until is not None:
        named = [without_severity(condition) for condition in prepared.conditions if condition.parts]
        # The clean images are classified again in every round.
        clean = {"condition": "clean", "forwards_per_sample": until.rounds(), "gradients_per_sample": 0}
        most = {"severities": until.most(), "forwards_per_sample": until.most(), "gradients_per_sample": 0}
        return [clean, *({"condition": name, **most} for name in named)]
    rows = []
    for condition in prepared.conditions:
        costs = [attack.max_cost() for attack in condition.attacks]
        rows.append(
            {
                "condition": spec(condition),
                "forwards_per_sample": 1 + sum(c.forwards for c in costs),
                "gradients_per_sample": sum(c.gradients for c in costs),
            }
        )
    for ranges in prepared.ranges:  # the search, and the two conditions that it finds
        spent = most_spent(prepared.classifier, ranges, prepared.tries)
        rows.append(
            {
                "condition": ranges,
                "forwards_per_sample": spent.forwards + 2,
                "gradients_per_sample": spent.gradients,
            }
        )
    return rows


class _Times:
    """How long a few images take: to be read, under every shift, and in a step of an attack."""

    def __init__(self, prepared: Prepared, batch_size: int) -> None:
        self.prepared, self.batch_size = prepared, batch_size
        steps: list[Attack] = []
        if any(condition.attacks for condition in prepared.conditions):
            steps = [_FORWARD, _GRADIENT]
        if prepared.detector is not None:  # then one is added anyway
            steps.append(_BOTH)
        shifts = [Condition(tuple(part for part in c.parts if is_shift(part))) for c in prepared.conditions]
        self.conditions: list[Condition | Attack] = [*shifts, *steps]
        seen: list[tuple[int, dict[str, float]]] = []
        for size in SIZES:
            if not seen or (seen[-1][0] < len(prepared.dataset) and sum(seen[-1][1].values()) < ENOUGH_S):
                seen.append(self._fastest(min(size, len(prepared.dataset))))
        self.timed = seen[-1][0]
        self.lines = {name: _line([(size, spent[name]) for size, spent in seen]) for name in seen[0][1]}

    def _fastest(self, n: int) -> tuple[int, dict[str, float]]:
        """How many images, and their seconds; what is quick is timed again, for a busy machine interrupts it."""
        tries = [self._timed(n)]
        while len(tries) < _TRIES and sum(tries[-1].values()) < ENOUGH_S / 4:
            tries.append(self._timed(n))
        return n, {name: min(spent[name] for spent in tries) for name in tries[0]}

    def _timed(self, n: int) -> dict[str, float]:
        """Seconds of so many images as one batch: by condition, to read and to classify them."""
        some = _some(self.prepared.dataset, n)
        spent, begun = dict[str, float](), {_READ: time.perf_counter()}
        for batch in some.batches(n):
            begun[_PASS] = time.perf_counter()
            self.prepared.classifier(batch.images.to(self.prepared.classifier.device)).cpu()
            spent |= {_PASS: time.perf_counter() - begun[_PASS], _READ: begun[_PASS] - begun[_READ]}

        def watch(progress: Progress) -> None:
            now = time.perf_counter()
            spent[progress.condition] = now - begun.setdefault(progress.condition, now)

        evaluate(
            self.prepared.classifier,
            some,
            self.conditions,
            detector=self.prepared.detector,
            seed=self.prepared.inputs.seed,
            batch_size=n,
            probes=False,
            on_progress=watch,
        )
        return spent

    def of(self, condition: Condition, n: int, share: float = 1.0) -> float:
        """Seconds of n images, an attack's at the most, or a share of that."""
        clean = self.lines["clean"]
        shifts = Condition(tuple(part for part in condition.parts if is_shift(part)))
        spent = self.lines[spec(shifts)].of(n, self.batch_size)
        if not condition.parts:
            spent += self.lines[_READ].image * n + self.lines[_PASS].of(n, self.batch_size)
        for attack in condition.attacks:
            most = attack.max_cost()
            step = _BOTH if means_both(attack) else _GRADIENT
            forward = self.lines[spec(_FORWARD)].less(clean, 1 / _FORWARD.max_cost().forwards)
            gradient = self.lines[spec(step)].less(clean, 1 / max(step.max_cost().gradients, 1))
            spent += share * most.gradients * gradient.of(n, self.batch_size)
            spent += share * max(most.forwards - most.gradients, 0) * forward.of(n, self.batch_size)
        return spent


def _line(points: Sequence[tuple[int, float]]) -> Line:
    """Through the last two of (images, seconds), as far as that makes sense; through zero if there is but one."""
    (most, longest) = points[-1]
    fewer, shorter = points[-2] if len(points) > 1 else (0, 0.0)
    image = min(max(longest - shorter, 0.0) / (most - fewer), longest / most)
    return Line(longest - image * most, image)
