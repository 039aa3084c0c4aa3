"""Tone, colour, resampling and compression against colorsys, Pillow and closed forms."""

import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image, features
from shift_images import random_images, streams

from robustbench_lite.errors import InputError
from robustbench_lite.shifts.color_mixup import ColorMixup
from robustbench_lite.shifts.compression import JPEG, WebP
from robustbench_lite.shifts.resampling import Pixelate, ResizeFilter
from robustbench_lite.shifts.saturation import Saturation
from robustbench_lite.shifts.tone import Gamma


# The published parameters among them: less, more, and more with an offset.
@pytest.mark.parametrize(("factor", "offset"), [(0, 0), (0.3, 0), (2, 0), (5, 0.1), (20, 0.2), (1, -0.3)])
def test_saturation_is_that_of_hsv(factor, offset):
    images = random_images(1, 3, 8, 8)
    images[0, :, 0, 0] = 0  # black
    images[0, :, 0, 1] = 1  # white
    images[0, :, 0, 2] = 0.4  # grey, of hue 0
    out = Saturation(factor=factor, offset=offset)(images, streams(1))
    for before, after in zip(images[0].flatten(1).T.tolist(), out[0].flatten(1).T.double().numpy(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, min(max(factor * saturation + offset, 0), 1), value)
        assert after == pytest.approx(expected, abs=1e-6)


def test_saturation_ends_in_grey_of_the_same_value():
    images = random_images(2, 3, 9, 9)
    out = Saturation(severity=5)(images, streams(2))
    assert torch.equal(out, images.amax(1, keepdim=True).expand_as(images))


def test_an_offset_alone_is_taken_at_severity_0():
    images = random_images(1, 3, 8, 8)
    assert not torch.equal(Saturation(severity=0, offset=0.3)(images, streams(1)), images)


def test_gamma_is_a_power_and_a_line_near_black():
    image = torch.tensor([0.0, 1 / 8192, 0.25, 0.5, 1.0]).view(1, 1, 1, 5)
    out = Gamma(gamma=2.2)(image, streams(1)).flatten()
    assert out[[0, 2, 3, 4]].tolist() == pytest.approx([0, 0.25**2.2, 0.5**2.2, 1], abs=1e-7)
    bright = Gamma(gamma=1 / 2.2)(image, streams(1)).flatten()
    assert bright[1].item() == pytest.approx((1 / 4096) ** (1 / 2.2) / 2, rel=1e-4)


def test_the_wrong_gamma_of_level_5_is_srgb_left_out_or_applied_twice():
    """IEC 61966-2-1 is a curve of its own, which a power of 2.2 follows within 0.035."""
    image = torch.linspace(0, 1, 64).view(1, 1, 1, 64)
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    twice = torch.where(image <= 0.0031308, image * 12.92, 1.055 * image ** (1 / 2.4) - 0.055)
    out = Gamma(severity=5)(image.expand(20, 3, -1, -1), streams(20))
    darkened = [(one - linear).abs().max() < 0.035 for one in out]
    brightened = [(one - twice).abs().max() < 0.035 for one in out]
    assert all(a != b for a, b in zip(darkened, brightened, strict=True))
    assert 4 <= sum(darkened) <= 16


@pytest.mark.parametrize("size", [(8, 9), (32, 32), (40, 31), (121, 119)])
@pytest.mark.parametrize("scale", [0.05, 0.25, 0.55, 0.6, 0.85, 0.95])
def test_pixelate_equals_the_box_filter_of_pillow(size, scale):
    image = random_images(1, 1, *size)
    out = Pixelate(scale=scale)(image, streams(1))[0, 0].numpy()
    height, width = size
    small = (max(1, int(width * scale)), max(1, int(height * scale)))
    floats = Image.fromarray(image[0, 0].numpy())
    expected = floats.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
    assert np.abs(np.asarray(expected) - out).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "filter_of_pillow"),
    [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)],
)
def test_with_antialias_images_are_scaled_down_as_by_pillow(name, filter_of_pillow):
    """Looked at in the middle of each large pixel: there, enlarging by an odd number changes nothing."""
    image = random_images(1, 1, 45, 63)
    out = ResizeFilter(factor=1 / 3, filter=name, antialias=True)(image, streams(1))[0, 0, 1::3, 1::3].numpy()
    expected = np.asarray(Image.fromarray(image[0, 0].numpy()).resize((21, 15), filter_of_pillow))
    assert np.abs(np.clip(expected, 0, 1) - out).max() < 1e-5


def test_without_antialias_only_the_nearest_pixels_are_seen():
    image = random_images(1, 3, 45, 63)
    for name in ("nearest", "bilinear", "bicubic"):  # a third: the middle of three pixels, and nothing else
        out = ResizeFilter(factor=1 / 3, filter=name)(image, streams(1))[..., 1::3, 1::3]
        assert torch.allclose(out, image[..., 1::3, 1::3], atol=1e-6)
    out = ResizeFilter(factor=0.5, filter="bilinear")(image[..., :44, :62], streams(1))
    halves = torch.nn.functional.avg_pool2d(image[..., :44, :62], 2)  # in the middle of four
    expected = torch.nn.functional.interpolate(halves, (44, 62), mode="bilinear")
    assert torch.allclose(out, expected, atol=1e-6)


def test_the_wrong_filter_keeps_stripes_that_the_right_one_averages():
    stripes = (torch.arange(48) % 3 == 1).float().expand(1, 1, 48, 48)
    wrong = ResizeFilter(factor=1 / 3)(stripes, streams(1))
    right = ResizeFilter(factor=1 / 3, filter="area")(stripes, streams(1))
    assert wrong.min() == 1
    assert torch.allclose(right, torch.full_like(right, 1 / 3))


def test_an_unknown_filter_is_refused():
    with pytest.raises(
        InputError, match=r"filter=lanczos is unknown. Choose from nearest, bilinear, bicubic, area"
    ):
        ResizeFilter(filter="lanczos")


@pytest.mark.parametrize(("codec", "quality"), [(WebP, 0), (WebP, 40), (JPEG, 10), (JPEG, 75)])
def test_compression_equals_pillow(codec, quality):
    images = random_images(2, 3, 30, 41)
    out = codec(quality=quality)(images, streams(2))
    for image, changed in zip(images, out, strict=True):
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, codec.__name__, quality=quality)
        expected = np.asarray(Image.open(file)).astype(np.float32) / 255
        assert np.array_equal(changed.permute(1, 2, 0).numpy(), expected)


def test_webp_of_four_channels_is_grey_channel_by_channel():
    images = random_images(1, 4, 16, 24)
    out = WebP(quality=30)(images, streams(1))
    for channel in range(4):
        alone = WebP(quality=30)(images[:, channel : channel + 1], streams(1))
        assert torch.equal(out[:, channel : channel + 1], alone)


def test_a_pillow_without_webp_is_named(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(InputError, match="built without WebP"):
        WebP()(random_images(1, 3, 8, 8), streams(1))


def mixed_up(kind, rgb):
    image = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)
    return ColorMixup(mistake=kind)(image, streams(1)).flatten().tolist()


def test_color_mixups_of_planes_are_exact():
    images = random_images(2, 3, 8, 9)
    assert torch.allclose(ColorMixup()(images, streams(2)), images.flip(1), atol=1e-7)
    blue_missing = ColorMixup(mistake="blue_missing")(images, streams(2))
    assert torch.allclose(blue_missing[:, :2], images[:, :2], atol=1e-7)
    assert blue_missing[:, 2].abs().max() == 0


@pytest.mark.parametrize(
    ("kind", "black", "white"),
    [("video_range_compressed", 16 / 255, 235 / 255), ("video_range_expanded", 0, 1)],
)
def test_the_ends_of_video_range(kind, black, white):
    assert mixed_up(kind, (0, 0, 0)) == pytest.approx([black] * 3, abs=1e-9)
    assert mixed_up(kind, (1, 1, 1)) == pytest.approx([white] * 3, abs=1e-9)


def test_colour_has_a_range_of_its_own_in_video():
    """219 steps for brightness and 224 for colour; blue has a Y of 0.114 and a Cb of 0.5."""
    y, cb, cr = (16 + 219 * 0.114) / 255, 0.5 * 224 / 255, -0.5 * 0.114 / 0.701 * 224 / 255
    expected = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    found = mixed_up("video_range_compressed", (0, 0, 1))
    assert found == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)


def test_expanding_undoes_compressing_and_crushes_below_16():
    colours = 0.2 + 0.6 * random_images(1, 3, 8, 8)
    compressed = ColorMixup(mistake="video_range_compressed")(colours, streams(1))
    assert torch.allclose(ColorMixup(mistake="video_range_expanded")(compressed, streams(1)), colours, atol=1e-5)
    assert mixed_up("video_range_expanded", (15 / 255,) * 3) == [0, 0, 0]


def test_swapped_and_missing_chroma_equal_pillow():
    """Pillow's YCbCr is that of JPEG: BT.601 in full range. Within what its whole numbers leave."""
    pixels = (40 + 170 * random_images(12, 12, 3).numpy()).astype(np.uint8)
    y, cb, cr = Image.fromarray(pixels).convert("YCbCr").split()
    swapped = np.asarray(Image.merge("YCbCr", (y, cr, cb)).convert("RGB")) / 255
    nothing = Image.new("L", y.size, 0)
    green = np.asarray(Image.merge("YCbCr", (y, nothing, nothing)).convert("RGB")) / 255
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    for kind, expected in (("cbcr_swapped", swapped), ("chroma_missing", green)):
        out = ColorMixup(mistake=kind)(images, streams(1))[0].permute(1, 2, 0).numpy()
        assert np.abs(out - expected).max() < 4 / 255


def test_the_matrices_of_bt601_and_bt709():
    """Grey stays grey. Pure red, by hand: its Y, Cb, Cr in BT.709 are 0.2126, -0.1146, 0.5."""
    for kind in ("bt601_as_bt709", "bt709_as_bt601"):
        assert mixed_up(kind, (0.3, 0.3, 0.3)) == pytest.approx([0.3] * 3)
    y, cb, cr = 0.6 * 0.2126, -0.6 * 0.2126 / 1.8556, 0.6 * 0.5
    expected = [0.2 + y + 1.402 * cr, 0.2 + y - 0.344136 * cb - 0.714136 * cr, 0.2 + y + 1.772 * cb]
    assert mixed_up("bt709_as_bt601", (0.8, 0.2, 0.2)) == pytest.approx(expected, abs=1e-5)


def test_a_color_mixup_at_severity_0_and_of_an_unknown_kind():
    images = random_images(1, 3, 8, 9)
    assert torch.equal(ColorMixup(severity=0)(images, streams(1)), images)
    with pytest.raises(InputError, match=r"mistake=rgb is unknown. Choose from bt601_as_bt709, "):
        ColorMixup(mistake="rgb")
