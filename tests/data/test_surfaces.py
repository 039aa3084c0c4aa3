"""The drawn parts: the same whatever is asked beside, known factors that can be found again, masks that fit."""

from __future__ import annotations

import runpy
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.data.surfaces import CLASSES, scene, surfaces, surfaces_masks, write_folder
from robustbench_lite.data.surfaces_render import draw, mask_of
from robustbench_lite.data.surfaces_scene import DEFECTS, SURFACES
from robustbench_lite.errors import InputError


def by_file(source):
    return {file: i for i, file in enumerate(source.files)}


def grown(mask):
    """A mask and the pixels beside it."""
    for axis in (0, 1):
        mask = mask | np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    return mask


def test_a_picture_is_the_same_among_ten_and_among_a_thousand():
    few, many = surfaces("32x10"), surfaces("32x1000")
    place = by_file(many)
    assert len(few.files) == 10 + 5 + 5 + 5
    for i in reversed(range(len(few.files))):
        np.testing.assert_array_equal(few.read(i), many.read(place[few.files[i]]))
        assert few.digest(i) == many.digest(place[few.files[i]])
        assert few.groups[i] == many.groups[place[few.files[i]]]


def test_another_seed_gives_other_parts():
    one, other = surfaces("32x4"), surfaces("32x4x1")
    assert one.files == other.files
    assert not np.array_equal(one.read(0), other.read(0))
    assert one.digest(0) != other.digest(0)


@pytest.mark.parametrize("side", [16, 32, 51, 64, 256])
def test_sizes(side):
    source = surfaces(f"{side}x4")
    for file, i in by_file(source).items():
        image = source.read(i)
        assert image.shape == (side, side)
        assert image.dtype == np.uint8
        assert 15 < image.mean() < 230, file
        assert source.header(i) == (side, side, 1)


def test_splits_groups_and_balance():
    source = surfaces("16x60")
    of = {split: [i for i, s in enumerate(source.splits) if s == split] for split in ("train", "val", "test")}
    good = CLASSES.index("good")
    assert {split: len(found) for split, found in of.items()} == {"train": 60, "val": 30, "test": 60}
    assert set(source.labels[of["train"] + of["val"]]) == {good}
    assert Counter(source.labels[of["test"]]) == {k: 30 if k == good else 6 for k in range(6)}
    assert set(Counter(source.groups).values()) == {2}
    shares = Counter((source.labels[i], source.columns["surface"][i]) for i in of["test"])
    assert {count for (label, _), count in shares.items() if label != good} == {2}
    assert set(source.columns["surface"]) == set(SURFACES)


def test_pictures_of_one_part_differ_in_light_only():
    (part, first), (again, second) = (scene("surfaces:64", f"train/good/0005_{k}") for k in (0, 1))
    assert part == again
    assert first.light_azimuth_deg != second.light_azimuth_deg

    def number(part, picture):
        image = draw(part, replace(picture, shift_x=0, shift_y=0, rotation_deg=0), 64)
        return np.diff(image[45:56, 14:50]).ravel()

    other, _ = scene("surfaces:64", "train/good/0011_0")
    assert other.surface == part.surface
    same = np.corrcoef(number(part, first), number(part, second))[0, 1]
    assert same > np.corrcoef(number(part, first), number(other, second))[0, 1] + 0.2


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("side", [32, 128])
def test_masks_are_where_the_same_part_without_its_defect_differs(defect, side):
    seen = []
    for k in range(24):
        part, picture = scene("surfaces", f"test/{defect}/{k:04d}_{k % 2}")
        with_it = draw(part, picture, side, noise=False)
        without = draw(part, picture, side, with_defect=False, noise=False)
        change, mask = np.abs(with_it - without), mask_of(part, picture, side)
        assert mask.any()
        assert mask.mean() < 0.06
        if side == 128:
            assert change[~grown(grown(mask))].max() < 6 / 255  # the lens's blur and the lip of a groove
            seen.append(np.percentile(change[mask], 90) / without.mean())
    if seen:
        assert min(seen) > 0.05  # none is invisible
        assert np.median(seen) < 0.6  # nor is it black on white


def test_good_parts_have_empty_masks():
    masks = surfaces_masks("surfaces:32x4", ["train/good/0000_0", "test/dent/0000_0"])
    assert [mask.any() for mask in masks] == [False, True]
    assert masks[0].shape == (32, 32)


def test_grey_and_contrast_do_not_give_the_class_away():
    data = load_dataset("surfaces:32x600", split="test")
    images = np.stack([data.read(i) for i in range(len(data))])
    bad = data.labels != data.class_names.index("good")
    for value in (images.mean((1, 2, 3)), images.std((1, 2, 3))):
        assert abs(roc_auc_score(bad, value) - 0.5) < 0.08


def test_factors_can_be_found_again():
    """From the picture alone: how bright, and where the light comes from."""
    source = surfaces("64x150")
    images = np.stack([source.read(i) / 255 for i in range(150)])
    level = np.array([float(text) for text in source.columns["light_level"][:150]])
    tone = np.array([float(text) for text in source.columns["tone"][:150]])
    middle = images[:, 8:56, 8:56]
    assert np.corrcoef(middle.mean((1, 2)), level * tone)[0, 1] > 0.95
    azimuth = np.radians([float(text) for text in source.columns["light_azimuth_deg"][:150]])
    gradient = np.array([float(text) for text in source.columns["light_gradient"][:150]])
    slope = middle[:, :, 24:].mean((1, 2)) / middle[:, :, :24].mean((1, 2)) - 1
    assert np.corrcoef(slope, gradient * np.cos(azimuth))[0, 1] > 0.8
    assert level.max() / level.min() > 1.8  # the light varies by more than most defects do


def test_the_part_is_where_the_factors_say():
    shifts, seen = [], []
    for k in range(40):
        part, picture = scene("surfaces", f"train/good/{k:04d}_0")
        image = draw(part, replace(picture, rotation_deg=0, light_level=1, light_gradient=0), 128, noise=False)
        line = image[40:80].mean(0)
        dark = line < (line[0] + line[20:108].mean()) / 2
        seen.append((dark[:20].sum() - dark[-20:].sum()) / 2)
        shifts.append(picture.shift_x * 128)
    np.testing.assert_allclose(seen, shifts, atol=1.6)  # a bevel in the shade is as dark as what is beside it
    assert np.corrcoef(seen, shifts)[0, 1] > 0.9


def test_colour_has_the_same_luma():
    grey, colour = surfaces("32x12"), surfaces("32x12", channels=3)
    assert colour.header(0) == (32, 32, 3)
    for i in range(12):
        found = colour.read(i).astype(float)
        assert found.shape == (32, 32, 3)
        unclipped = (found < 255).all(-1)
        np.testing.assert_allclose((found @ (0.299, 0.587, 0.114))[unclipped], grey.read(i)[unclipped], atol=1.1)
    assert load_dataset("surfaces:32x4", channels=3).image_shape == (3, 32, 32)


def test_a_picture_takes_few_milliseconds():
    source = surfaces("128x60")
    source.read(0)
    start = time.process_time()
    for i in range(60):
        source.read(i)
    assert (time.process_time() - start) / 60 < 0.02  # 0.004 on an idle core


@pytest.mark.parametrize("argument", ["large", "8", "4096", "64x0", "64x10x", "64x10x1x1", "-64", "64,10"])
def test_bad_arguments(argument):
    with pytest.raises(InputError, match="is refused"):
        surfaces(argument)


def test_bad_names():
    with pytest.raises(InputError, match="no picture"):
        surfaces_masks("surfaces", ["test/hole/0000_0"])
    with pytest.raises(InputError, match="no masks"):
        surfaces_masks("digits", ["0"])


@pytest.mark.parametrize("bits", [8, 16])
def test_folder_holds_what_is_drawn(bits, tmp_path):
    folder = tmp_path / "parts"
    assert write_folder(folder, "32x4", bits=bits) == 4 + 2 + 2 + 5
    files, drawn = load_dataset(f"folder:{folder}/test", split="all"), load_dataset("surfaces:32x4", split="test")
    assert files.class_names == drawn.class_names
    place = {file.removesuffix(".png"): i for i, file in enumerate(files.files)}
    for i, file in enumerate(drawn.files):
        found = files.read(place[f"{file.split('/')[1]}/{file.replace('/', '_')}"])
        np.testing.assert_allclose(found, drawn.read(i), atol=0 if bits == 8 else 0.5 / 255)
    mask = np.asarray(Image.open(folder / "masks" / "crack" / "test_crack_0000_0_mask.png"))
    np.testing.assert_array_equal(mask > 0, surfaces_masks("surfaces:32", ["test/crack/0000_0"])[0])
    assert not (folder / "masks" / "good").exists()
    whole = [load_dataset(f"folder:{folder}", split=split, group="(.+)_") for split in ("train", "val", "test")]
    groups = [set(data.groups) for data in whole]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 2 + 1 + 1 + 5
    with pytest.raises(InputError, match="exists already"):
        write_folder(folder, "32x4")


def test_no_colour_with_sixteen_bits(tmp_path):
    with pytest.raises(InputError, match="16 bits in colour"):
        write_folder(tmp_path / "parts", "32x4", bits=16, colour=True)


def test_the_example_writes_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["surfaces_folder.py", str(tmp_path / "parts"), "16x2"])
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "surfaces_folder.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("9 pictures")
    assert (tmp_path / "parts" / "masks" / "stain" / "test_stain_0000_0_mask.png").is_file()
