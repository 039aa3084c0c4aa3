"""Accuracy under attack after an epoch: the same attack from the same starts, on the same validation images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from robustbench_lite.applying import apply
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.registry import spec
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.defences import told
from robustbench_lite.training.madry import Madry
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.tensors import Tensors
from robustbench_lite.types import Condition

MOST = 500  # images: an accuracy of 80 % is known to ± 3.5 %
STEPS = 10
_CHUNK = 128


def validation_attack(defence: Defence, eps: float) -> PGD | Madry:
    """What robust accuracy is measured with: PGD at this budget in the norm of the training.

    In l1 a step of the attack ``pgd`` moves one pixel: there it is the steps of training.
    """
    if defence.norm == "l1":
        return Madry(eps, "l1", STEPS)
    return PGD(eps, defence.norm, STEPS)  # type: ignore[arg-type]


def to_attack(recipe: Recipe, data: Tensors) -> Tensors | None:
    """At most 500 of the validation images, always the same, with the classes in proportion.

    None if it learns from no attack.
    """
    if recipe.adversarial is None:
        return None
    labels = data.labels.cpu()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(stable_hash("validation")))
    place = torch.empty(len(labels))
    for label in range(int(labels.max()) + 1):
        mine = order[labels[order] == label]
        place[mine] = (torch.arange(len(mine)) + 0.5) / len(mine)
    chosen = place.argsort(stable=True)[:MOST].sort().values
    return data._replace(
        images=data.images[chosen],
        labels=data.labels[chosen],
        ids=tuple(data.ids[i] for i in chosen.tolist()),
        groups=None if data.groups is None else data.groups[chosen.numpy()],
    )


def robust_accuracy(classifier: Classifier, data: Tensors, defence: Defence, eps: float, seed: int) -> float:
    """Share of images that stay right under the attack of validation."""
    attack = validation_attack(defence, eps)
    if isinstance(attack, Madry):
        return accuracy_under(classifier, data, attack, eps, seed)
    right = 0
    with classifier.frozen():
        for images, labels, ids in _batches(data):
            found = apply(Condition((attack,)), classifier, images, labels, classifier(images), ids, seed)
            right += int(((classifier(found.images).argmax(1) == labels) & ~found.lost).sum())
    return right / len(data.labels)


def accuracy_under(classifier: Classifier, data: Tensors, defence: Defence, eps: float, seed: int) -> float:
    """Share of images that stay right under the attack of the training."""
    right = 0
    for images, labels, ids in _batches(data):
        found = defence.attacked(classifier, images, labels, Streams(seed, "validation", ids), eps)
        both = (classifier(images).argmax(1) == labels) & (classifier(found).argmax(1) == labels)
        right += int(both.sum())
    return right / len(data.labels)


def _batches(data: Tensors) -> Iterator[tuple[Tensor, Tensor, tuple[str, ...]]]:
    for start in range(0, len(data.labels), _CHUNK):
        part = slice(start, start + _CHUNK)
        yield data.images[part], data.labels[part], data.ids[part]


def about_attack(recipe: Recipe, attacked: Tensors | None) -> dict[str, Any] | None:
    """What a history says of adversarial training."""
    defence = recipe.adversarial
    if defence is None or attacked is None:
        return None
    assert defence.eps is not None
    return {
        "method": told(defence),
        "warmup": recipe.warmup,
        "validation_attack": spec(validation_attack(defence, defence.eps)),
        "validation_images": len(attacked.labels),
    }
