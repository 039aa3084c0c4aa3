"""The published sets: their tables, and the shifts that stand for them."""

import pytest

from robustbench_lite.shifts.published_tables import CORRUPTIONS, MAIN

SETS = ("imagenet_c", "tiny_imagenet_c", "cifar10_c")


def test_there_are_15_corruptions_in_the_order_of_the_published_means_and_4_more():
    assert " ".join(MAIN) == (
        "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
        "brightness contrast elastic_transform pixelate jpeg_compression"
    )
    assert {*CORRUPTIONS} - {*MAIN} == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("published", SETS)
def test_every_corruption_has_five_levels_with_a_value_for_every_argument(name, published):
    row = CORRUPTIONS[name]
    assert len(row.levels[published]) == 5
    for severity in (1, 2, 3, 4, 5):
        assert tuple(row.at(published, severity)) == row.arguments
