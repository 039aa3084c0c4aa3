"""The physics of lamps: mirrored, from behind, flickering, at dusk."""

import math

import numpy as np
import pytest
import torch
from shift_images import streams

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.backlight import Backlight
from robustbench_lite.shifts.dusk import Dusk
from robustbench_lite.shifts.flicker import Flicker
from robustbench_lite.shifts.glare import Glare, _Brush, _Mirror, _Relief
from robustbench_lite.shifts.light import places, planckian_rgb, to_linear, to_srgb


def grey(light, n=1, channels=3, height=40, width=40):
    return to_srgb(torch.full((n, channels, height, width), light))


def light_of(shift, images):
    """Linear light of the changed images."""
    return to_linear(shift(images, streams(len(images))))


# glare


def test_a_flat_surface_mirrors_the_lamp_where_the_angles_are_equal():
    """The ray from the camera to the brightest place, mirrored there, hits the lamp."""
    like = torch.zeros(1, 1, 101, 101)
    down, across = places(like)
    lobe = _Mirror(down, across)(torch.zeros(2, 1, 1), 0.2 * 100 / 101, -0.3 * 100 / 101)
    y, x = divmod(lobe.argmax().item(), 101)
    assert (y, x) == (70, 20)
    assert lobe.max().item() == pytest.approx(1, abs=1e-6)
    place = np.array([down[y, 0].item(), across[x].item()])
    lamp = place * 2  # camera and lamp hang equally high, so the lamp is twice as far from the middle
    incoming = np.array([*(place - 0), -2.0])  # from the camera at (0, 0, 2)
    mirrored = incoming * [1, 1, -1]
    assert np.cross(mirrored, [*(lamp - place), 2.0]) == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_lobe_follows_the_angle_between_normal_and_half_vector():
    down, across = (part.double() for part in places(torch.zeros(1, 1, 30, 50)))
    slopes = 0.3 * torch.randn(2, 30, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = _Mirror(down, across)(slopes, 0.1, 0.25)
    extent = np.array([30, 50]) / math.sqrt(30 * 50)
    lamp = np.array([*(2 * np.array([0.1, 0.25]) * extent), 2.0])
    for y, x in ((0, 0), (7, 33), (29, 49), (15, 2)):
        point = np.array([down[y, 0].item(), across[x].item(), 0])
        to_lamp, to_camera = lamp - point, np.array([0, 0, 2.0]) - point
        half = to_lamp / np.linalg.norm(to_lamp) + to_camera / np.linalg.norm(to_camera)
        normal = np.array([-slopes[0, y, x].item(), -slopes[1, y, x].item(), 1])
        cosine = half @ normal / np.linalg.norm(half) / np.linalg.norm(normal)
        assert found[y, x].item() == pytest.approx(cosine, abs=1e-9)


def test_the_highlight_is_added_to_the_surface_s_own_light():
    shift = Glare(specular=0.5, slope=0, grain=0)
    dark, bright = light_of(shift, grey(0.0)), light_of(shift, grey(0.3))
    assert dark.max().item() == pytest.approx(0.5, abs=0.01)
    assert torch.allclose(bright - dark, torch.tensor(0.3), atol=1e-5)
    half = light_of(Glare(specular=0.25, slope=0, grain=0), grey(0.0))
    assert torch.allclose(dark, 2 * half, atol=1e-5)
    sharper = light_of(Glare(specular=0.5, exponent=200, slope=0, grain=0), grey(0.0))
    assert torch.allclose(sharper, dark**2 / 0.5, atol=1e-4)  # twice the exponent squares the lobe


def test_the_relief_is_the_slope_of_one_height_field():
    down, across = (part.double() for part in places(torch.zeros(1, 1, 100, 150)))
    slopes = _Relief(down, across)(streams())
    # The curl of a slope field is zero.
    curl = torch.gradient(slopes[1], dim=0)[0] - torch.gradient(slopes[0], dim=1)[0]
    bend = torch.gradient(slopes[0], dim=0)[0]
    assert curl[1:-1, 1:-1].std() < 0.03 * bend.std()
    many = torch.stack([_Relief(down, across)(Streams(0, "c", (str(i),))) for i in range(40)])
    assert many.std(dim=(0, 2, 3)).tolist() == pytest.approx([1, 1], rel=0.1)


def test_the_waves_of_the_relief_are_a_sixth_of_the_side():
    """Slopes of cubic B-splines: their correlation is the second derivative of a B-spline of degree 7."""
    down, across = places(torch.zeros(1, 1, 120, 120))
    many = torch.stack([_Relief(down, across)(Streams(0, "c", (str(i),)))[0] for i in range(60)])
    for lag, expected in ((20, -15 / 80), (40, -24 / 80)):
        assert (many[:, lag:] * many[:, :-lag]).mean().item() == pytest.approx(expected, abs=0.06)


def test_highlights_lie_in_the_middle_of_the_image():
    dark = grey(0.0, n=60, channels=1)
    found = light_of(Glare(specular=0.5, slope=0, grain=0), dark).flatten(1).argmax(1)
    away = (torch.stack((found // 40, found % 40)) - 19.5).abs() / 40
    assert 0.28 < away.max() <= 0.35 + 0.5 / 40


def test_brushing_leaves_lines_in_one_direction():
    down, across = places(torch.zeros(1, 1, 90, 90))
    along_x = _Brush(down, across)(streams(), 0.25)  # slopes point down, lines run across
    assert along_x[1].abs().max() < 1e-4
    assert (along_x[0] == along_x[0][:, :1]).float().mean() > 0.98  # but where a line is rounded to its neighbour
    assert along_x[0][:, 0].std().item() == pytest.approx(1, rel=0.25)
    slanted = _Brush(down, across)(streams(), 0.1)
    assert torch.allclose(slanted[0] / slanted[1], torch.tensor(math.tan(0.2 * math.pi)), rtol=1e-3)


# backlight


def test_the_veil_is_added_to_what_is_left_of_the_scene():
    shift = Backlight(exposure_ev=-2, veil=0.01)
    scene, black = light_of(shift, grey(0.4)), light_of(shift, grey(0.0))
    assert torch.allclose(scene - black, torch.tensor(0.1), atol=1e-5)
    assert black.mean().item() == pytest.approx(0.01, rel=1e-3)


def test_the_veil_falls_with_the_square_of_the_distance_from_the_edge():
    veils = light_of(Backlight(exposure_ev=0, veil=0.005), grey(0.0, n=20, channels=1, height=60, width=80))[:, 0]
    sides = set()
    for veil in veils:
        y, x = divmod(veil.argmax().item(), 80)
        assert y in (0, 59) or x in (0, 79)
        sides.add((y in (0, 59), x in (0, 79), y > 30, x > 40))
        rows, columns = torch.arange(60.0)[:, None] - y, torch.arange(80.0) - x
        distance = (rows**2 + columns**2).sqrt() / math.sqrt(60 * 80)
        far = distance > 0.5
        product = (veil * (distance**2 + 0.08**2))[far]
        assert (product.max() / product.min()).item() < 1.1  # the source lies within a pixel of that place
    assert len(sides) > 4


# flicker


@pytest.mark.parametrize(
    ("hertz", "exposure", "readout"), [(100, 2, 25), (120, 5, 30), (100, 13, 40), (120, 0, 8)]
)
def test_bands_are_the_light_that_a_row_gathers(hertz, exposure, readout):
    """Against the mean of the lamp's light over many moments of each row's exposure."""
    shift = Flicker(modulation=0.8, flicker_hz=hertz, exposure_ms=exposure, readout_ms=readout)
    rows = light_of(shift, grey(0.4, channels=1, height=120))[0, 0, :, 0].double() / 0.4
    start = np.arange(120) / 119 * readout / 1000
    moments = start[:, None] + (np.arange(400) + 0.5) / 400 * exposure / 1000

    def gathered(phase):
        return (1 + 0.8 * np.cos(2 * np.pi * hertz * moments + phase)).mean(1)

    phases = np.linspace(0, 2 * np.pi, 361)
    errors = [np.abs(gathered(phase) - rows.numpy()).max() for phase in phases]
    assert min(errors) < 1e-2


def test_the_depth_of_the_bands_is_that_of_the_sinc():
    for exposure in (0, 1, 4, 8, 10, 15):
        shift = Flicker(modulation=0.6, exposure_ms=exposure, readout_ms=100)
        rows = light_of(shift, grey(0.3, channels=1, height=400))[0, 0, :, 0]
        depth = (rows.max() - rows.min()) / (rows.max() + rows.min())
        assert depth.item() == pytest.approx(0.6 * abs(np.sinc(0.1 * exposure)), abs=2e-3)


def test_as_many_bands_as_cycles_in_the_readout():
    shift = Flicker(modulation=0.5, flicker_hz=120, readout_ms=100 / 1.2)
    rows = light_of(shift, grey(0.3, channels=1, height=200))[0, 0, :, 0]
    assert torch.fft.rfft(rows - rows.mean()).abs().argmax().item() == 10


def test_a_global_shutter_sees_another_brightness_in_each_image():
    out = light_of(Flicker(modulation=0.5, readout_ms=0), grey(0.3, n=20))
    assert out.flatten(1).std(1).max() < 1e-6
    assert out.mean((1, 2, 3)).std() > 0.05


# dusk


def test_the_sun_stands_on_one_side_and_the_sky_is_everywhere():
    shift = Dusk(severity=0, gradient=1, sun_cct_k=2500, sky_cct_k=12_000)
    out = light_of(shift, grey(0.2, n=12))
    daylight = torch.tensor(planckian_rgb(6500))
    sky = torch.tensor(planckian_rgb(12_000)) / daylight
    luminance = torch.tensor([0.2126, 0.7152, 0.0722])
    for image in out:
        bright = torch.einsum("c,chw->hw", luminance, image)
        far, near = (image.flatten(1)[:, place] for place in (bright.argmin(), bright.argmax()))
        assert torch.allclose(far / far[1], sky / sky[1], rtol=1e-3)  # no sun is left there
        assert near[0] / near[2] > far[0] / far[2]
        assert bright.max().item() == pytest.approx(0.2, rel=1e-3)  # equal luminance, and all of both
        middle = bright[19:21, 19:21].mean()
        assert middle.item() == pytest.approx((bright.max() + bright.min()).item() / 2, rel=1e-3)
    suns = 1 - torch.einsum("c,nchw->nhw", luminance, out).amin((1, 2)) / 0.2
    assert 0.1 < suns.min() < 0.4 < 0.6 < suns.max() < 0.9


def test_golden_and_blue_hours_are_drawn():
    """On the far side of a sun without sky light around it, what is left is the share of the sky."""
    dim = light_of(Dusk(severity=0, gradient=1), grey(0.2, n=80, channels=1)).amin((1, 2, 3)) / 0.2
    assert 0.1 - 1e-3 < dim.min() < 0.2
    assert 0.8 < dim.max() < 0.9 + 1e-3


def test_dusk_without_colour_for_other_channels():
    out = light_of(Dusk(severity=0, exposure_ev=-1, sun_cct_k=2500, sky_cct_k=12_000), grey(0.4, channels=4))
    assert torch.allclose(out, torch.tensor(0.2), atol=1e-5)


@pytest.mark.parametrize(
    ("shift", "argument", "value"),
    [
        (Glare, "specular", -1),
        (Glare, "exponent", 0),
        (Glare, "slope", 2),
        (Glare, "grain", -0.1),
        (Backlight, "exposure_ev", 1),
        (Backlight, "veil", 2),
        (Flicker, "modulation", 1.5),
        (Flicker, "flicker_hz", 0),
        (Flicker, "exposure_ms", -1),
        (Flicker, "readout_ms", -1),
        (Dusk, "exposure_ev", 1),
        (Dusk, "sun_cct_k", 1500),
        (Dusk, "sky_cct_k", 30_000),
        (Dusk, "gradient", 1.1),
    ],
)
def test_values_out_of_range_are_refused(shift, argument, value):
    with pytest.raises(InputError, match=rf"^{argument}=.* is out of range\. Give a number from"):
        shift(**{argument: value})
