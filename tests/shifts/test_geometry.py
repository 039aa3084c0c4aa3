"""Geometry against known points, closed forms, and counts of pixels."""

import math

import pytest
import torch
from shift_images import random_images, smooth_images, streams

from robustbench_lite.cli.sweeps import _sweep
from robustbench_lite.errors import InputError
from robustbench_lite.shifts.camera_angle import CameraAngle
from robustbench_lite.shifts.elastic import Elastic
from robustbench_lite.shifts.flip import Flip
from robustbench_lite.shifts.framing import Scale, Translation
from robustbench_lite.shifts.gaussian_blur import GaussianBlur
from robustbench_lite.shifts.occlusion import Occlusion
from robustbench_lite.shifts.rotation import Rotation
from robustbench_lite.types import Fills


def spot(height, width, y, x):
    image = torch.zeros(1, 1, height, width)
    image[0, 0, y, x] = 1
    return GaussianBlur(sigma_px=1.5)(image, streams(1))


def centre(image):
    """Row and column of the centre of mass."""
    weights = image[0, 0] / image.sum()
    rows, columns = (torch.arange(float(side)) for side in weights.shape)
    return (weights.sum(1) @ rows).item(), (weights.sum(0) @ columns).item()


def test_a_translation_by_whole_pixels_is_exact():
    images = random_images(2, 3, 20, 30)
    out = Translation(dx=0.1, dy=-0.2, fill="constant")(images, streams(2))  # 3 to the right, 4 up
    assert torch.allclose(out[..., :16, 3:], images[..., 4:, :27], atol=1e-5)
    assert out[..., 16:, :].abs().max() < 1e-5
    assert out[..., :3].abs().max() < 1e-5


@pytest.mark.parametrize("fill", ["reflect", "edge"])
def test_beyond_the_edge_is_what_fill_says(fill):
    images = random_images(1, 1, 20, 30)
    out = Translation(dx=0.1, fill=fill)(images, streams(1))
    expected = images[..., :3].flip(3) if fill == "reflect" else images[..., :1].expand(-1, -1, -1, 3)
    assert torch.allclose(out[..., :3], expected, atol=1e-5)


def test_one_step_alone_leaves_the_other_axis():
    row, column = centre(Translation(severity=5, dy=0.1)(spot(40, 40, 20, 20), streams(1)))
    assert (row, column) == (pytest.approx(24, abs=0.01), pytest.approx(20, abs=0.01))


def test_the_scale_moves_samples_all_round_by_one_length():
    images = spot(64, 64, 32, 32).expand(16, -1, -1, -1)
    out = Translation(severity=3)(images, streams(16))
    moved = torch.tensor([centre(image[None]) for image in out]) - 32
    assert torch.allclose(moved.norm(dim=1), torch.tensor(0.07 * 64), atol=0.07)  # below black is cut off
    assert (moved > 1).any(0).all()
    assert (moved < -1).any(0).all()


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.5])
def test_scale_moves_points_away_from_the_centre(factor):
    row, column = centre(Scale(factor=factor, fill="constant")(spot(61, 81, 40, 50), streams(1)))
    assert row == pytest.approx(30 + 10 * factor, abs=0.05)
    assert column == pytest.approx(40 + 10 * factor, abs=0.05)


def test_scale_averages_what_becomes_smaller():
    stripes = (torch.arange(60) % 2).float().expand(1, 1, 60, 60)
    out = Scale(factor=0.5)(stripes, streams(1))[..., 20:40, 20:40]
    assert torch.allclose(out, torch.full_like(out, 0.5), atol=1e-5)


def project(x, y, pitch, yaw, side, view):
    """A point of the plane through a pinhole camera, in its own words: the camera moves, the plane stays."""
    pitch, yaw, distance = math.radians(pitch), math.radians(yaw), side / 2 / math.tan(math.radians(view) / 2)
    # To the right by the yaw about the vertical axis, then up by the pitch about the camera's own.
    right = torch.tensor([math.cos(yaw), 0, math.sin(yaw)])
    forward = torch.tensor([-math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    down = torch.linalg.cross(forward, right)
    point = torch.tensor([x, y, 0.0]) + distance * forward
    return (distance * (point @ axis / (point @ forward)).item() for axis in (right, down))


@pytest.mark.parametrize(("pitch", "yaw"), [(20, 0), (0, 20), (0, -20), (15, 25)])
@pytest.mark.parametrize("view", [30, 70])
@pytest.mark.parametrize(("y", "x"), [(-12, 15), (10, -18), (0, 0)])
def test_points_move_where_a_pinhole_camera_sees_them(pitch, yaw, view, y, x):
    change = CameraAngle(pitch_degrees=pitch, yaw_degrees=yaw, field_of_view_degrees=view, fill="constant")
    row, column = centre(change(spot(81, 81, 40 + y, 40 + x), streams(1)))
    across, down = project(x, y, pitch, yaw, 81, view)
    assert (row - 40, column - 40) == (pytest.approx(down, abs=0.12), pytest.approx(across, abs=0.12))


def test_the_side_that_the_camera_goes_to_is_larger():
    images = torch.zeros(1, 1, 61, 61)
    images[..., 20:41, 5:56] = 1
    right = CameraAngle(yaw_degrees=25)(images, streams(1))[0, 0].sum(0)
    assert right[50] > right[10] * 1.15
    up = CameraAngle(pitch_degrees=25)(images.mT, streams(1))[0, 0].sum(1)
    assert up[10] > up[50] * 1.15


def test_roll_is_rotation():
    images = smooth_images(1, 31, 45)
    turned = Rotation(degrees=25)(images, streams(1))
    assert torch.allclose(CameraAngle(roll_degrees=25)(images, streams(1)), turned, atol=1e-4)


def test_a_camera_beyond_the_horizon_still_makes_a_picture():
    out = CameraAngle(pitch_degrees=80, field_of_view_degrees=120)(random_images(1, 3, 20, 20), streams(1))
    assert out.isfinite().all()


def test_the_fields_of_elastic_have_the_stated_size():
    """Away from the edge, uniform noise smoothed by a Gaussian: 1 / (sqrt(3) 2 sqrt(pi) sigma) of alpha."""
    like = torch.zeros(1, 1, 120, 120)
    change = Elastic(alpha_px=50, sigma_px=4)
    places = change.places(change.values(like), like)
    still = Elastic(alpha_px=0).places(Elastic(alpha_px=0).values(like), like)(streams(1))
    moved = torch.stack([(places(streams(1, seed)) - still)[0, 15:-15, 15:-15] * 60 for seed in range(10)])
    assert moved.square().mean().sqrt().item() == pytest.approx(50 / (6.14 * 4), rel=0.05)
    neighbours = torch.corrcoef(torch.stack((moved[:, :, 4:].flatten(), moved[:, :, :-4].flatten())))[0, 1]
    assert neighbours.item() == pytest.approx(math.exp(-1 / 4), abs=0.05)  # of fields sigma apart


def test_the_affine_part_of_elastic_moves_three_points_by_at_most_its_size():
    for seed in range(5):
        for y, x in ((50, 50), (10, 50), (10, 10)):  # 20 px from the centre, both ways
            row, column = centre(Elastic(alpha_px=0, affine_px=6)(spot(61, 61, y, x), streams(1, seed)))
            assert abs(row - y) < 6.1
            assert abs(column - x) < 6.1


def test_flips_are_exact_and_the_same_at_every_severity():
    images = random_images(2, 3, 9, 12)
    assert torch.equal(Flip(severity=0.5)(images, streams(2)), images.flip(3))
    assert torch.equal(Flip(axis="vertical")(images, streams(2)), images.flip(2))
    assert torch.equal(Flip(axis="both")(images, streams(2)), torch.rot90(images, 2, (2, 3)))


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.75])
def test_occlusion_covers_the_stated_share_and_says_so(shape, share):
    images = random_images(6, 3, 50, 80)
    change = Occlusion(share=share, shape=shape)
    covered = (change(images, streams(6)) != images).all(1).float().mean((1, 2))
    assert torch.allclose(covered, torch.full((6,), share), atol=0.012)
    assert torch.allclose(change.filled(images, streams(6)), covered)


def test_occlusion_covers_everything_with_grey_the_mean_or_noise():
    images = random_images(1, 3, 50, 80)
    assert torch.equal(Occlusion(share=1)(images, streams(1)), torch.full_like(images, 0.5))
    means = Occlusion(share=1, cover="mean")(images, streams(1))
    assert torch.allclose(means, images.mean((2, 3), keepdim=True).expand_as(images))
    noise = Occlusion(share=1, cover="noise")(images, streams(1))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)


def test_what_covers_is_at_most_twice_as_wide_as_high_or_the_other_way_round():
    grey = torch.zeros(60, 1, 100, 100)
    covered = Occlusion(share=0.1)(grey, streams(60))[:, 0] > 0
    rows, columns = (covered.any(axis).sum(1) for axis in (2, 1))
    ratios = (columns / rows).log2()
    assert -1.06 < ratios.min() < -0.7
    assert 0.7 < ratios.max() < 1.06


def test_what_was_covered_stays_covered_at_higher_severity():
    images = random_images(8, 1, 60, 60)
    less, more = (Occlusion(severity=s)(images, streams(8)) != images for s in (2, 4))
    outside = (less & ~more).float().sum() / less.float().sum()
    assert outside < 0.05  # rounding to whole pixels


def test_an_ellipse_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match=r"share=0\.9 does not fit into the image as an ellipse"):
        Occlusion(share=0.9, shape="ellipse")


WARPS = [Rotation(degrees=20), Translation(dx=0.1, dy=-0.07), Scale(factor=0.8), CameraAngle(yaw_degrees=20)]


@pytest.mark.parametrize("change", [*WARPS, Elastic(severity=4)], ids=lambda change: type(change).__name__)
def test_the_filled_share_is_what_is_black_when_the_rest_is_white(change):
    """To half a pixel of its border, on which the interpolation is grey."""
    white = torch.ones(3, 1, 100, 80)
    constant = type(change)(**{**vars(change), "fill": "constant"})
    black = (constant(white, streams(3)) < 0.5).float().mean((1, 2, 3))
    assert isinstance(change, Fills)
    assert torch.allclose(change.filled(white, streams(3)), black, atol=0.01)
    assert black.max() > 0.005


def test_filled_shares_have_closed_forms():
    images = torch.zeros(2, 3, 200, 200)
    shares = Translation(dx=0.1, dy=0.25).filled(images, streams(2))
    assert shares.tolist() == pytest.approx([1 - 0.9 * 0.75] * 2, abs=1e-5)
    assert Scale(factor=0.5).filled(images, streams(2)).tolist() == pytest.approx([0.75] * 2, abs=1e-5)
    # A square turned by 45 degrees leaves a regular octagon of 2 (sqrt(2) - 1) of its area.
    turned = Rotation(degrees=45).filled(images, streams(2))
    assert turned.tolist() == pytest.approx([3 - 2 * math.sqrt(2)] * 2, abs=0.003)
    assert Scale(factor=1.5).filled(images, streams(2)).tolist() == [0, 0]
    assert Rotation(severity=0).filled(images, streams(2)).tolist() == [0, 0]


@pytest.mark.parametrize("change", [Rotation, Translation, Scale, CameraAngle, Elastic])
def test_an_unknown_fill_is_refused(change):
    with pytest.raises(InputError, match=r"fill=black is unknown. Choose from reflect, edge, constant"):
        change(fill="black")


def test_a_switch_runs_once():
    assert _sweep("flip(axis=both)", [1, 2, 3], None, optional=False).specs == ["flip(axis=both)"]
