"""The physics of the light: amount, colour, place."""

import math

import pytest
import torch
from shift_images import streams

from robustbench_lite.errors import InputError
from robustbench_lite.shifts.color_temperature import ColorTemperature
from robustbench_lite.shifts.light import lamp_gains, places, to_linear, to_srgb
from robustbench_lite.shifts.overexposed import Overexposed
from robustbench_lite.shifts.shadow import Shadow, _seen
from robustbench_lite.shifts.uneven import Uneven


def grey(light=0.4, n=1, channels=3, side=40):
    return to_srgb(torch.full((n, channels, side, side), light))


def light_of(shift, images):
    """Linear light of the changed images."""
    return to_linear(shift(images, streams(len(images))))


def test_the_curves_of_srgb_meet_and_keep_black_black():
    stored = torch.linspace(0, 0.1, 2001, dtype=torch.float64)
    reference = torch.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    assert torch.allclose(to_linear(stored), reference, atol=2e-8)
    assert torch.allclose(to_srgb(reference), stored, atol=2e-7)
    assert to_linear(torch.zeros(100)).max() == 0
    assert to_srgb(torch.zeros(100)).max() == 0


def test_places_are_centred_and_square():
    down, across = places(torch.zeros(1, 1, 40, 90))  # a side of 60
    assert down.shape == (40, 1)
    assert across.shape == (90,)
    assert down.sum().abs() < 1e-4
    assert across.sum().abs() < 1e-4
    assert (across[-1] - across[0]).item() == pytest.approx(89 / 60)
    assert (down[1] - down[0]).item() == pytest.approx(1 / 60)


def test_one_stop_doubles_the_light_until_the_well_is_full():
    values = torch.linspace(0, 1, 1024).view(1, 1, 32, 32)
    out = light_of(Overexposed(exposure_ev=1), values)
    assert torch.allclose(out, (2 * to_linear(values)).clamp_max(1), atol=2e-6)
    assert (out > 0.99999).float().mean().item() == pytest.approx(1 - 0.7354, abs=0.002)  # half the light, stored


def test_bright_colours_turn_white_and_change_their_hue_on_the_way():
    orange = to_srgb(torch.tensor([0.6, 0.3, 0.05]).view(1, 3, 1, 1).expand(1, 3, 8, 8))
    one, three = (light_of(Overexposed(exposure_ev=ev), orange)[0, :, 0, 0] for ev in (1, 3))
    assert one.tolist() == pytest.approx([1, 0.6, 0.1], abs=1e-5)
    assert three.tolist() == pytest.approx([1, 1, 0.4], abs=1e-5)


def test_tungsten_light_under_a_camera_balanced_for_daylight():
    # From the published chromaticities of illuminant A and of a black body of 6500 K (Wyszecki & Stiles).
    matrix = torch.tensor([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    lamp, daylight = (
        matrix @ torch.tensor([x, y, 1 - x - y]) / y for x, y in ((0.4476, 0.4074), (0.3135, 0.3237))
    )
    out = light_of(ColorTemperature(cct_k=2856), grey(0.2))[0, :, 0, 0]
    expected = lamp / daylight
    assert torch.allclose(out / out[1], expected / expected[1], rtol=0.01)
    assert (torch.tensor([0.2126, 0.7152, 0.0722]) @ out).item() == pytest.approx(0.2, rel=1e-4)


def test_on_the_scale_some_are_warm_and_the_others_the_inverse():
    out = light_of(ColorTemperature(severity=4), grey(0.2, n=24))[:, :, 0, 0]
    ratios = out / out[:, 1:2]
    warm, cold = ratios[ratios[:, 0] > 1], ratios[ratios[:, 0] < 1]
    assert 5 < len(warm) < 19
    assert len(warm) + len(cold) == 24
    gains = lamp_gains(3400, 0)
    assert warm[0].tolist() == pytest.approx([g / gains[1] for g in gains], rel=1e-3)
    assert (warm[0] * cold[0]).tolist() == pytest.approx([1, 1, 1], rel=1e-3)


def test_a_camera_that_corrects_all_of_the_colour_leaves_the_image():
    images = torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    out = ColorTemperature(severity=5, white_balance=1)(images, streams(4))
    assert torch.allclose(out, images, atol=1e-5)


def test_the_light_falls_with_the_fourth_power_of_the_cosine():
    """Checked against the irradiance of a flat source: cosine at the lamp, cosine at the scene, inverse square."""
    out = light_of(Uneven(corner_loss=0.8), grey(1.0, channels=1, side=41))[0, 0].double()
    y, x = (out == out.max()).nonzero()[0].tolist()
    lamp = streams().uniform((2,), "lamp", like=out)[0] * 41 - 0.5
    assert lamp.round().int().tolist() == [y, x]
    rows, columns = torch.arange(41.0)[:, None] - lamp[0], torch.arange(41.0) - lamp[1]
    squared = rows**2 + columns**2
    assert out.min().item() == pytest.approx(0.2, rel=1e-4)
    height = (squared.max() / (0.2**-0.5 - 1)) ** 0.5
    distance = (squared + height**2) ** 0.5
    irradiance = (height / distance) ** 2 / distance**2
    assert torch.allclose(out, (irradiance * height**2).double(), rtol=1e-3)


def test_lamps_stand_anywhere_over_the_image():
    out = light_of(Uneven(severity=5), grey(n=40))[:, 0]
    brightest = torch.tensor([divmod(image.argmax().item(), 40) for image in out])
    assert (brightest < 10).any(0).all()
    assert (brightest > 29).any(0).all()


@pytest.mark.parametrize("height", [-1.2, -0.9, -0.4, 0, 0.3, 0.8, 1.1])
def test_the_penumbra_is_the_part_of_a_disk_that_is_seen(height):
    n = 801
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    disk = y * y + x * x <= 1
    above = (disk & (y + height > 0)).sum() / disk.sum()  # the edge hides what is below it
    assert _seen(torch.tensor(float(height))).item() == pytest.approx(above.item(), abs=3e-3)


def test_a_shadow_has_an_umbra_and_leaves_full_light_outside():
    out = light_of(Shadow(ambient=0.2, penumbra=0.05), grey(0.5, n=30, side=64))[:, 0]
    assert out.flatten(1).amin(1).tolist() == pytest.approx([0.1] * 30, abs=1e-5)
    umbra = (out < 0.1 * 1.001).flatten(1).float().mean(1)
    lit = (out > 0.5 * 0.999).flatten(1).float().mean(1)
    assert umbra.min() > 0.02
    assert umbra.max() < 0.95
    assert 0.2 < umbra.mean() < 0.7
    assert (lit > 0).sum() > 24  # few are larger than the image


def test_the_soft_edge_is_as_wide_as_it_says():
    out = light_of(Shadow(ambient=0, penumbra=0.1), grey(1.0, n=30, side=200))[:, 0]
    steepest = max((image[:, 1:] - image[:, :-1]).abs().max().item() for image in out)
    # The slope of the visible part of a disk is 2 / pi per radius, and the penumbra is two radii: 20 pixels.
    assert steepest == pytest.approx(2 / math.pi / 10, rel=0.03)


@pytest.mark.parametrize(
    ("shift", "argument", "value"),
    [
        (Overexposed, "exposure_ev", -1),
        (ColorTemperature, "cct_k", 1500),
        (ColorTemperature, "white_balance", 1.5),
        (Uneven, "corner_loss", 1),
        (Shadow, "ambient", -0.1),
        (Shadow, "penumbra", 0),
    ],
)
def test_values_out_of_range_are_refused(shift, argument, value):
    with pytest.raises(InputError, match=rf"^{argument}=.* is out of range\. Give a number from"):
        shift(**{argument: value})
