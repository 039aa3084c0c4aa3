"""Directions of edges on images whose gradients are known, and the distance beside scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.ellipsoid import Ellipsoid
from robustbench_lite.outliers.greys import grey, side_of, squared, standardised
from robustbench_lite.outliers.hog import HOG, hog
from robustbench_lite.outliers.score import Normals, Parts


def ramp(degrees, side=64):
    """Grey that rises evenly in one direction, from right towards down."""
    down, right = torch.meshgrid(*[torch.arange(side) / side] * 2, indexing="ij")
    angle = math.radians(degrees)
    return (0.5 + 0.3 * (right - 0.5) * math.cos(angle) + 0.3 * (down - 0.5) * math.sin(angle))[None, None]


def shares(image):
    """Share of each direction in the edges of a cell inside, (8,)."""
    inside = hog(image).view(8, 8, 8)[:, 4, 3].square()
    return inside / inside.sum()


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 90, 100, 170, 210, 359])
def test_a_ramp_votes_for_its_two_nearest_directions(degrees):
    place = degrees / 22.5
    wanted = torch.zeros(8)
    wanted[math.floor(place) % 8] += 1 - place % 1
    wanted[math.ceil(place) % 8] += place % 1
    assert shares(ramp(degrees)) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("turned", "direction"), [(False, 0), (True, 4)])
def test_a_step_edge_is_where_it_is(turned, direction):
    image = torch.zeros(1, 1, 64, 64)
    image[..., 28:] = 1  # in the fourth of eight columns of cells
    found = hog(image.mT if turned else image).view(8, 8, 8).square()
    assert int(found.sum((1, 2)).argmax()) == direction
    assert found[direction].sum() > 0.97 * found.sum()
    energy = found.sum(0).sum(1 if turned else 0)
    assert int(energy.argmax()) == 3


def test_level_and_contrast_do_not_matter():
    image = ramp(40)
    assert hog(0.4 * image + 0.5) == pytest.approx(hog(image), abs=2e-3)
    assert hog(1 - image) == pytest.approx(hog(image), abs=2e-3)


def test_the_mean_share_is_one():
    images = torch.rand(3, 1, 40, 56, generator=torch.Generator().manual_seed(0))
    assert hog(images).square().mean(1) == pytest.approx(torch.ones(3), abs=1e-3)


def test_flat_images_have_no_edges_and_a_slope():
    image = torch.full((1, 1, 32, 32), 0.4, requires_grad=True)
    found = hog(image)
    assert found.detach().abs().max() < 0.02
    found.sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_distance_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(40, 60)) @ generator.normal(size=(60, 60))
    images = torch.from_numpy(features).float().view(40, 1, 6, 10)
    fitted = Ellipsoid.fit(lambda images: images.flatten(1), images[:30], of_one_unit=True)
    wanted = LedoitWolf().fit(features[:30]).mahalanobis(features) / 60
    assert fitted(images) == pytest.approx(torch.from_numpy(wanted).float(), rel=1e-3)


def test_equal_images_and_one():
    scorer = HOG().fit(Normals(torch.full((9, 1, 16, 16), 0.5)), Parts())
    assert scorer(torch.rand(2, 1, 16, 16)).isfinite().all()
    with pytest.raises(InputError, match="no covariance"):
        HOG().fit(Normals(torch.zeros(1, 1, 16, 16)), Parts())


def test_other_digits_than_zero_are_outliers():
    digits = load_digits()
    images, zero = torch.from_numpy(digits.images).float()[:, None] / 16, digits.target == 0
    normals, known = images[zero][:100], np.flatnonzero(zero)[:100]
    scores = HOG().fit(Normals(normals), Parts())(images).numpy()
    assert roc_auc_score(np.delete(~zero, known), np.delete(scores, known)) > 0.97


class TestGreys:
    def test_three_channels_have_a_luma_others_a_mean(self):
        images = torch.rand(2, 4, 8, 8)
        assert grey(images[:, :3])[0, 0, 0, 0] == pytest.approx(
            float(0.299 * images[0, 0, 0, 0] + 0.587 * images[0, 1, 0, 0] + 0.114 * images[0, 2, 0, 0])
        )
        assert grey(images) == pytest.approx(images.mean(1, keepdim=True))
        assert grey(images[:, :1]) == pytest.approx(images[:, :1])

    @pytest.mark.parametrize(
        ("size", "side"), [((8, 8), 32), ((28, 28), 32), ((64, 48), 64), ((100, 90), 96), ((2000, 90), 128)]
    )
    def test_sides(self, size, side):
        assert side_of(*size) == side
        assert squared(torch.rand(1, 2, *size)).shape == (1, 2, side, side)

    def test_standardised(self):
        found = standardised(torch.rand(2, 1, 16, 16))
        assert found.mean((1, 2, 3)) == pytest.approx(torch.zeros(2), abs=1e-5)
        assert found.square().mean((1, 2, 3)) == pytest.approx(torch.ones(2), abs=1e-5)
