import base64
import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
from made_runs import CONDITIONS
from PIL import Image, ImageCms

from robustbench_lite.reports.html import html_report
from robustbench_lite.reports.pictures import (
    HEAT,
    PIXEL_LIMIT,
    SIZES,
    amplified_difference,
    heat_map,
    pictures,
    size_for,
)


@pytest.mark.parametrize(("change", "factor"), [(1, 100), (-1, 100), (3, 20), (-60, 2), (127, 1), (255, 0.5)])
def test_differences_are_amplified_around_grey_without_saturating(change, factor):
    clean = np.full((2, 2, 3), 0 if change > 0 else 255, dtype=np.uint8)
    changed = clean.copy()
    changed[0, 0] = clean[0, 0] + change if change > 0 else clean[0, 0] - -change
    picture, found = amplified_difference(clean, changed)
    assert found == factor
    assert picture[0, 0, 0] == pytest.approx(127.5 + factor * change, abs=0.5)
    assert picture[1, 1, 0] == pytest.approx(127.5, abs=0.5)


def test_no_difference_is_grey_and_has_no_factor():
    picture, factor = amplified_difference(*(np.zeros((2, 2, 3), dtype=np.uint8),) * 2)
    assert factor is None
    assert (picture == 128).all()


def colours():
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in HEAT], dtype=np.uint8)


def test_the_heat_map_is_brightest_where_most_has_changed():
    clean = np.full((112, 112, 3), 100, dtype=np.uint8)
    changed = clean.copy()
    changed[20:40, 70:90] += 51  # a fifth of the range
    changed[80:100, 10:30, 0] += 51  # in one channel of three
    heat, peak = heat_map(clean, changed)
    assert heat.shape == clean.shape
    assert peak == pytest.approx(0.2, abs=0.01)
    light = heat.sum(axis=2, dtype=int)
    assert np.unravel_index(light.argmax(), light.shape) == pytest.approx((30, 80), abs=6)
    assert (heat[0, 0] == colours()[0]).all()
    # A third of the largest change, on a scale in equal steps.
    place = np.interp(1 / 3, np.linspace(0, 1, len(HEAT)), colours()[:, 0])
    assert heat[90, 20, 0] == pytest.approx(place, abs=3)


def test_no_change_is_dark_everywhere_and_a_change_of_grey_counts_once():
    clean = np.zeros((8, 8, 3), dtype=np.uint8)
    heat, peak = heat_map(clean, clean)
    assert peak == 0
    assert (heat == colours()[0]).all()
    changed = clean.copy()
    changed[4, 4] = 255
    assert heat_map(clean, changed)[1] == pytest.approx(1, abs=1e-3)  # so small a picture is not smoothed


def test_the_colours_rise_in_lightness_by_equal_steps():
    """So they are in order for the colour-blind, and in grey."""
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    strip = Image.fromarray(colours()[None])
    lightness = np.asarray(ImageCms.applyTransform(strip, lab))[0, :, 0].astype(float) * 100 / 255
    assert lightness[0] < 10
    assert lightness[-1] > 85
    steps = np.diff(lightness)
    assert steps == pytest.approx(steps.mean(), rel=0.1)


def test_more_examples_are_made_smaller():
    sizes = [size_for(count) for count in (1, 40, 41, 90, 91, 200, 10_000)]
    assert sizes == [SIZES[0][1]] * 2 + [SIZES[1][1]] * 2 + [SIZES[2][1]] * 3
    assert sorted(sizes, reverse=True) == sizes


def decoded(picture):
    kind, _, content = picture.url.partition(";base64,")
    assert kind == "data:image/webp"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("side", [1, 8, 64, 65, 300])
def test_small_pictures_are_exact_and_large_ones_smaller(tmp_path, side):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    changed = 255 - clean
    Image.fromarray(clean).save(tmp_path / "clean.png")
    Image.fromarray(changed).save(tmp_path / "changed.png")
    example = SimpleNamespace(clean="clean.png", changed="changed.png")
    found = pictures(tmp_path, example, size_for(1))
    assert len(found) == 4
    assert {picture.small for picture in found} == {side <= 64}
    opened = [decoded(picture) for picture in found]
    if side <= 64:
        assert all(picture.size == (side, side) for picture in opened)
        assert (np.asarray(opened[0].convert("RGB")) == clean).all()
        assert (np.asarray(opened[1].convert("RGB")) == changed).all()
    else:
        assert [max(picture.size) for picture in opened] == [min(side, most) for most in (224, 224, 168, 112)]


def test_a_picture_that_would_fill_the_memory_is_not_opened(tmp_path):
    wide = int(PIXEL_LIMIT**0.5) + 1
    Image.new("1", (wide, wide)).save(tmp_path / "huge.png")
    example = SimpleNamespace(clean="huge.png", changed="huge.png")
    begin = time.perf_counter()
    assert pictures(tmp_path, example, size_for(1)) == []
    assert time.perf_counter() - begin < 2


@pytest.mark.slow
def test_two_hundred_examples_of_photographs_are_at_most_three_megabytes(make_run):
    """Noise, which compresses worst, on a picture with as much detail as a photograph."""
    from sklearn.datasets import load_sample_image

    photo = load_sample_image("china.jpg")
    rng = np.random.default_rng(0)
    places = rng.integers(0, (427 - 224, 640 - 224), (200, 2))
    conditions = [CONDITIONS[0], *((f"noise(seed={i})", "shift", 3.0, [], 0.5, 0) for i in range(50))]
    images = [photo[y : y + 224, x : x + 224] for y, x in places[:4]]
    made = make_run(conditions=conditions, examples=4, images=images)
    page = html_report(made)
    assert page.count("<img") == 200 * 4
    assert len(page.encode()) <= 3_000_000
