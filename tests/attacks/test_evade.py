"""The attack on both, held against the smallest budget that can do it: exact for a linear pair."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from linear import SHAPE, setting, smallest
from scipy.optimize import linprog
from torch import Tensor

from robustbench_lite.attacks.evade import Evade
from robustbench_lite.errors import InputError
from robustbench_lite.types import Guarded, OutliersAndGradient

TAU = 0.05


@dataclass
class LinearGuard:
    """The linear network, and a linear outlier score v·x + c beside it."""

    classifier: object
    v: Tensor  # (36,)
    c: float
    threshold: float = TAU

    def __call__(self, images):
        return self.classifier(images)

    def gradient(self, images, loss):
        return self.classifier.gradient(images, loss)

    def outliers(self, images):
        return images.flatten(1) @ self.v + self.c

    def outlier_gradient(self, images):
        return OutliersAndGradient(self.outliers(images), self.v.view(SHAPE).expand_as(images))


def pair(i, along):
    """One image of the linear network, and a score of 0 on it whose gradient lies so far along the way to err."""
    classifier, images, labels, streams = setting()
    w = classifier.network.w.detach()
    away = w if labels[i] == 0 else -w
    other = torch.randn(36, generator=torch.Generator().manual_seed(5))
    other = other - (other @ w) / (w @ w) * w
    v = along * away + (1 - along**2) ** 0.5 * other / other.norm() * w.norm()
    x = images[i : i + 1]
    guard = LinearGuard(classifier, v, -float(x.flatten() @ v))
    assert isinstance(guard, Guarded)
    lead = float(smallest(classifier, x, "l2") * w.norm())  # what away·δ must exceed
    return guard, x, labels[i : i + 1], streams[[i]], away, lead


def least(away, v, lead, norm):
    """The smallest δ with away·δ ≥ lead and v·δ ≤ τ: a linear programme, or the nearest point of a wedge."""
    away, v = away.double().numpy(), v.double().numpy()
    if norm == "l2":
        delta = away * lead / (away @ away)
        if v @ delta > TAU:
            gram = np.array([[away @ away, away @ v], [away @ v, v @ v]])
            delta = np.stack([away, v], 1) @ np.linalg.solve(gram, [lead, TAU])
        return float(np.linalg.norm(delta))
    ball = np.vstack([np.c_[np.eye(36), -np.ones(36)], np.c_[-np.eye(36), -np.ones(36)]])
    goals = np.vstack([np.r_[-away, 0], np.r_[v, 0]])
    bounds = [(None, None)] * 36 + [(0, None)]
    found = linprog(
        np.r_[np.zeros(36), 1], np.vstack([goals, ball]), np.r_[-lead, TAU, np.zeros(72)], bounds=bounds
    )
    return float(found.fun)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("along", [-0.5, 0.0, 0.7])
def test_the_smallest_budget_that_can_do_both_is_found_to_two_per_cent(norm, along):
    for i in range(4):
        guard, x, y, streams, away, lead = pair(i, along)
        eps = least(away, guard.v, lead, norm)
        for factor, can in ((0.995, False), (1.02, True)):
            found = Evade(eps=eps * factor, norm=norm)(guard, x, y, streams)
            both = bool((guard(found).argmax(1) != y) & (guard.outliers(found) <= TAU))
            assert both == can, (i, factor)


def test_two_goals_in_conflict_take_a_larger_budget_than_one():
    """Or the test above would be one of the classifier alone."""
    for norm in ("linf", "l2"):
        guard, x, _, _, away, lead = pair(0, 0.7)
        assert least(away, guard.v, lead, norm) > 1.1 * float(smallest(guard.classifier, x, norm))


@pytest.mark.parametrize("variant", ["constrained", "weighted", "orthogonal", "selective"])
def test_every_variant_succeeds_with_room_to_spare(variant):
    for norm in ("linf", "l2"):
        guard, x, y, streams, away, lead = pair(1, 0.5)
        eps = 2.5 * least(away, guard.v, lead, norm)
        found = Evade(eps=eps, norm=norm, variant=variant)(guard, x, y, streams)
        assert guard(found).argmax(1) != y
        assert guard.outliers(found) <= TAU


def test_what_cannot_pass_is_returned_misclassified_and_with_a_low_score():
    guard, x, y, streams, away, lead = pair(2, 0.7)
    eps = 0.97 * least(away, guard.v, lead, "l2")
    assert eps > float(smallest(guard.classifier, x, "l2"))
    found = Evade(eps=eps, norm="l2")(guard, x, y, streams)
    assert guard(found).argmax(1) != y
    straight = x + (eps * away / away.norm()).view(x.shape)  # what an attack on the classifier alone does
    assert TAU < guard.outliers(found) < guard.outliers(straight)


def test_what_cannot_be_misclassified_comes_as_close_as_it_may():
    guard, x, y, streams, _, _ = pair(2, 0.0)
    eps = 0.5 * float(smallest(guard.classifier, x, "linf"))
    found = Evade(eps=eps)(guard, x, y, streams)
    assert guard(found).argmax(1) == y
    assert guard(found)[0, y].item() < guard(x)[0, y].item() or guard(found)[0, 1 - y] > guard(x)[0, 1 - y]


def test_without_a_detector_it_is_refused():
    classifier, x, y, streams = setting(2)
    with pytest.raises(InputError, match="needs a detector"):
        Evade(eps=0.1)(classifier, x, y, streams)


@pytest.mark.parametrize(
    "arguments", [{"norm": "l1"}, {"variant": "both"}, {"steps": 0}, {"restarts": 0}, {"eps": -1.0}]
)
def test_bad_arguments(arguments):
    with pytest.raises(InputError):
        Evade(**arguments)
