"""The contact sheet shows the pixels it was given, in order, whatever their size and channels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.sheets import Block, contact_sheet


def opened(blocks):
    return np.asarray(Image.open(io.BytesIO(contact_sheet([Block(*block) for block in blocks]))))


def test_small_images_are_enlarged_without_blur():
    image = np.array([[[[0.0, 1.0], [0.4, 0.0]]]])
    sheet = opened([("a", image), ("b", image)])
    tile = np.repeat(np.repeat((image[0, 0] * 255).round(), 24, 0), 24, 1)
    for top in (48, 48 + 32 + 52 + 16):
        np.testing.assert_array_equal(sheet[top : top + 48, 16:64], np.repeat(tile[:, :, None], 3, 2))


def test_images_stand_in_rows_of_sixteen():
    images = np.linspace(0, 0.9, 20).reshape(20, 1, 1, 1) * np.ones((1, 1, 8, 8))
    sheet = opened([("all", images)])
    for i in range(20):
        row, column = divmod(i, 16)
        assert sheet[48 + row * 52 + 20, 16 + column * 52 + 20, 0] == round(images[i, 0, 0, 0] * 255)
    assert (sheet[48 + 52 + 20, 16 + 4 * 52 :] == 255).all()


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((3, 8, 8), (48, 48)),
        ((4, 60, 30), (60, 30)),
        ((2, 300, 150), (96, 48)),
        ((1, 1, 1), (48, 48)),
        ((1, 1, 900), (1, 96)),
    ],
)
def test_sizes_and_channels(shape, tile):
    image = np.full((2, *shape), 0.5)
    sheet = opened([("grey", image)])
    assert sheet.shape[0] == 16 + 32 + tile[0] + 4 + 16
    assert (sheet[48 : 48 + tile[0], 16 : 16 + tile[1]] == 128).all()
    assert (sheet[-16:] == 255).all()


def test_a_long_title_widens_the_sheet():
    image = np.zeros((1, 1, 8, 8))
    sheet = opened([("a title that is much longer than one image is wide", image)])
    assert sheet.shape[1] > 300
    assert (sheet[:, -16:] == 255).all()
    assert (sheet[16:40] < 100).any()


def test_headings_and_rows_stand_beside_the_images_and_move_none_off_the_sheet():
    image = np.linspace(0.2, 0.8, 4).reshape(4, 1, 1, 1) * np.ones((1, 1, 8, 8))
    headings = [("severity", ["clean", "5"]), ("a_long_argument", ["", "0.25"])]
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet([Block("t", image, 2, headings, ["dent", "x" * 99])]))))
    tops = 16 + 32 + 2 * 16
    for i in range(4):
        grey = sheet == round(image[i, 0, 0, 0] * 255)
        rows, columns = np.flatnonzero(grey.all(2).sum(1) >= 40), np.flatnonzero(grey.all(2).sum(0) >= 40)
        assert rows[0] == tops + i // 2 * 52
        assert len(rows) == len(columns) == 48
        assert columns[0] > 100  # right of the texts beside the rows
    assert (sheet[tops : tops + 20, 16:60] < 100).any()
    assert (sheet[:, -16:] == 255).all()
