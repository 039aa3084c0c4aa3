"""What a lens does to colours, lines and light, against closed forms."""

import math

import pytest
import torch
from shift_images import streams

from robustbench_lite.errors import InputError
from robustbench_lite.shifts.bloom import Bloom
from robustbench_lite.shifts.chromatic_aberration import ChromaticAberration
from robustbench_lite.shifts.defocus import DefocusBlur
from robustbench_lite.shifts.distortion import RadialDistortion
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.vignetting import Vignetting
from robustbench_lite.types import Fills

HEIGHT, WIDTH = 121, 161
CORNER = math.hypot(HEIGHT, WIDTH) / 2


def spot(down, across, channels=3):
    """A soft bright spot, its centre given from the middle of the image."""
    y = torch.arange(HEIGHT, dtype=torch.float64)[:, None] - HEIGHT // 2 - down
    x = torch.arange(WIDTH, dtype=torch.float64) - WIDTH // 2 - across
    return torch.exp(-(x * x + y * y) / (2 * 2.5**2)).expand(1, channels, -1, -1)


def centroids(image):
    """(C, 2): down and across of each channel's light, from the middle of the image."""
    weights = image[0] / image[0].sum((1, 2), keepdim=True)
    y, x = (torch.arange(n, dtype=image.dtype) - n // 2 for n in image.shape[-2:])
    return torch.stack((weights.sum(2) @ y, weights.sum(1) @ x), 1)


@pytest.mark.parametrize("place", [(0, 0), (20, 30), (-35, 10), (5, -50)])
def test_red_grows_and_blue_shrinks_about_the_centre(place):
    image = spot(*place)
    red, green, blue = centroids(ChromaticAberration(lateral=0.03)(image, streams()))
    expected = torch.tensor(place, dtype=torch.float64)
    assert torch.allclose(green, expected, atol=1e-3)
    # A bicubic filter moves what lies between two pixels by up to a twentieth of one.
    assert torch.allclose(red, 1.03 * expected, atol=0.05)
    assert torch.allclose(blue, 0.97 * expected, atol=0.05)


def test_lateral_colour_leaves_green_and_grey_areas_alone():
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    out = ChromaticAberration()(image, streams())
    assert torch.equal(out[:, 1], image[:, 1])
    grey = torch.full((1, 3, 20, 30), 0.4)
    assert torch.allclose(ChromaticAberration(severity=5)(grey, streams()), grey, atol=1e-6)


def test_longitudinal_colour_defocuses_red_and_blue():
    image = spot(3, 4).float()
    out = ChromaticAberration(lateral=0, longitudinal_px=3)(image, streams())
    blurred = DefocusBlur(radius_px=3, linear_light=True)(image, streams())
    assert torch.equal(out[:, 1], image[:, 1])
    assert torch.allclose(out[:, [0, 2]], blurred[:, [0, 2]], atol=1e-5)


@pytest.mark.parametrize(("k1", "k2"), [(-0.12, 0), (0.1, 0), (-0.2, 0.09), (0.05, -0.03)])
@pytest.mark.parametrize("place", [(0, 0), (25, 30), (-40, 10), (5, -55)])
def test_distortion_moves_points_by_the_formula(k1, k2, place):
    r = math.hypot(*place) / CORNER
    expected = torch.tensor(place, dtype=torch.float64) * (1 + k1 * r**2 + k2 * r**4)
    out = RadialDistortion(k1=k1, k2=k2)(spot(*place, channels=1), streams())
    # The spot grows a little more towards the corner than towards the centre, which moves its centroid.
    assert torch.allclose(centroids(out)[0], expected, atol=0.15)
    peak = out[0, 0].argmax().item()
    assert abs(peak // WIDTH - HEIGHT // 2 - expected[0]) <= 0.6
    assert abs(peak % WIDTH - WIDTH // 2 - expected[1]) <= 0.6


def test_each_sample_draws_barrel_or_pincushion():
    image = spot(30, 40, channels=1).expand(12, -1, -1, -1)
    out = RadialDistortion(severity=4)(image, streams(12))
    outwards = torch.stack([centroids(one[None])[0].norm() for one in out]) > 50
    assert 0 < outwards.sum() < 12


def test_a_barrel_invents_pixels_and_a_pincushion_none():
    images = torch.rand(12, 1, HEIGHT, WIDTH)
    shift = RadialDistortion(severity=4)
    assert isinstance(shift, Fills)
    shares = shift.filled(images, streams(12))
    assert shares.shape == (12,)
    assert shares.unique().numel() == 2
    assert shares.min() == 0
    barrel = RadialDistortion(k1=-0.085).filled(images, streams(12))
    assert barrel[0] == shares.max()
    # Marked from outside: a white frame around black that is mirrored shows where the image ends.
    y, x = torch.meshgrid(torch.arange(HEIGHT) - HEIGHT // 2, torch.arange(WIDTH) - WIDTH // 2, indexing="ij")
    before = torch.stack((y, x)).double()
    for _ in range(60):  # fixed point: what lies at a pixel now lay further out
        r = before.norm(dim=0) / CORNER
        before = torch.stack((y, x)) / (1 - 0.085 * r**2)
    beyond = (before[0].abs() > HEIGHT / 2) | (before[1].abs() > WIDTH / 2)
    assert barrel[0].item() == pytest.approx(beyond.double().mean().item(), abs=1e-3)


def test_lateral_colour_counts_what_it_invents():
    images = torch.rand(2, 3, 200, 100)
    filled = ChromaticAberration(lateral=0.05).filled(images, streams(2))
    assert filled.tolist() == pytest.approx([1 - 0.95**2] * 2, abs=0.01)
    assert ChromaticAberration(severity=0).filled(images, streams(2)).tolist() == [0, 0]


@pytest.mark.parametrize("arguments", [{"k1": -0.15}, {"k1": 0.0, "k2": -0.3}, {"severity": 5, "k2": -0.1}])
def test_distortion_that_leaves_the_corners_dark_is_refused(arguments):
    with pytest.raises(InputError, match=r"leave the corners of the image without light\. Give k1"):
        RadialDistortion(**arguments)


def test_vignetting_follows_the_cosine_fourth_law():
    grey = torch.full((1, 1, HEIGHT, WIDTH), 0.7, dtype=torch.float64)
    out = Vignetting(half_field_degrees=40)(grey, streams())
    passed = (to_linear(out) / to_linear(grey))[0, 0]
    assert passed[HEIGHT // 2, WIDTH // 2] == pytest.approx(1, abs=1e-6)
    for down, across in ((0, 0), (10, 50), (100, 140), (120, 80)):
        r = math.hypot(down - HEIGHT // 2, across - WIDTH // 2) / CORNER
        theta = math.atan(r * math.tan(math.radians(40)))
        assert passed[down, across].item() == pytest.approx(math.cos(theta) ** 4, rel=1e-4)


@pytest.mark.parametrize("cycles", [1, 4, 12])
def test_bloom_scatters_by_two_gaussians(cycles):
    side, share = 144, 0.4
    phase = 2 * math.pi * cycles * (torch.arange(side, dtype=torch.float64) - side // 2) / side
    light = (0.4 + 0.2 * torch.cos(phase)).expand(1, 1, side, side)
    out = to_linear(Bloom(share=share)(to_srgb(light), streams()))
    near, far = (math.exp(-2 * (math.pi * cycles * spread) ** 2) for spread in (0.015, 0.08))
    middle = out[0, 0, side // 2, side // 2].item()
    assert (middle - 0.4) / 0.2 == pytest.approx(1 - share + share / 2 * (near + far), abs=0.02)


def test_bloom_takes_white_for_brighter_than_white():
    def scattered(white):
        """Light that has left a bright square, as a share of what was there."""
        image = torch.zeros(1, 1, 100, 100, dtype=torch.float64)
        image[..., 40:60, 40:60] = white
        left = to_linear(Bloom(share=0.5)(image, streams()))[image == 0].sum()
        return (left / to_linear(image).sum()).item()

    assert 0.1 < scattered(0.8) < 0.4
    assert scattered(1.0) == pytest.approx(2 * scattered(0.8), rel=0.02)
