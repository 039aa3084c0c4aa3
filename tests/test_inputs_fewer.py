"""What is said if fewer images are there than were asked for."""

import pytest

from robustbench_lite.inputs import Inputs


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, ()),
        ({"limit": 360}, ()),
        ({"limit": 5000}, ("there are only 360 images: --limit 5000 takes them all",)),
        ({"first": 361}, ("there are only 360 images: --first 361 takes them all",)),
    ],
)
def test_fewer_images_than_asked_for(asked, said):
    assert Inputs(**asked).fewer(360) == said
