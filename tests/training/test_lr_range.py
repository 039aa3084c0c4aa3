"""The range test on losses whose limits are known, and on networks."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite import find_lr, load_dataset, make_recipe
from robustbench_lite.cli.train_lr import next_command
from robustbench_lite.training.lr_range import EXPLODED, HIGHEST, LOWEST, STEPS, range_test
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.trainer import train


class Point(nn.Module):
    """A place in parameter space."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.ones(3))


PLAIN = TrainingOptions(optimizer="sgd", momentum=0.0, weight_decay=0.0, batch_size=4)


@pytest.mark.parametrize("curvature", [1.0, 10.0, 1000.0])
def test_gradient_descent_on_a_quadratic_diverges_from_two_over_the_curvature_on(curvature):
    """½ Σ λ x²: a step multiplies each x by 1 − rate·λ, so the largest λ explodes above 2/λ, and only there."""
    values = curvature * torch.tensor([1.0, 0.5, 0.1])
    point = Point()
    found = range_test(
        point, lambda chunk, step: (values * point.at**2).sum() / 2, PLAIN, lambda e: torch.arange(8)
    )
    limit = 2 / curvature
    rising = [
        rate
        for rate, before, after in zip(found.rates, found.losses, found.losses[1:], strict=False)
        if after > before
    ]
    assert min(rising, default=HIGHEST) > limit
    assert found.suggestion == found.minimum / 10 < limit
    assert found.steepest < limit
    if curvature > 1:
        assert limit < found.exploded < 10 * limit
        assert len(found.rates) < STEPS


def test_the_same_steps_by_hand():
    """Rates that grow by one factor, each applied to the gradient of its own step."""
    target, point = torch.arange(8.0), Point()
    found = range_test(
        point,
        lambda chunk, step: (point.at - target[chunk].mean()).square().mean(),
        PLAIN,
        lambda e: torch.arange(8),
    )
    assert found.rates[0] == LOWEST
    assert found.rates == pytest.approx(np.geomspace(LOWEST, HIGHEST, STEPS)[: len(found.rates)], rel=1e-6)
    at = np.ones(3)
    for number, (rate, loss) in enumerate(zip(found.rates, found.losses, strict=True)):
        goal = (1.5, 5.5)[number % 2]
        assert loss == pytest.approx(((at - goal) ** 2).mean(), rel=1e-3)
        at = at - rate * 2 / 3 * (at - goal)


def test_it_stops_at_once_when_the_loss_is_not_finite():
    point = Point()
    found = range_test(
        point,
        lambda chunk, step: point.at.sum() * (torch.nan if point.at[0] < 1 - 1e-3 else 1),
        PLAIN,
        lambda e: torch.arange(8),
    )
    assert found.exploded is not None
    assert np.isfinite(found.losses).all()
    assert EXPLODED > 1


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", split="train")


@pytest.mark.slow
def test_the_suggestion_trains_well(digits):
    """And a hundredth of it does not get anywhere in the same epochs."""
    val = load_dataset("digits", split="val")
    for optimizer in ("adamw", "sgd"):
        options = TrainingOptions(epochs=6, optimizer=optimizer, weight_decay=1e-3)
        suggested = find_lr("cnn(width=4)", digits, options).suggestion
        accuracy = {}
        for lr in (suggested, suggested / 100):
            given = TrainingOptions(**{**vars(options), "lr": lr})
            trained = train("cnn(width=4)", digits, val, given, baselines=False)
            accuracy[lr] = trained.info.history["validation"]["accuracy"]
        assert accuracy[suggested] > 0.75 > 0.3 > accuracy[suggested / 100]


def test_the_seed_decides_and_generators_are_handed_back(digits):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    options = TrainingOptions(dropout=0.3, augment=("crop",), batch_size=16)
    first, again = (find_lr("cnn(width=2)", digits, options) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)


def test_any_recipe(digits):
    recipe = make_recipe(adversarial="fast(eps=0.1)", shift="gaussian_noise(severity=1..2)")
    found = find_lr("linear", digits, TrainingOptions(batch_size=16), recipe=recipe)
    assert found.suggestion is not None


def test_labels_that_cannot_be_learnt_get_no_suggestion(digits):
    """All images the same."""
    flat = type(digits)(**{**vars(digits), "read": lambda i: np.zeros((1, 8, 8), np.float32)})
    assert find_lr("linear", flat, TrainingOptions(l1=0.0)).suggestion is None


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("train --find-lr --data digits", "rb train --data digits --lr 0.0012"),
        ("train --lr 3 --data digits --json --find-lr", "rb train --data digits --lr 0.0012"),
        ("train --lr=3 --model 'cnn(width=8)' --find-lr", "rb train --model 'cnn(width=8)' --lr 0.0012"),
    ],
)
def test_the_command_to_run_next(words, wanted):
    assert next_command(shlex.split(words), 0.001234) == wanted
