"""Masks are found by the images' names and lie where the images do; pixel figures agree with scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.data.surfaces import surfaces_masks, write_folder
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.masks import load_masks, masks_for, pixel_auroc


@pytest.fixture
def write(tmp_path):
    """Writes masks of 6×4 pixels in which one pixel is marked; returns their folder."""

    def masks(*names, value=255, at=(1, 2), size=(6, 4)):
        for name in names:
            pixels = np.zeros(size, np.uint8)
            pixels[at] = value
            path = tmp_path / "masks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        return tmp_path / "masks"

    return masks


FILES = ["test/good/000.png", "test/dent/000.png", "test/dent/001.tif"]
NORMAL = [True, False, False]


@pytest.mark.parametrize(
    "names",
    [
        ("dent/000_mask.png", "dent/001_mask.png"),
        ("dent/000.png", "dent/001.bmp"),
        ("test/dent/000.png", "dent/001_mask.tif"),
        ("dent/000_mask.png", "001_mask.png"),  # 001 is the only one of that name
    ],
)
def test_masks_are_found_by_name(write, names):
    good, first, second = load_masks(write(*names), FILES, (6, 4), NORMAL)
    assert not good.any()
    for mask in (first, second):
        assert np.argwhere(mask).tolist() == [[1, 2]]


def test_any_value_marks_but_not_the_noise_of_a_jpeg(write, tmp_path):
    assert load_masks(write("dent/000.png", value=1), ["dent/000.png"], (6, 4))[0].sum() == 1
    pixels = np.zeros((32, 32), np.uint8)
    pixels[8:16, 8:16] = 255
    (tmp_path / "lossy").mkdir()
    Image.fromarray(pixels).save(tmp_path / "lossy" / "a_mask.jpg", quality=50)
    (mask,) = load_masks(tmp_path / "lossy", ["a.png"], (32, 32))
    np.testing.assert_array_equal(mask, pixels > 0)


def test_an_image_of_unknown_kind_without_a_mask_has_none(write):
    assert load_masks(write("dent/000.png"), ["scratch/7.png"], (6, 4)) == [None]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("dent/000_mask.png",), r"1 outliers have no mask .* test/dent/001.tif"),
        (("dent/001.png", "000_mask.png"), "several images are called 000"),
        (("dent/000.png", "dent/000.bmp", "dent/001.png"), "two masks"),
        (("dent/000.png", "dent/001.png", "good/000.png"), r"marks a defect in test/good/000.png"),
    ],
)
def test_masks_that_do_not_fit(write, names, message):
    with pytest.raises(InputError, match=message):
        load_masks(write(*names), FILES, (6, 4), NORMAL)


def test_no_folder_and_an_empty_one(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_masks(tmp_path / "none", FILES, (6, 4))
    with pytest.raises(InputError, match="holds no mask"):
        load_masks(tmp_path, FILES, (6, 4))


@pytest.mark.parametrize(("size", "resize"), [(32, None), (24, 40), (64, None), (20, 21)])
def test_masks_are_scaled_and_cut_as_the_images_are(tmp_path, size, resize):
    """A picture that is bright just where its mask is."""
    pixels = np.zeros((48, 56), np.uint8)
    pixels[12:30, 20:44] = 255
    for name in ("parts/test/dent/0.png", "masks/dent/0_mask.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / name)
    data = load_dataset(f"folder:{tmp_path}/parts", input_size=size, resize=resize)
    (mask,) = masks_for(data, tmp_path / "masks", [False], resize=resize)
    image = data.read(0)[0]
    assert mask.shape == image.shape
    assert ((image > 0.5) != mask).sum() <= 2 * size * 0.2  # scaling blurs the edge
    assert not (mask & (image < 0.2)).any()


def test_drawn_and_written_masks_are_the_same(tmp_path):
    write_folder(tmp_path / "parts", "32x10")
    files = load_dataset(f"folder:{tmp_path}/parts")
    normal = (files.labels == files.class_names.index("good")).tolist()
    found = dict(zip(files.files, masks_for(files, tmp_path / "parts" / "masks", normal), strict=True))
    drawn = load_dataset("surfaces:32x10")
    for file, mask in zip(drawn.files, masks_for(drawn, None, []), strict=True):
        split, label, _ = file.split("/")
        np.testing.assert_array_equal(found[f"{split}/{label}/{file.replace('/', '_')}.png"], mask)
    np.testing.assert_array_equal(masks_for(drawn, None, [])[-1], surfaces_masks(drawn.spec, drawn.files)[-1])
    with pytest.raises(InputError, match="no masks of its own"):
        masks_for(files, None, normal)


def made(n=40, side=24, seed=0, levels=None):
    """Maps that are higher where the masks are; every third image has no defect."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), bool)
    for i in range(n):
        if i % 3:
            y, x = rng.integers(0, side - 8, 2)
            masks[i, y : y + rng.integers(1, 8), x : x + rng.integers(1, 8)] = True
            masks[i, -1, -1 - i % 5] = True
    maps = rng.normal(size=masks.shape) + 1.2 * masks
    return (np.round(maps * levels) / levels if levels else maps).astype(np.float32), masks


@pytest.mark.parametrize("levels", [None, 2])
def test_pixel_auroc_is_that_of_scikit_learn(levels):
    maps, masks = made(levels=levels)
    found = pixel_auroc(maps, masks, resamples=0)
    assert found.auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)
    assert math.isnan(found.auroc_low)


@pytest.mark.parametrize("levels", [None, 2])
def test_per_region_overlap_as_its_paper_defines_it(levels):
    """Threshold by threshold: the mean share of each region that is found, against the share of false pixels."""
    maps, masks = made(n=9, side=20, levels=levels)
    regions = []
    for i, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [maps[i][labels == k + 1] for k in range(count)]
    clean = maps[~masks]
    thresholds = [np.inf, *sorted(np.unique(maps), reverse=True)]
    fpr = np.array([(clean >= t).mean() for t in thresholds])
    pro = np.array([np.mean([(region >= t).mean() for region in regions]) for t in thresholds])
    last = np.searchsorted(fpr, 0.3, side="right")
    at_limit = np.interp(0.3, fpr[last - 1 : last + 1], pro[last - 1 : last + 1])
    expected = auc(np.append(fpr[:last], 0.3), np.append(pro[:last], at_limit)) / 0.3
    found = pixel_auroc(maps, masks, resamples=0)
    assert found.regions == len(regions)
    assert found.aupro == pytest.approx(expected, abs=2e-3 if levels is None else 1e-9)


def test_intervals_hold_the_figure_and_are_wider_by_group():
    maps, masks = made(n=60)
    alone = pixel_auroc(maps, masks)
    assert alone == pixel_auroc(maps, masks)
    assert alone.auroc_low < alone.auroc < alone.auroc_high
    assert alone.aupro_low < alone.aupro < alone.aupro_high
    assert alone.auroc_high - alone.auroc_low < 0.1
    copies = pixel_auroc(np.repeat(maps, 4, 0), np.repeat(masks, 4, 0), [str(i // 4) for i in range(240)])
    assert copies.auroc == pytest.approx(alone.auroc, abs=1e-12)
    width = copies.auroc_high - copies.auroc_low
    assert width == pytest.approx(alone.auroc_high - alone.auroc_low, rel=0.2)


def test_images_without_a_mask_are_left_out():
    maps, masks = made()
    some = [mask if i % 2 else None for i, mask in enumerate(masks)]
    assert pixel_auroc(maps, some, resamples=0) == pytest.approx(
        pixel_auroc(maps[1::2], masks[1::2], resamples=0), nan_ok=True
    )


def test_bad_maps():
    maps, masks = made(n=4)
    with pytest.raises(InputError, match="shape"):
        pixel_auroc(maps[:, 1:], masks)
    with pytest.raises(InputError, match="no pixel is marked"):
        pixel_auroc(maps, masks & False)
    with pytest.raises(InputError, match="every pixel is marked"):
        pixel_auroc(maps, masks | True)
    with pytest.raises(InputError, match="3 maps for 4 masks"):
        pixel_auroc(maps[:3], masks)
    maps[2, 3, 3] = np.nan
    with pytest.raises(InputError, match="map 2 holds NaN"):
        pixel_auroc(maps, masks)


def test_regions_are_connected_by_corners_too():
    """A diagonal of four pixels is one defect, not four; pixels that are further apart are two."""
    mask = np.eye(6, dtype=bool)
    maps = np.random.default_rng(0).random((1, 6, 6))
    assert pixel_auroc(maps, [mask], resamples=0).regions == 1
    mask[2:4] = False
    assert pixel_auroc(maps, [mask], resamples=0).regions == 2
