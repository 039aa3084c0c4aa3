"""FAB: the way to a hyperplane in [0, 1] beside scipy's, the closed form, and what is paid for."""

import numpy as np
import pytest
import torch
from linear import setting, smallest
from scipy.optimize import linprog, minimize
from test_contract import attack_of, network, streams_of
from torch import nn

from robustbench_lite import norms, registry
from robustbench_lite.attacks.fab import to_hyperplane
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError


def planes(share, n=12, dimensions=9):
    """Points, some values at 0 or 1, linear functions, and gains: a share of what can be had in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    points = (1.6 * torch.rand(2, n, dimensions, generator=generator) - 0.3).clamp(0, 1)
    gradient = torch.randn(n, dimensions, generator=generator) * torch.logspace(-3, 3, n)[:, None]
    gradient[:, 0] = 0
    sign = torch.tensor([1.0, -1.0]).repeat(n)[: 2 * n].view(2, n).contiguous()
    towards = gradient * sign[..., None]
    most = torch.where(towards > 0, (1 - points) * towards, -points * towards).sum(2)
    return points, gradient, sign * share * most


def smallest_size(point, gradient, gain, norm):
    """The size of the smallest way by scipy: a linear programme, for l2 SLSQP."""
    gradient, gain = gradient / np.abs(gradient).max(), gain / np.abs(gradient).max()
    d = len(point)
    if norm == "l2":
        found = minimize(
            lambda way: way @ way,
            np.zeros(d),
            jac=lambda way: 2 * way,
            bounds=list(zip(-point, 1 - point, strict=True)),
            constraints={"type": "eq", "fun": lambda way: gradient @ way - gain, "jac": lambda way: gradient},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 1000},
        )
        assert found.success
        return np.sqrt(found.fun)
    # The way is the difference of two that are not negative; in linf all are below the last unknown.
    linf = norm == "linf"
    cost = np.r_[np.zeros(2 * d), 1] if linf else np.r_[np.ones(2 * d), 0]
    below = np.c_[np.eye(d), np.eye(d), -np.ones(d)] if linf else None
    found = linprog(
        cost,
        A_ub=below,
        b_ub=np.zeros(d) if linf else None,
        A_eq=np.r_[gradient, -gradient, 0][None],
        b_eq=[gain],
        bounds=[*((0, 1 - p) for p in point), *((0, p) for p in point), (0, None)],
    )
    assert found.success
    return found.fun


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_way_to_a_hyperplane_is_the_smallest_in_the_box(norm, share):
    points, gradient, gain = planes(share)
    ways = to_hyperplane(points, gradient, gain, norm)
    assert (points + ways).min() >= -1e-6
    assert (points + ways).max() <= 1 + 1e-6
    assert torch.allclose((ways * gradient).sum(2), gain, rtol=1e-5, atol=0)
    for p in range(2):
        sizes = norms.size(ways[p], norm)
        for i in range(len(gradient)):
            given = (t.double().numpy() for t in (points[p, i], gradient[i], gain[p, i]))
            assert sizes[i].item() == pytest.approx(smallest_size(*given, norm), rel=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_hyperplane_out_of_reach_gives_the_corner(norm):
    points, gradient, gain = planes(1.5)
    corner = points + to_hyperplane(points, gradient, gain, norm)
    towards = gradient * gain.sign()[..., None]
    expected = torch.where(towards > 0, 1.0, 0.0)
    assert torch.allclose(torch.where(towards == 0, expected, corner), expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_extreme_slopes_and_rooms(norm):
    generator = torch.Generator().manual_seed(0)
    # Rooms that halve while slopes double: every piece of the sum counts.
    points = 1 - 0.5 ** torch.arange(20.0).repeat(1, 6, 1)
    gradient = (
        2.0 ** torch.arange(20.0).repeat(6, 1) * torch.tensor([1e-30, 1e-20, 1.0, 1e10, 1e20, 1e30])[:, None]
    )
    gain = torch.rand(1, 6, generator=generator) * ((1 - points) * gradient).sum(2)
    ways = to_hyperplane(points, gradient, gain, norm)
    assert torch.allclose((ways * gradient).sum(2) / gain, torch.ones(1, 6), rtol=1e-4)
    nowhere = to_hyperplane(points, torch.zeros(6, 20), gain, norm)
    assert torch.equal(nowhere, torch.zeros_like(points))
    assert torch.equal(to_hyperplane(points, gradient, 0 * gain, norm), torch.zeros_like(points))


@pytest.mark.parametrize("options", ["", ", targets=1", ", targets=1, restarts=2"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_change_is_within_one_percent_of_the_smallest(norm, options):
    classifier, images, labels, streams = setting(n=40)
    adversarial = attack_of(f"fab(norm={norm}, steps=40{options})")(classifier, images, labels, streams)
    assert (classifier(adversarial).argmax(1) != labels).all()
    truth = smallest(classifier, images, norm)
    # Where a single pixel would leave [0, 1], the closed form does not hold.
    inside = (truth < 0.19) if norm == "l1" else (truth > 0)
    ratio = (norms.size(adversarial - images, norm) / truth)[inside]
    assert len(ratio) >= 8
    assert ratio.min() >= 0.999
    assert ratio.max() <= 1.01, ratio


@pytest.mark.parametrize("spec", ["fab(steps=5)", "fab(steps=5, norm=l2, targets=1, restarts=2)"])
def test_nothing_found_leaves_the_images(spec):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.stack([1 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], 1)

    classifier, x = Classifier(Constant()), torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    found = attack_of(spec)(classifier, x, torch.zeros(4, dtype=torch.int64), streams_of(4))
    assert torch.equal(found, x)


def several(n=20):
    classifier, x = network(), torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return classifier, x, classifier(x).argmax(1), streams_of(n)


def test_what_is_paid():
    classifier, *given = several()
    for spec, gradients in [
        ("fab(steps=5)", 5 * 2),  # three classes
        ("fab(steps=5, candidates=2)", 5),
        ("fab(steps=5, targets=1)", 5),
        ("fab(steps=5, targets=9, restarts=3)", 5 * 2 * 3),
    ]:
        attack = attack_of(spec)
        classifier.take_counts()
        attack(classifier, *given)
        steps = attack.restarts * max(1, min(attack.targets, 2)) * 5
        assert classifier.take_counts()[:2] == (20 * (1 + steps + gradients), 20 * gradients)
    for spec in ("fab(steps=5, candidates=2)", "fab(steps=5, targets=2, restarts=3)"):
        attack = attack_of(spec)
        classifier.take_counts()
        attack(classifier, *given)
        assert classifier.take_counts()[:2] == tuple(20 * most for most in attack.max_cost())


def test_restarts_and_targets_never_lose_what_was_found():
    classifier, x, y, streams = several()

    def sizes(options):
        found = attack_of(f"fab(steps=2, {options})")(classifier, x, y, streams)
        fooled = classifier(found).argmax(1) != y
        assert torch.equal(found[~fooled], x[~fooled])
        return torch.where(fooled, norms.size(found - x, "linf"), torch.inf)

    once, again, both = sizes("targets=1"), sizes("targets=1, restarts=6"), sizes("targets=2")
    assert (again <= once).all()
    assert (again < once).any()
    assert (both <= once).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_within_a_budget_an_image_is_finished_at_the_first_hit(norm):
    classifier, x, y, streams = several()
    attack = attack_of(f"fab(norm={norm}, steps=10, targets=2, restarts=2)")
    classifier.take_counts()
    free = norms.size(attack(classifier, x, y, streams) - x, norm)
    full = classifier.take_counts().gradients
    eps = 1.0001 * float(free.median())
    found = attack.within(classifier, x, y, streams, eps)
    cost = classifier.take_counts().gradients
    size = norms.size(found - x, norm)
    fooled = (classifier(found).argmax(1) != y) & (size <= eps)
    assert fooled.sum() >= 10
    paid_in_full = int((~fooled).sum()) * full // len(x)
    assert paid_in_full < cost < paid_in_full + 0.7 * (full - paid_in_full)
    # who leaves early is nobody's business
    for i in (0, 7):
        alone = attack.within(classifier, x[[i]], y[[i]], streams[[i]], eps)
        assert torch.allclose(alone, found[[i]], atol=1e-4)


def test_a_portfolio_gives_the_budget():
    classifier, x, y, streams = several()
    member = attack_of("fab(steps=10, targets=2)")
    eps = 1.0001 * float(norms.size(member(classifier, x, y, streams) - x, "linf").median())
    classifier.take_counts()
    member.within(classifier, x, y, streams, eps)
    own = classifier.take_counts()
    trace = attack_of(f"worst(fab(steps=10, targets=2), eps={eps})").trace(classifier, x, y, streams)
    spent = classifier.take_counts()
    assert spent.gradients == own.gradients
    assert spent.forwards == own.forwards + len(x)
    assert trace.by.count("fab(steps=10, targets=2)") >= 10
    assert trace.by.count(None) >= 1


@pytest.mark.parametrize(
    "option",
    [
        *("steps=0", "restarts=0", "targets=-1", "candidates=1", "alpha_max=1.1", "eta=0.9", "eta=inf", "beta=2"),
        *("norm=l0", "eps=0.1", "beta=nan"),
    ],
)
def test_what_cannot_be_is_refused(option):
    with pytest.raises(InputError):
        registry.make(f"fab({option})")
