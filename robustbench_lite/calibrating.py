"""Before the first batch: show a sample of the data to the attacks that want to see one.

What an attack learns there is the same for every image, so no verdict depends on batches.
"""

from __future__ import annotations

import dataclasses

import torch

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.registry import spec
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.types import Attack, Calibrating, Condition, Shift, is_shift


def sample_size(n: int) -> int:
    """Of how many images a sample is drawn: a quarter, from 32 to 128, so that it costs little beside the run."""
    return min(n, max(32, min(128, n // 4)))


def calibrated(
    condition: Condition, classifier: Classifier, dataset: Dataset, seed: int, batch_size: int
) -> Condition:
    """The condition with its attacks calibrated on images that are drawn by the seed.

    Args:
        condition: with its budgets filled in.
        classifier: the network.
        dataset: the images of the run; a quarter of them, from 32 to 128, are drawn, and those are shown that are
            classified as their label, after the shifts that precede the attack.
        seed: the run's.
        batch_size: images at a time.
    """
    parts: list[Attack | Shift] = []
    for number, part in enumerate(condition.parts):
        before = condition.parts[:number]
        if isinstance(part, Calibrating) and all(map(is_shift, before)):
            parts.append(_calibrated(part, before, classifier, dataset, seed, batch_size))  # type: ignore[arg-type]
        else:
            parts.append(part)
    return dataclasses.replace(condition, parts=tuple(parts))


def _calibrated(
    attack: Calibrating,
    before: tuple[Shift, ...],
    classifier: Classifier,
    dataset: Dataset,
    seed: int,
    batch_size: int,
) -> Attack:
    ids = dataset.sample_ids
    places = sorted(range(len(ids)), key=lambda i: (stable_hash(seed, "calibration", ids[i]), i))
    images, labels, kept = [], [], list[str]()
    for batch in dataset.select(places[: sample_size(len(ids))]).batches(batch_size):
        if len(batch.labels) == 0:  # all of them damaged
            continue
        x, y = batch.images.to(classifier.device), batch.labels.to(classifier.device)
        for shift in before:
            x = shift(x, Streams(seed, spec(shift), batch.sample_ids))
        right = (classifier(x).argmax(1) == y).nonzero()[:, 0]
        images.append(x[right])
        labels.append(y[right])
        kept += [batch.sample_ids[i] for i in right.tolist()]
    if not kept:
        return attack  # type: ignore[return-value]
    streams = Streams(seed, f"calibration of {spec(attack)}", tuple(kept))
    return attack.calibrated(classifier, torch.cat(images), torch.cat(labels), streams)
