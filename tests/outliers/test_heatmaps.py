"""The files say what the maps say: peak, bit depth, one scale for all; the sheet is in order."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.heatmaps import outlier_sheet, overlay, read_raw, safe_name, write_heatmaps
from robustbench_lite.outliers.mapscale import MapScale, map_scale
from robustbench_lite.outliers.presets import preset
from robustbench_lite.outliers.score import Normals
from robustbench_lite.outliers.store import load_detector, save_detector

SCALE = MapScale(1.0, 1.0, 3.0)


def peaked(n=1, side=(20, 30), at=(5, 7), height=8.0):
    maps = np.ones((n, *side), np.float32)
    maps[:, at[0], at[1]] = height
    return maps


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_files_are_read_back(tmp_path, channels):
    rng = np.random.default_rng(0)
    images, maps = rng.uniform(size=(2, channels, 20, 30)), peaked(2)
    maps[1] += 0.5
    first, second = write_heatmaps(tmp_path, ["test/dent/0.png", "test/dent/1.png"], images, maps, SCALE)
    with Image.open(first.raw) as raw, Image.open(first.overlay) as shown:
        assert raw.mode.startswith("I;16")
        assert (shown.mode, shown.size, raw.size) == ("RGB", (30, 20), (30, 20))
    for heat, values in ((first, maps[0]), (second, maps[1])):
        np.testing.assert_allclose(read_raw(heat.raw), values, atol=(SCALE.full - SCALE.least) / 65535)
        assert np.unravel_index(read_raw(heat.raw).argmax(), (20, 30)) == (5, 7)
    with Image.open(first.raw) as low, Image.open(second.raw) as high:  # the same scale for both
        step = np.asarray(high).astype(int) - np.asarray(low).astype(int)
        assert set(np.unique(step)) <= {round(0.5 / 32 * 65535) + k for k in (-1, 0, 1)}


def test_what_is_above_the_scale_is_cut_off(tmp_path):
    (heat,) = write_heatmaps(tmp_path, ["a"], np.zeros((1, 1, 20, 30)), peaked(height=1e6), SCALE)
    assert read_raw(heat.raw).max() == pytest.approx(SCALE.full)


def test_the_overlay_shows_the_image_where_nothing_is_and_a_line_around_alarms():
    image = np.full((1, 20, 30), 0.5, np.float32)
    quiet = overlay(image, np.full((20, 30), SCALE.usual), SCALE)
    assert (quiet == 128).all()
    values = peaked()[0]
    values[4:8, 6:10] = 5.0
    shown = overlay(image, values, SCALE)
    line = (shown == (0, 200, 255)).all(-1)
    assert line.sum() == 16
    assert line[3, 6:10].all()
    assert line[4:8, 5].all()
    assert not line[4:8, 6:10].any()
    assert (shown[5, 7] != 128).any()
    below = overlay(image, np.full((20, 30), SCALE.alarm), SCALE)
    assert not (below == (0, 200, 255)).all(-1).any()


def test_twelve_bits_in_sixteen_are_not_black():
    image = np.linspace(0, 4095 / 65535, 600, dtype=np.float32).reshape(1, 20, 30)
    assert overlay(image, np.ones((20, 30)), SCALE).max() == 255


def test_names_are_safe_and_different(tmp_path):
    names = [
        *(
            "a.png",
            "a.tif",
            "x/a.png",
            "x__a.png",
            "../../etc/passwd",
            "/etc/passwd",
            "a b.png",
            "a?b.png",
            ".hidden",
        ),
        *("ü.png", "u.png", "c:\\x.png", "long" * 100 + "1.png", "long" * 100 + "2.png", "", "..", "a."),
    ]
    made = [safe_name(name) for name in names]
    assert len(set(made)) == len(names)
    for name in made:
        assert name.isascii()
        assert len(name) < 140
        assert not name.startswith(".")
        assert not set(name) & set("/\\:?* ")
    images, maps = np.zeros((len(names), 1, 8, 8)), np.ones((len(names), 8, 8))
    for heat in write_heatmaps(tmp_path / "out", names, images, maps, SCALE):
        assert heat.overlay.parent == tmp_path / "out" / "overlay"
        assert heat.raw.is_file()


def test_the_sheet_is_sorted():
    images = np.array([0.2, 0.4, 0.6])[:, None, None, None] * np.ones((3, 1, 96, 96))
    png = outlier_sheet(
        ["b", "c", "a"], images, np.ones((3, 96, 96)), [1.0, 9.0, 4.0], [False, True, False], SCALE
    )
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    tops = 16 + 32
    greys = [sheet[tops + 40, 16 + k * 100 + 40, 0] for k in range(6)]
    assert greys == [102, 102, 153, 153, 51, 51]
    captions = sheet[tops + 96 : tops + 112]
    assert all((captions[:, 16 + k * 100 : 100 + k * 100] < 100).any() for k in range(6))


def test_the_sheet_does_without_maps_and_alarms():
    sheet = Image.open(io.BytesIO(outlier_sheet(["a"] * 30, np.ones((30, 3, 8, 8)), None, np.arange(30.0))))
    assert sheet.height > sheet.width


def test_bad_input(tmp_path):
    images, maps = np.zeros((1, 1, 20, 30)), peaked()
    with pytest.raises(InputError, match="do not fit"):
        write_heatmaps(tmp_path, ["a"], images, maps[:, 1:], SCALE)
    with pytest.raises(InputError, match="NaN"):
        write_heatmaps(tmp_path, ["a"], images, maps * np.nan, SCALE)
    with pytest.raises(InputError, match="without a scale"):
        outlier_sheet(["a"], images, maps, [1.0])
    with pytest.raises(InputError, match="no image"):
        outlier_sheet([], images[:0], maps[:0], [], None, SCALE)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_heatmaps(tmp_path / "file", ["a"], images, maps, SCALE)


def test_the_scale_is_found_on_normal_images():
    maps = torch.linspace(0, 1, 101).repeat(200, 1) * torch.linspace(0.5, 1, 200)[:, None]
    scale = map_scale(maps.view(200, 1, 101).split(64))
    assert scale.least == 0
    assert scale.usual == pytest.approx(0.95 * 0.75, abs=0.003)
    assert scale.alarm == pytest.approx(0.975, abs=0.003)
    assert scale.high == pytest.approx(2 * scale.alarm - scale.usual)
    alike = map_scale([torch.zeros(4, 8, 8)])
    assert alike.least <= alike.usual < alike.alarm < alike.high < alike.full


def test_a_detector_keeps_its_scale(tmp_path):
    images = torch.stack([torch.from_numpy(load_dataset("digits", first=60).read(i)) for i in range(60)])
    detector = fit_detector(Normals(images), preset("objects"))
    assert detector.map_scale is not None
    assert detector.map_scale.usual < detector.map_scale.alarm
    save_detector(detector, tmp_path / "d")
    assert load_detector(tmp_path / "d").map_scale == detector.map_scale
