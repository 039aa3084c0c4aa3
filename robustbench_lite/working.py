"""All units of work in their order, batch by batch: computed, or found among what an earlier run has finished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Batch, Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.identity import condition_mark
from robustbench_lite.probes import Prober
from robustbench_lite.scoring import Hands, Loaded, Tally, score
from robustbench_lite.sharding import Shard
from robustbench_lite.unfinished import Store
from robustbench_lite.units import Unit, no_rows

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far the loop is: ``done`` of ``total`` images times conditions.

    When a condition is finished, ``accuracy`` is what it came to, from 0 to 1, and ``seconds`` what it took.
    """

    done: int
    total: int
    condition: str
    accuracy: float | None = None
    seconds: float = 0.0


@dataclass
class Work:
    """Batches times conditions.

    Args:
        classifier: the network.
        dataset: its images, in a grid of batches of ``batch_size``; the last may be smaller.
        tallies: one per condition, clean first, calibrated.
        hands: what every batch goes through.
        prober: has a first look at the network.
        batch_size: images at a time.
        store: where finished units are found and put; None: nowhere.
        shard: which of the batches.
        on_progress: called before and after every unit.
    """

    classifier: Classifier
    dataset: Dataset
    tallies: Sequence[Tally]
    hands: Hands
    prober: Prober
    batch_size: int
    store: Store | None
    shard: Shard
    on_progress: Callable[[Progress], None]
    done: int = 0  # images times conditions
    _marks: dict[str, str] = field(default_factory=dict)
    _looked: bool = False

    def units(self) -> Iterator[tuple[Tally, Unit]]:
        """Every unit, and the tally that it belongs to. Batches of which nothing is missing are not decoded."""
        numbers = self.shard.numbers(len(self.dataset), self.batch_size)
        if self.store:
            self._marks = {tally.spec: _mark(tally) for tally in self.tallies}
        missing = {n: [tally.spec for tally in self.tallies if not self._finished(tally, n)] for n in numbers}
        decoded = self.dataset.batches(self.batch_size, numbers=[n for n in numbers if missing[n]])
        for number in numbers:
            batch = next(decoded) if missing[number] else None
            loaded = self._loaded(number, batch) if batch and len(batch.labels) else None
            for tally in self.tallies:
                self.report(tally.spec)
                if batch is None or tally.spec not in missing[number]:
                    unit = self._taken(tally, number)
                else:
                    unit = self._computed(tally, number, batch, loaded)
                self._looked |= bool(unit.checks)
                self.done += len(unit.rows)
                yield tally, unit
                self.report(tally.spec, tally if number == numbers[-1] else None)
        if self.store:  # what follows, the checks, may take a while
            self.store.flush()

    def report(self, what: str, finished: Tally | None = None) -> None:
        """Say how far it is, and what a condition that is finished came to."""
        images = self.shard.images(len(self.dataset), self.batch_size)
        so_far = Progress(self.done, images * len(self.tallies), what)
        if finished and finished.rows:
            right = sum(int(rows["correct"].sum()) for rows in finished.rows)
            accuracy = right / sum(len(rows) for rows in finished.rows)
            so_far = so_far._replace(accuracy=accuracy, seconds=finished.seconds)
        self.on_progress(so_far)

    def _finished(self, tally: Tally, number: int) -> bool:
        return self.store is not None and self.store.has(self._marks[tally.spec], number)

    def _taken(self, tally: Tally, number: int) -> Unit:
        assert self.store is not None
        unit = self.store.take(self._marks[tally.spec], number)
        self.hands.keeper.keep(unit.kept)
        return unit

    def _computed(self, tally: Tally, number: int, batch: Batch, loaded: Loaded | None) -> Unit:
        first = tally is self.tallies[0]
        known, checks = 0, list[dict[str, str]]()
        if loaded and first:
            known = self.hands.guard.known(loaded.images) if self.hands.guard else 0
            if not self._looked:
                seen = self._first(loaded)
                checks = [check._asdict() for check in self.prober.first_look(seen.images, seen.clean)]
        if loaded:
            unit = score(tally.spec, tally.condition, loaded, self.classifier, self.hands)
        else:
            unit = Unit(tally.spec, number, no_rows())
        if first:
            unit.skipped, unit.known, unit.checks = (
                [(skipped.file, skipped.reason) for skipped in batch.skipped],
                known,
                checks,
            )
        # An image that the disk did not give just now is no damaged image: such a batch is tried again.
        if self.store and self._marks[tally.spec] and not batch.out_of_reach:
            self.store.add(self._marks[tally.spec], unit)
        return unit

    def _first(self, loaded: Loaded) -> Loaded:
        """The first images of the whole, so that all shards look at the same."""
        if self.shard.index == 1:
            return loaded
        batches = self.dataset.batches(self.batch_size)
        return next((self._loaded(0, batch) for batch in batches if len(batch.labels)), loaded)

    def _loaded(self, number: int, batch: Batch) -> Loaded:
        images, labels = batch.images.to(self.classifier.device), batch.labels.to(self.classifier.device)
        logits = clean_logits(self.classifier, images, batch, self.dataset)
        self.classifier.take_counts()  # what the clean images cost is known
        return Loaded(number, batch, images, labels, logits)


def _mark(tally: Tally) -> str:
    """The name of a condition in the store; empty if nobody can tell it from another."""
    try:
        return condition_mark(tally.condition)
    except InputError as error:
        _log.warning("note: batches of %s are not kept for --resume: %s", tally.spec, error.what)
        return ""


def clean_logits(classifier: Classifier, images: Tensor, batch: Batch, dataset: Dataset) -> Tensor:
    """Logits (N, K) of the images as they are.

    Raises:
        InputError: another number of classes than the data, or not finite.
    """
    logits = classifier(images)
    if logits.shape[1] != len(dataset.class_names):
        raise InputError(
            f"the network has {logits.shape[1]} classes, {dataset.spec} has {len(dataset.class_names)}.",
            "Give the data that it was trained for, or the right network.",
        )
    broken = (~logits.isfinite().all(1)).nonzero()[:, 0].tolist()
    if broken:
        raise InputError(
            f"the network returns NaN or infinity for {len(broken)} of {len(images)} unchanged images "
            f"(first: {batch.files[broken[0]]}).",
            "Check the weights and --mean/--std.",
        )
    return logits
