"""Rows that say what is left of an attack in a file of 8 bits, and which attack of a portfolio did it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.types import Attack, Cost, Trace

STEP = 1 / 255


class Bright(nn.Module):
    """Two classes: is the mean above 100.25 levels, or not?"""

    def forward(self, x):
        mean = x.flatten(1).mean(1, keepdim=True) - 100.25 * STEP
        return torch.cat([-mean, mean], 1)


def grey(levels, spec="grey"):
    """One flat image per level; all of them dark, so of class 0."""
    images = [np.full((1, 4, 4), level * STEP, np.float32) for level in levels]
    n = len(levels)
    return Dataset(
        spec=spec,
        split="test",
        class_names=("dark", "bright"),
        labels=np.zeros(n, np.int64),
        files=tuple(map(str, range(n))),
        sample_ids=tuple(f"{i:016x}" for i in range(n)),
        read=images.__getitem__,
        eps={"linf": 2 * STEP},
    )


@dataclass(frozen=True)
class Up(Attack):
    """Makes every value brighter by so many levels."""

    levels: float = 1
    eps: float | None = 2 * STEP
    norm: str = "linf"

    def max_cost(self):
        return Cost(0, 0)

    def __call__(self, model, images, labels, streams):
        return images + self.levels * STEP


@dataclass(frozen=True)
class Both(Up):
    """Up by a little, and where that is not enough, by more: a portfolio."""

    fault: str = ""

    members = ("small", "large")

    def trace(self, model, images, labels, streams):
        small, large = images + 0.5 * STEP, images + 2 * STEP
        first = model(small).argmax(1) != labels
        second = model(large).argmax(1) != labels
        by = ["small" if a else "large" if b else None for a, b in zip(first, second, strict=True)]
        return Trace(torch.where(first[:, None, None, None], small, large), by[1:] if self.fault else by)


def attacked(levels, attack, **arguments):
    result = evaluate(Classifier(Bright()), grey(levels), [attack], **arguments)
    if result.error:
        raise result.error
    return result, result.samples[result.samples["kind"] == "attack"]


def test_the_row_says_whether_rounding_undoes_the_attack():
    # 100 + 0.4 is bright, but is saved as 100; 100 + 0.6 is saved as 101, which is within 2 levels.
    for levels, still in ((0.4, 0), (0.6, 1)):
        result, rows = attacked([100, 90], Up(levels))
        assert rows["succeeded"].tolist() == [1, 0]
        assert rows["fools_8bit"].tolist() == [still, 0]
        assert rows["linf"].iloc[0] == pytest.approx(levels * STEP, abs=1e-6)
        # the look is ours: 2 images scored after the attack, and nothing else
        assert result.conditions[1].forwards == 2


def test_rounding_keeps_the_budget():
    _, rows = attacked([100], Up(0.6, eps=0.7 * STEP))  # 101 is too far
    assert rows["fools_8bit"].tolist() == [0]


def test_a_rounded_image_is_the_result_when_that_is_asked_for():
    result, rows = attacked([100, 99, 90], Up(1.4), as_8bit=True)
    assert rows["correct"].tolist() == [0, 1, 1]  # 101, 100, 91
    assert rows["fools_8bit"].tolist() == rows["succeeded"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(rows["linf"], STEP, atol=1e-6)
    assert result.conditions[1].forwards == 3


def test_the_sizes_of_a_change_in_all_norms():
    _, rows = attacked([100], Up(0.6))
    assert rows[["l2", "linf", "l1"]].iloc[0].tolist() == pytest.approx(
        [4 * 0.6 * STEP, 0.6 * STEP, 16 * 0.6 * STEP], abs=1e-5
    )
    assert rows["l0"].tolist() == [16]


def test_a_portfolio_says_which_attack_it_was():
    result, rows = attacked([100, 99, 90], Both())
    assert rows["by"].fillna("").tolist() == ["small", "large", ""]
    assert result.samples[result.samples["kind"] == "clean"]["by"].isna().all()
    # An image that is right again after rounding was fooled by nobody.
    _, rounded = attacked([99.9, 99, 90], Both(), as_8bit=True)
    assert rounded["by"].fillna("").tolist() == ["", "large", ""]


def test_a_portfolio_must_name_one_for_every_image():
    with pytest.raises(InputError, match="named 1 attacks for 2 images"):
        attacked([100, 99], Both(fault="short"))


def test_a_shift_has_no_such_rows():
    result = evaluate(Classifier(Bright()), grey([100]), ["brightness(add=0.5)"])
    assert result.samples["fools_8bit"].tolist() == [0, 0]
    assert result.samples["by"].isna().all()
