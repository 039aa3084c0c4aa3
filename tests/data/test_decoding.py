"""Image files: every bit arrives, and what is broken is refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.decoding import decode, header

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = COLOUR[..., :1]
DEEP = RNG.integers(0, 65536, (20, 30, 6), dtype=np.uint16)


def read(path, keep_alpha=False):
    """The pixels, after checking that the header promised their shape."""
    pixels = decode(str(path), path.name, keep_alpha)
    assert header(str(path), path.name, keep_alpha) == pixels.shape
    return pixels


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp"])
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_lossless_8_bit(tmp_path, suffix, pixels):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels.squeeze()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    # WebP has no grey.
    expected = np.repeat(pixels, 3, axis=2) if suffix == "webp" and pixels.shape[2] == 1 else pixels
    assert np.array_equal(read(path), expected)


def test_jpeg_is_what_pillow_decodes(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOUR).save(path)
    assert np.array_equal(read(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_is_exact(tmp_path, png16, channels):
    path = tmp_path / "a.png"
    path.write_bytes(png16(DEEP[..., :channels]))
    pixels = read(path)
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, DEEP[..., :channels])


def test_16_bit_png_opacity_is_dropped_unless_wanted(tmp_path, png16):
    colour, grey = tmp_path / "c.png", tmp_path / "g.png"
    colour.write_bytes(png16(DEEP[..., :4]))
    grey.write_bytes(png16(DEEP[..., :2]))
    assert np.array_equal(read(colour), DEEP[..., :3])
    assert np.array_equal(read(colour, keep_alpha=True), DEEP[..., :4])
    assert np.array_equal(read(grey), DEEP[..., :1])
    assert np.array_equal(read(grey, keep_alpha=True), DEEP[..., [0, 0, 0, 1]])


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 6])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_tiff_is_exact(tmp_path, channels, planar):
    path = tmp_path / "a.tif"
    deep = DEEP[..., :channels].squeeze()
    kind = {"photometric": "rgb" if channels == 3 else "minisblack"}
    if channels > 1:
        deep = deep if planar == "contig" else np.moveaxis(deep, -1, 0)
        kind["planarconfig"] = planar
    tifffile.imwrite(path, deep, **kind)
    assert np.array_equal(read(path), DEEP[..., :channels])


def test_grey_tiff_pages_are_channels_but_a_thumbnail_is_not(tmp_path):
    pages, thumbnail = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(pages, np.moveaxis(DEEP, -1, 0), photometric="minisblack")
    assert np.array_equal(read(pages), DEEP)
    with tifffile.TiffWriter(thumbnail) as writer:
        writer.write(DEEP[..., 0], photometric="minisblack")
        writer.write(DEEP[::2, ::2, 0], photometric="minisblack")
    assert np.array_equal(read(thumbnail), DEEP[..., :1])


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
def test_compressed_tiff(tmp_path, compression):
    path = tmp_path / "a.tif"
    Image.fromarray(COLOUR).save(path, compression=compression)
    assert np.array_equal(read(path), COLOUR)


def test_16_bit_colour_that_pillow_would_cut_to_8_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP[..., :3], photometric="rgb")
    data = path.read_bytes()
    # Only the name of the compression counts here: 5 is LZW, which tifffile alone cannot read.
    entry = data.index(struct.pack("<HHI", 259, 3, 1))
    path.write_bytes(data[: entry + 8] + struct.pack("<H", 5) + data[entry + 10 :])
    if 5 in tifffile.TIFF.DECOMPRESSORS:
        pytest.skip("imagecodecs is installed")
    with pytest.raises(DamagedImageError, match=r"^a.tif: 16-bit RGB with LZW compression is not read"):
        header(str(path), "a.tif")


def test_inverted_and_two_level_tiff(tmp_path):
    inverted, levels = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(inverted, GREY[..., 0], photometric="miniswhite")
    assert np.array_equal(read(inverted), 255 - GREY)
    two = GREY[..., 0] > 100
    Image.fromarray(two).save(levels)
    assert np.array_equal(read(levels)[..., 0], two * np.uint8(255))


def test_palette_becomes_colour_and_opacity_is_dropped(tmp_path):
    palette, rgba, la = (tmp_path / f"{name}.png" for name in "abc")
    image = Image.fromarray(COLOUR)
    few = image.quantize(8)
    few.save(palette, transparency=b"\x00\x80\xff")
    assert np.array_equal(read(palette), np.asarray(few.convert("RGB")))
    assert read(palette, keep_alpha=True).shape == (20, 30, 4)
    opacity = Image.fromarray(GREY[..., 0])
    image.putalpha(opacity)
    image.save(rgba)
    assert np.array_equal(read(rgba), COLOUR)
    assert np.array_equal(read(rgba, keep_alpha=True)[..., 3], GREY[..., 0])
    Image.merge("LA", (opacity, opacity)).save(la)
    assert np.array_equal(read(la), GREY)


def test_the_content_counts_not_the_suffix(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOUR).save(path, format="png")
    assert np.array_equal(read(path), COLOUR)


def test_orientation_is_not_applied(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(path, exif=exif)
    assert read(path).shape == (20, 30, 3)


def test_broken_exif_is_of_no_interest(tmp_path):
    path = tmp_path / "a.jpg"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x1a\x01\x05\0\x01\0\0\0\xff\xff\0\0"
    Image.fromarray(COLOUR).save(path, exif=exif)
    assert read(path).shape == (20, 30, 3)  # a warning would be an error here


def huge_png(width, height):
    """A header that promises many pixels, and none of them."""
    body = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + body
        + struct.pack(">I", zlib.crc32(b"IHDR" + body))
        + struct.pack(">I", 4)
        + b"IDAT"
    )


BROKEN = {
    "empty": (b"", "the file is empty"),
    "text": (b"this is no image at all", "not a PNG, JPEG, BMP, TIFF or WebP image"),
    "gif": (b"GIF89a" + bytes(30), "not a PNG, JPEG, BMP, TIFF or WebP image"),
    "cut": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "its header is broken"),
    "large": (huge_png(5001, 5000), "5000 x 5001 pixels with 1 channel are more than the 25 megapixels"),
    "bomb": (huge_png(60_000, 60_000), "60000 x 60000 pixels"),
    "tiff": (b"II*\0", "."),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_header_is_refused_without_a_warning(tmp_path, name):
    data, reason = BROKEN[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DamagedImageError) as caught:
            header(str(path), "good/a.png")
    assert caught.value.what.startswith("good/a.png: ")
    assert reason in caught.value.what
    assert "\n" not in str(caught.value)


def test_exactly_25_megapixels_are_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(huge_png(5000, 5000))
    assert header(str(path), "a") == (5000, 5000, 1)


def test_float_tiff_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY[..., 0].astype(np.float32))
    with pytest.raises(DamagedImageError, match="float32"):
        header(str(path), "a.tif")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "a.png")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DamagedImageError, match=r"^good/a.png: Permission denied\."):
        header(str(tmp_path / "a.png"), "good/a.png")


def test_running_out_of_memory_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(MemoryError):
        header(str(tmp_path / "a.png"), "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp", "png16"])
@pytest.mark.parametrize("lenient", [False, True])
def test_truncated_pixels_are_refused(tmp_path, png16, monkeypatch, kind, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)  # as another library might
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    if kind == "png16":
        buffer.write(png16(RNG.integers(0, 65536, (64, 64, 3), dtype=np.uint16)))
    elif kind == "tif":
        tifffile.imwrite(buffer, noise)
    else:
        Image.fromarray(noise).save(buffer, format={"jpg": "jpeg"}.get(kind, kind))
    path = tmp_path / f"a.{kind}"
    path.write_bytes(buffer.getvalue()[: int(0.6 * len(buffer.getvalue()))])
    with pytest.raises(DamagedImageError, match=rf"^good/a.{kind}: "):
        decode(str(path), f"good/a.{kind}")
