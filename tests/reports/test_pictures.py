import numpy as np
import pytest

from robustbench_lite.reports.pictures import amplified_difference


@pytest.mark.parametrize(("change", "factor"), [(1, 100), (-1, 100), (3, 20), (-60, 2), (127, 1), (255, 0.5)])
def test_differences_are_amplified_around_grey_without_saturating(change, factor):
    clean = np.full((2, 2, 3), 0 if change > 0 else 255, dtype=np.uint8)
    changed = clean.copy()
    changed[0, 0] = clean[0, 0] + change if change > 0 else clean[0, 0] - -change
    picture, found = amplified_difference(clean, changed)
    assert found == factor
    assert picture[0, 0, 0] == pytest.approx(127.5 + factor * change, abs=0.5)
    assert picture[1, 1, 0] == pytest.approx(127.5, abs=0.5)


def test_no_difference_is_grey_and_has_no_factor():
    picture, factor = amplified_difference(*(np.zeros((2, 2, 3), dtype=np.uint8),) * 2)
    assert factor is None
    assert (picture == 128).all()
