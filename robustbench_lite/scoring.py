"""One batch under one condition: apply it, score the result afresh, write the rows, count the cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.applying import Outcome, apply
from robustbench_lite.attacks.losses import margin, reached
from robustbench_lite.calibrating import calibrated
from robustbench_lite.checks import Check
from robustbench_lite.classifiers.classifier import Classifier, Counts
from robustbench_lite.data.dataset import Batch, Dataset
from robustbench_lite.examples import ExampleKeeper, Kept
from robustbench_lite.guarding import GuardedClassifier, Passes, means_both
from robustbench_lite.registry import severity_of
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.types import Condition
from robustbench_lite.units import Spent, Unit

_PIECES = 16


@dataclass
class Tally:
    """What one condition has come to so far."""

    condition: Condition
    spec: str
    rows: list[pd.DataFrame] = field(default_factory=list)
    forwards: int = 0
    gradients: int = 0
    bad_gradients: int = 0
    zero_gradients: int = 0
    not_finite: int = 0
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    check_passes: int = 0
    detector: Passes = field(default_factory=lambda: Passes(0, 0))

    def calibrate(self, classifier: Classifier, dataset: Dataset, seed: int, batch_size: int) -> None:
        """Show a sample of the data to the attacks that want to see one, and count what that costs."""
        start = time.perf_counter()
        classifier.take_counts()  # what was spent before is nobody's cost
        self.condition = calibrated(self.condition, classifier, dataset, seed, batch_size)
        self.spend(classifier.take_counts())
        self.seconds += time.perf_counter() - start

    def spend(self, counts: Counts) -> None:
        """Add what the classifier has counted."""
        self.forwards += counts.forwards
        self.gradients += counts.gradients
        self.bad_gradients += counts.bad_gradients
        self.zero_gradients += counts.zero_gradients

    def add(self, unit: Unit) -> None:
        """Add what a batch has come to, and keep its rows, now and then in one piece.

        Many small pieces between the images of batch after batch keep the memory of these from being used again:
        6 kB per image, where its rows are a few hundred bytes.
        """
        if len(unit.rows):
            self.rows.append(unit.rows)
        if len(self.rows) == _PIECES:
            self.rows = [pd.concat(self.rows, ignore_index=True)]
        spent = unit.spent
        self.spend(Counts(spent.forwards, spent.gradients, spent.bad_gradients, spent.zero_gradients))
        passes = Passes(spent.detector_forwards, spent.detector_gradients)
        self.detector = Passes(*(a + b for a, b in zip(self.detector, passes, strict=True)))
        self.not_finite += spent.not_finite
        self.seconds += spent.seconds


class Loaded(NamedTuple):
    """A batch, its number in the grid of batches, and on the device its images, labels and clean logits."""

    number: int
    batch: Batch
    images: Tensor
    labels: Tensor
    clean: Tensor


class Hands(NamedTuple):
    """What every batch of every condition goes through."""

    seed: int
    as_8bit: bool
    keeper: ExampleKeeper
    on_images: Callable[[str, Batch, Tensor], None]
    guard: GuardedClassifier | None = None


def score(name: str, condition: Condition, loaded: Loaded, classifier: Classifier, hands: Hands) -> Unit:
    """One batch under one condition: apply, score afresh, write the rows, count the cost."""
    start = time.perf_counter()
    _, batch, images, labels, clean = loaded
    guard, model = hands.guard, hands.guard or classifier
    outcome = apply(condition, model, images, labels, clean, batch.sample_ids, hands.seed, as_8bit=hands.as_8bit)
    logits = classifier(outcome.images) if condition.parts else clean
    finite = logits.isfinite().all(1)
    prediction = torch.where(finite, logits.argmax(1), -1)
    correct = (prediction == labels) & ~outcome.lost
    verdict = None if guard is None else guard.judge(outcome.images)
    succeeded = outcome.attacked & _at_goal(logits, labels, outcome.goal)
    to_pass = guard if condition.attacks and means_both(condition.attacks[-1]) else None
    if to_pass and verdict:
        succeeded &= ~verdict.alarms
    counts, passes = classifier.take_counts(), guard.take_passes() if guard else Passes(0, 0)
    fools_8bit = succeeded if hands.as_8bit else _still_fools(classifier, outcome, labels, succeeded, to_pass)
    delta = outcome.images - images
    confidence = torch.where(finite, logits.softmax(1).amax(1), 0.0)
    columns: dict[str, Any] = {
        "index": batch.indices,
        "sample_id": batch.sample_ids,
        "file": batch.files,
        "group": batch.groups or [None] * len(labels),
        "label": labels,
        "condition": name,
        "kind": condition.kind,
        "severity": severity(condition),
        "prediction": prediction,
        "correct": correct,
        "attacked": outcome.attacked,
        "succeeded": succeeded,
        "fools_8bit": fools_8bit,
        "by": [by if hit else None for by, hit in zip(outcome.by, succeeded.tolist(), strict=True)],
        "confidence": confidence,
        "brier": brier(logits, labels),
        "margin": torch.where(finite, -margin(logits, labels), torch.nan),
        "l2": norms.size(delta, "l2"),
        "linf": norms.size(delta, "linf"),
        "l1": norms.size(delta, "l1"),
        "l0": norms.size(delta, "l0"),
        "filled": torch.nan if outcome.filled is None else outcome.filled,
        "outlier": torch.nan if verdict is None else verdict.scores,
        "flagged": False if verdict is None else verdict.alarms,
    }
    rows = pd.DataFrame({k: v.cpu().numpy() if isinstance(v, Tensor) else v for k, v in columns.items()})
    rows = rows.astype(COLUMNS)
    hands.on_images(name, batch, outcome.images)  # before the rows: no row without its image
    kept = list[Kept]()
    if condition.parts:
        kept = hands.keeper.offer(rows, clean.argmax(1).tolist(), images, outcome.images)
    else:
        counts = counts._replace(forwards=len(labels))
    lost = int((~finite).sum())
    spent = Spent(*counts, *passes, not_finite=lost, seconds=time.perf_counter() - start)
    return Unit(name, loaded.number, rows, spent, kept)


def brier(logits: Tensor, labels: Tensor) -> Tensor:
    """Brier's score of each image, (N,): the squared distance of the softmax from the label's vector of 0 and 1.

    From 0 to 2, as Brier (Monthly Weather Review 1950) defined it for any number of classes; 2 where the logits,
    (N, K), are not finite.
    """
    truth = torch.nn.functional.one_hot(labels, logits.shape[1])
    score = (logits.softmax(1) - truth).square().sum(1)
    return torch.where(logits.isfinite().all(1), score, 2.0)


def _at_goal(logits: Tensor, labels: Tensor, goal: Tensor | None) -> Tensor:
    return reached(logits, labels if goal is None else goal, targeted=goal is not None)


def _still_fools(
    classifier: Classifier,
    outcome: Outcome,
    labels: Tensor,
    succeeded: Tensor,
    to_pass: GuardedClassifier | None,
) -> Tensor:
    """(N,) bool: which adversarial images still reach the goal as files of 8 bits."""
    found = succeeded.clone()
    if succeeded.any():
        logits = classifier(outcome.eight_bit[succeeded])
        goal = None if outcome.goal is None else outcome.goal[succeeded]
        found[succeeded] = _at_goal(logits, labels[succeeded], goal)
        if to_pass:
            found[succeeded] &= ~to_pass.judge(outcome.eight_bit[succeeded]).alarms
            to_pass.take_passes()
        classifier.take_counts()  # a look of ours, no cost of the attack
    return found


def severity(condition: Condition) -> float | None:
    """The severity of a single shift; None for anything else."""
    return severity_of(condition.parts[0]) if len(condition.parts) == 1 else None
