"""The loop: every batch of images under every condition, scored afresh. It trusts no attack and no shift."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pandas as pd
from torch import Tensor

from robustbench_lite.applying import check_colours
from robustbench_lite.classifiers.classifier import Classifier, Counts
from robustbench_lite.classifiers.pieces import default_batch
from robustbench_lite.classifiers.scores import attacks_on_scores
from robustbench_lite.condition_records import condition_record
from robustbench_lite.data.dataset import Batch, Dataset, Skipped
from robustbench_lite.errors import InputError
from robustbench_lite.examples import ExampleKeeper
from robustbench_lite.guarding import GuardedClassifier, means_both, plan_guarded
from robustbench_lite.identity import check_store
from robustbench_lite.probes import Prober
from robustbench_lite.records import LEFT_OUT, BreakingPoint, CheckRecord, ConditionRecord, Example, GuardRecord
from robustbench_lite.registry import spec
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.scoring import Hands, Tally
from robustbench_lite.sharding import WHOLE, Shard
from robustbench_lite.types import Attack, Condition, Shift
from robustbench_lite.unfinished import Store
from robustbench_lite.working import Progress, Work

if TYPE_CHECKING:
    from robustbench_lite.outliers.detector import Detector


@dataclass
class Evaluation:
    """What came out. ``samples`` has the columns of ``run_rows.COLUMNS``, one row per image and condition."""

    samples: pd.DataFrame = field(repr=False)
    conditions: list[ConditionRecord]
    status: Literal["done", "interrupted", "failed"]
    skipped: list[Skipped]
    checks: list[CheckRecord]
    examples: list[Example]
    images: dict[str, bytes] = field(repr=False)
    seconds: float
    batch_size: int
    error: Exception | None = None
    breaking_points: list[BreakingPoint] = field(default_factory=list)  # of ``breaking_points`` alone
    detector: GuardRecord | None = None


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    conditions: Sequence[Condition | Attack | Shift | str],
    *,
    detector: Detector | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    as_8bit: bool = False,
    probes: bool = True,
    store: Store | None = None,
    shard: Shard = WHOLE,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_images: Callable[[str, Batch, Tensor], None] = lambda condition, batch, images: None,
) -> Evaluation:
    """Classify every image as it is and under every condition.

    An image that is wrong on the clean image counts as wrong under every attack, and no attack is run on it.
    The result does not depend on batch size or order: every image has random streams of its own.

    Args:
        classifier: the network and its preprocessing.
        dataset: labelled images.
        conditions: specs such as ``pgd(eps=8/255)``, or attacks, shifts and chains of them. Clean is added.
        detector: an outlier detector that judges every image as it was classified. It is never reported without an
            attack on both: ``evade`` is added, with the budgets of the attacks, if there is none.
        seed: of all random streams.
        batch_size: images at a time; by default 128, on the CPU more of small ones (``default_batch``).
        as_8bit: round adversarial images to 8 bits, within the budget; what is rounded is the result.
        probes: look at a few images again, to tell whether the numbers under attack may be trusted.
        store: where finished batches are found, not to be computed again, and put (``rb.open_store``); by default
            they are in memory alone.
        shard: a part of the batches; of few images they are made smaller, so that there are enough of them.
        on_progress: called before and after every batch under every condition.
        on_images: called with the spec of the condition, the batch, and the images as they were scored; not for
            what is found in the store.

    Returns:
        What was computed. After Ctrl-C (status ``interrupted``) or a failure (status ``failed``, with
        ``error``) that is less than was asked for; a failure before the first result is raised.

    Raises:
        InputError: the network, the detector or a condition does not fit the data, or the network returns values
            that are not finite on clean images; the store is of a run with other arguments.
    """
    if not isinstance(classifier, Classifier):
        raise InputError(
            f"evaluate needs a Classifier, not {type(classifier).__name__}.", "Wrap it: rb.Classifier(network)."
        )
    if batch_size is None:
        batch_size = default_batch(dataset.image_shape, pieces=classifier.in_pieces)
    if batch_size < 1:
        raise InputError(f"batch size {batch_size} is out of range.", "It must be at least 1.")
    if len(dataset) == 0:
        raise InputError(f"{dataset.spec} holds no image to evaluate.", "Check --split, --limit and --first.")
    batch_size = shard.batch_size(len(dataset), batch_size)
    if store:
        check_store(store, seed=seed, batch_size=batch_size, as_8bit=as_8bit)
    guard = None if detector is None else GuardedClassifier(classifier, detector, dataset.image_shape)
    planned = plan_guarded(conditions, dataset.eps, has_detector=guard is not None)
    check_gradients(planned, classifier)
    check_colours(planned, dataset.image_shape[0])
    tallies = [Tally(c, spec(c)) for c in planned]
    keeper, prober = ExampleKeeper(), Prober(classifier, dataset, seed, batch_size)
    hands = Hands(seed, as_8bit, keeper, on_images, guard)
    work = Work(classifier, dataset, tallies, hands, prober, batch_size, store, shard, on_progress)
    skipped, network, known = list(dataset.skipped), list[CheckRecord](), 0
    status: Literal["done", "interrupted", "failed"] = "done"
    failure: Exception | None = None
    start = time.perf_counter()
    try:
        with classifier.frozen():
            for tally in tallies:
                tally.calibrate(classifier, dataset, seed, batch_size)
            for tally, unit in work.units():
                tally.add(unit)
                skipped += [Skipped(*pair) for pair in unit.skipped]
                network = network or [CheckRecord.model_validate(check) for check in unit.checks]
                known += unit.known
            for tally in tallies if probes and tallies[0].rows else []:
                work.report(f"checks of {tally.spec}")
                _check(tally, tallies[0], prober)
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as error:
        if not tallies[0].rows:
            raise
        status, failure = "failed", error
    if not tallies[0].rows and status == "done":
        raise InputError(f"none of the {len(skipped)} images of {dataset.spec} can be read.", "Check the files.")
    if tallies[0].rows:
        majority = prober.majority(pd.concat(tallies[0].rows))
        network.append(CheckRecord(**majority._asdict()))
    unprobed = LEFT_OUT if status == "done" else "the run was not finished."
    for tally in (tally for tally in tallies if tally.rows and not tally.checks):
        _check(tally, tallies[0], prober, unprobed)
    frames = [rows for tally in tallies for rows in tally.rows]
    return Evaluation(
        samples=pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS)),
        conditions=[condition_record(tally, dataset, guard) for tally in tallies],
        status=status,
        skipped=skipped,
        checks=network,
        examples=keeper.examples(),
        images=keeper.images(),
        seconds=time.perf_counter() - start,
        batch_size=batch_size,
        error=failure,
        detector=None if guard is None else guard.record(known),
    )


def _check(tally: Tally, clean: Tally, prober: Prober, unprobed: str = "") -> None:
    """May the accuracy under this attack be trusted?"""
    if tally.condition.attacks:
        spent = Counts(tally.forwards, tally.gradients, tally.bad_gradients, tally.zero_gradients)
        rows, before = pd.concat(tally.rows), pd.concat(clean.rows)
        tally.checks = prober.checks(tally.condition, rows, before, spent, unprobed)
        counts = prober.classifier.take_counts()
        tally.check_passes = counts.forwards + counts.gradients


def check_gradients(conditions: Sequence[Condition], classifier: Classifier) -> None:
    """Raise InputError if an attack needs a gradient, and the classifier is a function that has none."""
    for attack in (attack for condition in conditions for attack in condition.attacks):
        if getattr(attack, "needs_gradient", True) and not classifier.has_gradient:
            raise InputError(
                f"{spec(attack)} needs gradients, and {classifier.spec} is a function that returns scores.",
                "No detector is reported without such an attack on both: leave it out."
                if means_both(attack)
                else f"Take an attack on scores: {attacks_on_scores()}.",
            )
