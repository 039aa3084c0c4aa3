"""The worst case in a range: where it is known in closed form, both routes must find it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite import Classifier, InputError, evaluate, load_dataset, make, spec
from robustbench_lite.applying import shifted
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.search import search
from robustbench_lite.search_space import read_space
from robustbench_lite.shifts.tone import Brightness, Contrast

GREYS = np.linspace(0.35, 0.6, 7)
DARKEST = 0.63  # the mean at which the network below is least sure


class Bump(nn.Module):
    """Always right about class 0, least where the mean of the image is DARKEST."""

    def forward(self, x):
        sure = 10 * (x.flatten(1).mean(1) - DARKEST) ** 2
        return torch.stack([sure, torch.zeros_like(sure)], 1)


class Bright(nn.Module):
    """Class 1 where the image is brighter than 0.3, the surer the brighter."""

    def forward(self, x):
        sure = 10 * (x.flatten(1).mean(1) - 0.3)
        return torch.stack([-sure, sure], 1)


@pytest.fixture
def greys():
    """Images of one grey each."""
    return made(GREYS)


def made(values, label=0):
    images = np.asarray(values, np.float32)[:, None, None, None] * np.ones((1, 1, 8, 8), np.float32)
    names = tuple(map(str, range(len(values))))
    labels = np.full(len(values), label)
    return Dataset("greys", "all", ("a", "b"), labels, names, names, lambda i: images[i], {})


@pytest.mark.parametrize("smooth", [("add",), ()], ids=["gradient", "evolution"])
def test_the_worst_inside_a_range_is_found_for_every_image_and_for_all(greys, smooth, monkeypatch):
    monkeypatch.setattr(Brightness, "smooth", smooth)
    found = search(Classifier(Bump()), greys, "brightness(add=-0.3..0.4)", tries=160)
    assert found.method == ("gradient" if smooth else "evolution")
    np.testing.assert_allclose(found.table["brightness.add"], DARKEST - GREYS, atol=0.005)
    (together,) = found.together.parts
    assert together.add == pytest.approx(DARKEST - GREYS.mean(), abs=0.01)


@pytest.mark.parametrize("smooth", [("factor",), ()], ids=["gradient", "evolution"])
def test_two_arguments_of_a_chain(greys, smooth, monkeypatch):
    """Contrast does nothing to one grey; and the way to the second shift leads through it."""
    monkeypatch.setattr(Contrast, "smooth", smooth)
    ranges = "brightness(add=-0.3..0.4) + contrast(factor=0.5..1)"
    found = search(Classifier(Bump()), greys, ranges, tries=320)
    np.testing.assert_allclose(found.table["brightness.add"], DARKEST - GREYS, atol=0.01)
    assert found.table["contrast.factor"].between(0.5, 1).all()


def test_the_end_of_a_range_is_found_exactly(greys):
    bright = made(GREYS, label=1)
    found = search(Classifier(Bright()), bright, "brightness(add=-0.2..0.3)", tries=16)
    assert spec(found.together) == "brightness(add=-0.2)"
    assert (found.table["brightness.add"] == -0.2).all()
    rows = evaluate(Classifier(Bright()), bright, [found.together, found.each]).samples
    accuracy = rows.groupby("condition")["correct"].mean()
    assert accuracy["brightness(add=-0.2)"] == accuracy[spec(found.each)] == np.mean(GREYS - 0.2 > 0.3)


def test_night_is_worst_where_it_is_darkest(greys):
    found = search(Classifier(Bright()), made(GREYS, label=1), "night(severity=0, exposure_ev=-5..0)", tries=16)
    assert found.method == "gradient"
    assert spec(found.together) == "night(severity=0, exposure_ev=-5)"


def network():
    """A fixed linear network that the digits can be given to."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    weights = np.random.default_rng(0).normal(size=(10, 64)) / 3
    net[1].weight.data = torch.from_numpy(weights).float()
    net[1].bias.data.zero_()
    return Classifier(net)


class BlindInTheDark(Bright):
    """Returns NaN for dark images."""

    def forward(self, x):
        dark = x.flatten(1).mean(1, keepdim=True) < 0.3
        return super().forward(x).abs().masked_fill(dark, torch.nan) * torch.tensor([-1, 1])


@pytest.mark.parametrize("smooth", [("add",), ()], ids=["gradient", "evolution"])
def test_an_answer_that_is_not_finite_is_wrong(smooth, monkeypatch):
    monkeypatch.setattr(Brightness, "smooth", smooth)
    network, dim = Classifier(BlindInTheDark()), made([0.4, 0.45, 0.9], label=1)
    found = search(network, dim, "brightness(add=-0.2..0.2)", tries=32)
    rows = evaluate(network, dim, [found.each]).samples
    assert rows[rows["condition"] == spec(found.each)]["correct"].tolist() == [0, 0, 1]
    assert found.table["brightness.add"].iloc[0] < -0.1


RANGES = "gaussian_noise(sigma=0..0.2) + rotation(degrees=-20..20)"


@pytest.fixture(scope="module")
def labelled():
    """Digits under the labels that the network gives them, so that all are right."""
    digits = load_dataset("digits", limit=25)
    (batch,) = digits.batches(25)
    labels = network()(batch.images).argmax(1).numpy()
    return Dataset(
        "digits", "test", digits.class_names, labels, digits.files, digits.sample_ids, digits.read, digits.eps
    )


def test_more_tries_never_find_less_and_each_is_never_better_than_all(labelled):
    before = together = None
    for tries in (1, 8, 11, 16, 27, 48):
        found = search(network(), labelled, RANGES, tries=tries)
        rows = evaluate(network(), labelled, [found.together, found.each]).samples
        each, all_ = (rows[rows["condition"] == spec(c)] for c in (found.each, found.together))
        assert (each["margin"].to_numpy() <= all_["margin"].to_numpy() + 1e-6).all()
        score = (all_["correct"].sum(), all_["margin"].mean() - 1e-6)
        if before is not None:
            assert (each["margin"].to_numpy() <= before + 1e-6).all(), tries
            assert score <= (together[0], together[1] + 2e-6), tries
        before, together = each["margin"].to_numpy(), score


def test_what_was_found_before_ctrl_c_is_kept(labelled):
    def stop(done, total, what):
        if done >= stop_at:
            raise KeyboardInterrupt

    stop_at = 8
    found = search(network(), labelled, RANGES, tries=48, on_progress=stop)
    assert (found.interrupted, found.tries) == (True, 8)
    whole = search(network(), labelled, RANGES, tries=8)
    assert not whole.interrupted
    stop_at = 0
    with pytest.raises(KeyboardInterrupt):
        search(network(), labelled, RANGES, on_progress=stop)


@pytest.mark.parametrize(
    ("ranges", "method"), [(RANGES, "gradient"), ("contrast(factor=0..1) + jpeg(quality=5..60)", "evolution")]
)
def test_batch_size_does_not_matter(labelled, ranges, method):
    one, other = (search(network(), labelled, ranges, tries=24, batch_size=size) for size in (4, 25))
    assert one.method == other.method == method
    assert one.together == other.together
    assert one.table.equals(other.table)


def test_another_seed_looks_elsewhere(labelled):
    one, other = (search(network(), labelled, RANGES, tries=24, seed=seed) for seed in (0, 1))
    assert not one.table.equals(other.table)


def test_what_has_fallen_is_paid_for_no_longer(labelled):
    found = search(network(), labelled, RANGES, tries=16)
    rows = evaluate(network(), labelled, [found.each]).samples
    left = rows[rows["condition"] == spec(found.each)]["correct"].sum()
    assert 0 < left < 25
    assert 12 * 25 + 4 * left <= found.forwards < 16 * 25


def test_each_image_has_the_condition_of_its_row(labelled):
    found = search(network(), labelled, RANGES, tries=16, seed=7)
    (batch,) = labelled.batches(25)
    result = evaluate(network(), labelled, [found.each], seed=7)
    rows = result.samples[result.samples["condition"] == spec(found.each)]
    for i, row in enumerate(found.table.itertuples()):
        image = shifted(make(row.condition), batch.images[i : i + 1], batch.sample_ids[i : i + 1], 7)
        assert int(network()(image).argmax(1)) == rows["prediction"].iloc[i]
    assert result.conditions[1].kind == "shift"
    assert result.conditions[1].severity is None


def test_the_condition_returns_from_its_spec_but_must_be_searched_anew(labelled):
    found = search(network(), labelled, RANGES, tries=3)
    again = make(spec(found.each))
    assert again.parts == (found.each,)
    result = evaluate(network(), labelled, [again])
    assert result.status == "failed"
    assert "nothing has been searched" in str(result.error)


def test_gradients_are_those_of_the_finite_difference():
    space = read_space("night(severity=0, exposure_ev=-3..-1) + brightness(add=0..0.2)")
    image = load_dataset("digits", limit=1).read(0)
    image = torch.from_numpy(image)[None].double()
    point, step = [0.3, 0.4], 1e-4
    changed, values = space.changed(point, image, "a", 0)
    torch.testing.assert_close(changed, shifted(space.condition(point), image, ("a",), 0))
    weights = torch.linspace(-1, 3, image.numel()).view_as(image).double()
    found = torch.autograd.grad((changed * weights).sum(), values)
    for axis, gradient in enumerate(found):
        ends = []
        for sign in (-1, 1):
            moved = list(point)
            moved[axis] += sign * step
            ends.append((shifted(space.condition(moved), image, ("a",), 0) * weights).sum())
        width = (space.axes[axis].high - space.axes[axis].low) * 2 * step
        assert gradient.item() == pytest.approx(((ends[1] - ends[0]) / width).item(), rel=0.02)


def test_whole_numbers_stay_whole():
    space = read_space("night(bits=2..9)")
    assert {type(space.condition([share]).parts[0].bits) for share in (0, 0.33, 1)} == {int}
    assert [space.values([share])["night.bits"] for share in (0, 0.5, 1)] == [2, 6, 9]
    assert not space.smooth


def test_the_same_shift_twice_has_two_names():
    space = read_space("rotation(degrees=0..5) + rotation(degrees=1..2)")
    assert list(space.values([0, 1])) == ["rotation.degrees", "rotation#2.degrees"]


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ("night", "has no range"),
        ("night(exposure_ev=-1..-4)", "holds no range"),
        ("night(exposure_ev=-40..-4)", "out of range"),
        ("night(exposure_ev=-4..4)", "out of range"),
        ("night(exposure=-4..-1)", "unknown argument"),
        ("nigth(exposure_ev=-4..-1)", "Did you mean 'night'"),
        ("pgd(eps=0..0.1)", "is no shift"),
        ("night(exposure_ev=-4..-1) + pgd", "is no shift"),
    ],
)
def test_what_is_no_space_is_refused(ranges, told):
    with pytest.raises(InputError, match=told):
        read_space(ranges)


def test_a_range_is_refused_elsewhere():
    with pytest.raises(InputError, match=r"exposure_ev=-4\.\.-1 is a range.*rb shift --search"):
        make("night(exposure_ev=-4..-1)")
