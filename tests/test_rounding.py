"""Rounding to 8 bits within a budget, against its definition value by value."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.norms import project, project_l0, round_8bit, size

BUDGETS = {"linf": 0.05, "l2": 0.4, "l1": 2.0, "l0": 9}


def noise(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def changed(clean, norm):
    """Images with exactly the budget's change, clipped to [0, 1]."""
    delta = 2 * noise(clean.shape, 1) - 1
    if norm == "l0":
        return clean + project_l0(delta, torch.full((len(clean),), BUDGETS[norm]), clean)
    return (clean + project(delta, BUDGETS[norm], norm)).clamp(0, 1)


def on_grid(images):
    return ((images * 255).round() / 255 - images).abs().max() <= 1e-6


@pytest.mark.parametrize("norm", BUDGETS)
def test_of_8_bit_images_every_value_is_on_the_grid_and_the_budget_holds(norm):
    clean = (noise((200, 1, 8, 8), 0) * 255).round() / 255
    images = changed(clean, norm)
    found = round_8bit(images, clean, BUDGETS[norm], norm)
    assert on_grid(found)
    assert 0 <= found.min() <= found.max() <= 1
    assert size(found - clean, norm).max() <= BUDGETS[norm] * (1 + 1e-5) + 1e-6
    assert (found - images).abs().max() <= 1 / 255 + 1e-6
    # what did not change keeps its bits, and a file written and read again is the same image
    assert (found[images == clean] == clean[images == clean]).all()
    read = (found * 255).round().to(torch.uint8).to(torch.float32) / 255
    torch.testing.assert_close(read, found, atol=1e-7, rtol=0)


@pytest.mark.slow
def test_linf_takes_the_nearest_level_that_is_allowed():
    clean = noise((1, 4000), 2)
    eps = 0.7 / 255
    images = (clean + eps * (2 * noise((1, 4000), 3) - 1)).clamp(0, 1)
    found = round_8bit(images, clean, eps, "linf")[0].double() * 255
    for x, start, level in zip(images[0].double() * 255, clean[0].double() * 255, found, strict=True):
        allowed = [k for k in range(256) if abs(k - start) <= 0.7]
        assert min(abs(level - k) for k in allowed) < 1e-3
        assert abs(level - x) <= min(abs(k - x) for k in allowed) + 1e-3


def test_linf_where_no_level_is_allowed_is_the_clean_value_rounded():
    clean = torch.tensor([[10.4 / 255, 10.6 / 255]])
    eps = 0.2 / 255
    for images in (clean - eps, clean, clean + eps):
        assert (round_8bit(images, clean, eps, "linf") * 255).tolist() == [pytest.approx([10, 11])]


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_change_that_rounding_makes_too_large_is_rounded_inwards(norm):
    # Two values up by 1.6 levels: the nearest is 2 levels each, which is too much; 1 level each fits.
    clean = torch.full((1, 2), 100 / 255)
    images = clean + 1.6 / 255
    budget = size(images - clean, norm).item()
    assert (round_8bit(images, clean, budget, norm) * 255).tolist() == [pytest.approx([101, 101])]
    assert (round_8bit(images, clean, 1.5 * budget, norm) * 255).tolist() == [pytest.approx([102, 102])]
    assert (round_8bit(images, clean, None, norm) * 255).tolist() == [pytest.approx([102, 102])]


def test_inwards_does_not_pass_what_the_clean_value_is_rounded_to():
    clean = torch.tensor([[10.6, 10.4]]) / 255
    images = torch.tensor([[10.8, 10.2]]) / 255
    assert (round_8bit(images, clean, 1e-4, "l2") * 255).tolist() == [pytest.approx([11, 10])]


def test_every_image_is_rounded_by_itself():
    clean = (noise((20, 3, 4, 4), 4) * 255).round() / 255
    images = changed(clean, "l2")
    whole = round_8bit(images, clean, 0.4, "l2")
    alone = [round_8bit(images[i : i + 1], clean[i : i + 1], 0.4, "l2") for i in range(20)]
    assert torch.equal(whole, torch.cat(alone))
