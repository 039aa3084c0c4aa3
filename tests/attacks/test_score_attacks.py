"""Attacks that see scores only: exact budgets, a closed form, and a peer's verdicts side by side."""

import dataclasses

import numpy as np
import pytest
import torch
from linear import setting, smallest
from test_contract import attack_of, images_of, network, streams_of
from test_published import mnist, needs_wong, wong
from torch import nn

from robustbench_lite import registry
from robustbench_lite.attacks.evolution import Evolution, _union
from robustbench_lite.attacks.square import Square
from robustbench_lite.classifiers.classifier import Classifier


class Unmoved(nn.Module):
    """Scores that depend on the image, and always name class 0."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        return torch.stack([mean + 2, mean.square(), -mean], 1)


def counted(attack, classifier, n=3):
    x = images_of(n)
    classifier.take_counts()
    attack(classifier, x, classifier(x).argmax(1), streams_of(n))
    return classifier.take_counts().forwards - n


def test_the_attacks_here_are_those_without_gradients():
    attacks = {name: registry.load("attack", name) for name in registry.BUILTIN["attack"]}
    without = {name for name, attack in attacks.items() if not getattr(attack, "needs_gradient", True)}
    assert without == {"square", "evolution", "onepixel"}


@pytest.mark.parametrize(
    "spec",
    [
        "square(eps=0.1, queries={})",
        "square(eps=0.5, queries={}, norm=l2)",
        "square(eps=0.1, queries={}, target=1)",
        "square(eps=0.1, queries={}, target=least-likely, norm=l2)",
        "evolution(eps=0.1, queries={}, population=7)",
        "evolution(eps=0.5, queries={}, norm=l2, target=1)",
    ],
)
@pytest.mark.parametrize("queries", [2, 131])
def test_an_image_that_resists_costs_all_queries_and_not_one_more(spec, queries):
    attack = attack_of(spec.format(queries))
    assert attack.max_cost() == (queries, 0)
    assert counted(attack, Classifier(Unmoved())) == 3 * queries


@pytest.mark.parametrize(("population", "queries", "spent"), [(10, 40, 40), (10, 47, 40), (100, 30, 30)])
def test_onepixel_asks_in_whole_generations(population, queries, spent):
    attack = attack_of(f"onepixel(population={population}, queries={queries})")
    assert counted(attack, Classifier(Unmoved())) == 3 * spent
    assert attack.max_cost() == (queries, 0)
    towards = dataclasses.replace(attack, target=1)
    assert counted(towards, Classifier(Unmoved())) <= 3 * queries


def test_onepixel_finds_the_pixel_that_counts():
    """The network asks whether one value is above 0.9, and its score grows towards it."""

    class OneValue(nn.Module):
        def forward(self, x):
            near = x.flatten(1)[:, 17]
            return torch.stack([torch.full_like(near, 0.9), near], 1)

    classifier, x = Classifier(OneValue()), torch.full((2, 1, 5, 5), 0.2)
    adversarial = attack_of("onepixel(queries=3000)")(classifier, x, torch.zeros(2).long(), streams_of(2))
    changed = (adversarial - x).flatten(1) != 0
    assert changed.nonzero().tolist() == [[0, 17], [1, 17]]
    assert (adversarial.flatten(1)[:, 17] > 0.9).all()


def test_restarts_have_a_budget_each():
    attack = attack_of("square(eps=0.1, queries=20, restarts=3, target=1)")
    assert counted(attack, Classifier(Unmoved())) == 3 * 60 == 3 * attack.max_cost().forwards


@pytest.mark.parametrize(
    "spec",
    ["square(eps=0.9, queries=300)", "square(eps=6, queries=300, norm=l2)", "evolution(eps=0.9, queries=300)"],
)
def test_an_image_that_falls_costs_nothing_more(spec):
    attack, classifier, x = attack_of(spec), network(), images_of(20)
    y = classifier(x).argmax(1)
    classifier.take_counts()
    adversarial = attack(classifier, x, y, streams_of(20))
    assert (classifier(adversarial).argmax(1) != y).all()
    assert classifier.take_counts().forwards < 0.3 * 300 * 20


@pytest.mark.parametrize("attack", [Square(queries=800), Square(queries=800, loss="ce"), Evolution(queries=900)])
def test_they_decide_right_on_both_sides_of_the_border_of_a_linear_network(attack):
    """In linf the best change is a corner of the ball, which single pixels reach one after another."""
    classifier, images, labels, streams = setting(3)
    truth = smallest(classifier, images, "linf")
    for i in range(len(images)):
        one = slice(i, i + 1)
        for factor, fooled in ((1.001, True), (0.999, False)):
            within = dataclasses.replace(attack, eps=float(truth[i]) * factor)
            adversarial = within(classifier, images[one], labels[one], streams[[i]])
            assert (classifier(adversarial).argmax(1) != labels[one]).item() is fooled, (i, factor)


def test_square_in_l2_comes_near_the_border_of_a_linear_network():
    classifier, images, labels, streams = setting(3)
    truth = smallest(classifier, images, "l2")
    for i in range(len(images)):
        one = slice(i, i + 1)
        for factor, fooled in ((1.6, True), (0.999, False)):
            attack = Square(eps=float(truth[i]) * factor, norm="l2", queries=800)
            adversarial = attack(classifier, images[one], labels[one], streams[[i]])
            assert (classifier(adversarial).argmax(1) != labels[one]).item() is fooled, (i, factor)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (1, 7, 3)])
def test_square_takes_images_of_any_size(shape, norm):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 3))
    classifier, x = Classifier(flat), torch.full((2, *shape), 0.5)
    adversarial = Square(eps=0.2, norm=norm, queries=40)(classifier, x, classifier(x).argmax(1), streams_of(2))
    assert adversarial.shape == x.shape
    assert not torch.equal(adversarial, x)


def test_square_asks_for_no_image_twice_in_a_row():
    """On one grey pixel there are two images to ask for."""
    seen = []

    class Watched(nn.Module):
        def forward(self, x):
            seen.append(x.item())
            return torch.stack([x.flatten() * 0 + 2, x.flatten(), x.flatten()], 1)

    Square(eps=0.25, queries=8)(
        Classifier(Watched()), torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), streams_of(1)
    )
    assert set(seen) == {0.25, 0.75}
    assert seen.count(0.25) in (1, 7)  # the better one is kept, the other asked for


def test_children_that_helped_are_combined():
    """Each of two pixels gains alone; both together gain more, and need one generation, not two."""
    parent = torch.zeros(1, 1, 1, 3)
    children = torch.tensor([[[[[1.0, 0, 0]]], [[[0, 2.0, 0]]], [[[3.0, 0, 3.0]]]]])
    mixed, several = _union(parent, children, torch.tensor([[0.2, 0.1, -torch.inf]]))
    assert mixed.flatten().tolist() == [1, 2, 0]
    assert several.tolist() == [True]
    mixed, several = _union(parent, children, torch.tensor([[0.2, -torch.inf, 0.3]]))
    assert mixed.flatten().tolist() == [3, 0, 3]


@needs_wong
@pytest.mark.slow
@pytest.mark.parametrize(("norm", "theirs", "eps"), [("linf", "Linf", 0.2), ("l2", "L2", 2.5)])
def test_square_finds_what_torchattacks_finds(norm, theirs, eps):
    torchattacks = pytest.importorskip("torchattacks", reason="the extra [torchattacks] is not installed")
    classifier, batch = wong(), next(mnist(60).batches(60))
    with classifier.frozen():
        right = classifier(batch.images).argmax(1) == batch.labels
        x, y = batch.images[right], batch.labels[right]
        ours = Square(eps=eps, norm=norm, queries=250)(classifier, x, y, streams_of(len(x)))
        peer = torchattacks.Square(classifier.network, norm=theirs, eps=eps, n_queries=250)(x, y)
        left = [int((classifier(z).argmax(1) == y).sum()) for z in (ours, peer)]
    assert left[0] <= left[1] + 4
    assert left[0] < 0.8 * len(x)
