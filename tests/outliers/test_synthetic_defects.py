"""Made-up defects are what they say, and the network trained on them finds real ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from scipy.ndimage import maximum_filter
from sklearn.metrics import roc_auc_score

from robustbench_lite.errors import InputError
from robustbench_lite.outliers import unet
from robustbench_lite.outliers.defect_images import _deviations, flipped, removed, with_defects, with_nuisances
from robustbench_lite.outliers.defect_masks import _KINDS, random_mask
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.score import Normals, Parts
from robustbench_lite.outliers.synthetic_defects import SyntheticDefects


def textures(n, seed, side=64):
    """Brushed metal: fine noise, smoothed along the rows."""
    noise = torch.randn(n, 1, side, side + 8, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.15 * F.avg_pool2d(noise, (1, 9), stride=1)).clamp(0, 1)


def planted(images, seed):
    """A slanted scratch in every other image, a round spot in the rest; and where they are, (N, H, W)."""
    random, side = default_rng(seed), images.shape[-1]
    down, right = torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij")
    masks = []
    for i in range(len(images)):
        y, x = random.uniform(0.25 * side, 0.75 * side, 2)
        along, across = (down - y) + (right - x), ((down - y) - (right - x)).abs()
        scratch = (along.abs() < 16) & (across < 1.5)
        spot = (down - y) ** 2 + (right - x) ** 2 < 12
        masks.append(scratch if i % 2 else spot)
    where = torch.stack(masks)
    return (images - 0.2 * where[:, None]).clamp(0, 1), where


@pytest.mark.parametrize("kind", [kind for kind, _ in _KINDS], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("side", [32, 128])
def test_masks_are_soft_and_neither_nothing_nor_all(kind, side):
    masks = np.stack([kind(side, default_rng(i)) for i in range(40)])
    assert masks.shape == (40, side, side)
    assert masks.dtype == np.float32
    assert masks.min() == 0
    assert masks.max() == 1
    assert ((masks > 0.1) & (masks < 0.9)).any()
    areas = masks.mean((1, 2))
    assert (areas > 0).mean() > 0.85  # some lie outside
    assert np.median(areas) < 0.6


def test_shares_of_the_kinds_are_shares():
    assert sum(share for _, share in _KINDS) == pytest.approx(1)
    assert np.array_equal(random_mask(64, default_rng(3)), random_mask(64, default_rng(3)))


def test_defects_change_what_they_say():
    images = default_rng(0).standard_normal((150, 32, 32), dtype=np.float32)
    before = images.copy()
    changed, change = with_defects(images, images[:50], default_rng(1))
    assert np.array_equal(images, before)
    assert changed == pytest.approx(images + change, abs=1e-5)
    touched = (change != 0).any((1, 2))
    assert 0.5 < touched.mean() < 0.7
    assert np.median((change[touched] != 0).mean((1, 2))) < 0.25  # small ones
    again, _ = with_defects(images, images[:50], default_rng(1))
    assert np.array_equal(again, changed)


def test_nuisances_and_flips_are_no_defects():
    images = default_rng(0).standard_normal((60, 48, 48), dtype=np.float32)
    assert np.array_equal(flipped(images[:2], np.array([[1, -1], [-1, 1]])), [images[0, :, ::-1], images[1, ::-1]])
    made = with_nuisances(images, default_rng(2))
    assert 0.3 < np.mean([np.array_equal(a, b) for a, b in zip(made, images, strict=True)]) < 0.7
    assert np.abs(made - images).mean((1, 2)).max() < 0.8


def marked(n, seed, side=64):
    """Brushed metal (N, S, S) with a row of dark bars, standardised; and where the bars are, (S, S)."""
    bars = np.zeros((side, side), np.float32)
    bars[44:54, 8:56:6] = bars[44:54, 9:56:6] = 1
    metal = (textures(n, seed, side)[:, 0].numpy() - 0.5) / 0.5
    return metal - 3 * bars, bars


def test_what_is_removed_was_there():
    images, bars = marked(30, 0)
    before = images.copy()
    changes = np.stack([removed(image, default_rng(i)) for i, image in enumerate(images)])
    assert np.array_equal(images, before)
    assert np.array_equal(changes, [removed(image, default_rng(i)) for i, image in enumerate(images)])
    found = changes[changes.any((1, 2))]
    assert len(found) > 15
    near = maximum_filter(bars, 5) > 0
    assert found[:, near].sum() > 0.9 * np.abs(found).sum()  # bars become bright, and little else changes
    assert (found != 0).any(1).sum(1).mean() < 40  # not all of them at once
    assert (images + changes).min() >= images.min() - 0.1
    assert (images + changes).max() <= images.max() + 0.1


def test_nothing_is_removed_where_nothing_stands_out():
    random = default_rng(0)
    noise = 0.2 * random.standard_normal((64, 64), dtype=np.float32)
    slope = np.linspace(-0.5, 0.5, 64, dtype=np.float32)[None].repeat(64, 0)
    for image in (noise, slope, np.zeros((64, 64), np.float32)):
        assert not any(removed(image, random).any() for _ in range(10))


def test_deviations_of_boxes_are_those_of_their_pixels():
    image = default_rng(0).standard_normal((20, 20), dtype=np.float32)
    starts, sizes = np.array([[0, 0], [3, 7], [18, 5]]), np.array([[20, 20], [5, 3], [2, 15]])
    expected = [image[y : y + h, x : x + w].std() for (y, x), (h, w) in zip(starts, sizes, strict=True)]
    assert _deviations(image, starts, sizes) == pytest.approx(expected, rel=1e-5)


def test_the_target_is_how_severe_a_defect_is():
    change = torch.zeros(2, 1, 32, 32)
    change[0, 0, 8:24, 8:24] = -3.0
    change[1, 0, 8:24, 8:24] = 0.3
    target = unet._target(change)
    assert target.shape == (2, 8, 8)
    assert target[0, 3, 3] == 1
    assert target[1, 3, 3] == pytest.approx(0.2, abs=0.01)
    assert target[:, 0].abs().max() == 0


def test_folded_weights_are_those_with_batch_norm():
    network = unet._Training(0, torch.device("cpu"))
    images = torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(120):  # until the running means are those of this batch
            expected = unet._logits(images, unet.reference_of(images).expand(16, -1, -1, -1), network.layer)
    folded = network.folded()
    assert sum(value.numel() for value in folded.values()) == 149_073
    folded["reference"] = unet.reference_of(images)
    # Running variances are unbiased, those of the batch are not.
    assert unet.logits(images, folded) == pytest.approx(expected, abs=0.1)


@pytest.fixture(scope="module")
def scorer():
    return SyntheticDefects(steps=12).fit(Normals(textures(20, 0, 32)), Parts())


def test_the_seed_decides(scorer):
    before = torch.get_rng_state()
    again = SyntheticDefects(steps=12).fit(Normals(textures(20, 0, 32)), Parts())
    other = SyntheticDefects(steps=12).fit(Normals(textures(20, 0, 32), seed=1), Parts())
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, again.state()[name]) for name, value in scorer.state().items())
    assert not torch.equal(other.state()["down1.weight"], scorer.state()["down1.weight"])


def test_mirrored_views_are_those_of_a_mirrored_part(scorer):
    images, state = textures(4, 1, 32), scorer.state()

    def mirrored(flips, dimension):
        turned = state | {"reference": state["reference"].flip(dimension)}
        return SyntheticDefects(flips=flips).restore(turned, (1, 32, 32), Parts())

    scorer = SyntheticDefects(flips=4).restore(state, (1, 32, 32), Parts())
    assert mirrored(4, 2)(images.flip(3)) == pytest.approx(scorer(images), abs=1e-4)
    assert mirrored(4, 1).maps(images.flip(2)) == pytest.approx(scorer.maps(images).flip(1), abs=1e-4)
    assert scorer(images.flip(3)) != pytest.approx(scorer(images), abs=1e-4)  # it knows what is usual where
    one = SyntheticDefects(flips=1).restore(state, (1, 32, 32), Parts())
    assert mirrored(1, 2)(images.flip(3)) != pytest.approx(one(images), abs=1e-4)


def test_maps_have_the_size_of_the_images_and_gradients_arrive(scorer):
    images = torch.rand(2, 3, 30, 45, requires_grad=True)
    assert scorer.maps(images).shape == (2, 30, 45)
    scorer(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_it_tells_how_far_it_is():
    told = []
    fit_detector(
        Normals(textures(42, 0, 32)),
        [(SyntheticDefects(steps=41), 1.0)],
        on_progress=lambda done, total, what: told.append((done, total, what)),
    )
    name = "synthetic_defects(steps=41)"
    assert told == [(0, 1, name), *((0, 1, f"{name}, {share} done") for share in ("0%", "49%", "98%")), (1, 1, "")]


def test_bad_arguments_are_refused():
    for arguments in ({"steps": 0}, {"flips": 3}):
        with pytest.raises(InputError, match="out of range"):
            SyntheticDefects(**arguments)
    with pytest.raises(InputError, match="two images"):
        SyntheticDefects(steps=1).fit(Normals(textures(1, 0)), Parts())


@pytest.mark.slow
def test_it_finds_scratches_and_spots_that_it_never_saw():
    scorer = SyntheticDefects(steps=150).fit(Normals(textures(60, 0)), Parts())
    normal = textures(60, 1)
    defective, where = planted(textures(60, 2), 3)
    with torch.no_grad():
        scores = torch.cat([scorer(normal), scorer(defective)])
        maps = scorer.maps(defective)
    assert roc_auc_score(np.repeat([0, 1], 60), scores) > 0.97
    near = F.max_pool2d(where[:, None].float(), 5, 1, 2)[:, 0].flatten(1)
    peaks = near.gather(1, maps.flatten(1).argmax(1, keepdim=True))
    assert float(peaks.mean()) > 0.9
    assert roc_auc_score(where.flatten(), maps.flatten()) > 0.97


@pytest.mark.slow
def test_it_finds_that_something_is_missing():
    train, normal, defective = (torch.from_numpy(marked(60, seed)[0])[:, None] for seed in range(3))
    for i, image in enumerate(defective):
        start = 8 + 12 * (i % 4)
        image[:, 42:56, start : start + 11] = image[:, 22:36, start : start + 11].clone()
    train, normal, defective = ((0.6 + 0.1 * images).clamp(0, 1) for images in (train, normal, defective))
    scorer = SyntheticDefects(steps=150).fit(Normals(train), Parts())
    with torch.no_grad():
        scores = torch.cat([scorer(normal), scorer(defective)])
    assert roc_auc_score(np.repeat([0, 1], 60), scores) > 0.95
