"""Exact tests, against statsmodels."""

import numpy as np
import pytest

from robustbench_lite.significance import change_p, holm, mcnemar


@pytest.mark.parametrize(("broken", "mended"), [(0, 0), (1, 0), (5, 0), (0, 6), (3, 12), (7, 7), (120, 80)])
def test_mcnemar_is_that_of_statsmodels(broken, mended):
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    expected = theirs([[50, broken], [mended, 30]], exact=True).pvalue if broken + mended else 1.0
    assert mcnemar(broken, mended) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_holm_is_that_of_statsmodels(n):
    from statsmodels.stats.multitest import multipletests

    found = (np.random.default_rng(n).integers(0, 9, n) / 100).tolist()  # some of them equal
    assert holm(found) == pytest.approx(multipletests(found, method="holm")[1], abs=1e-12)


def test_nothing_to_correct():
    assert holm([]) == []


def test_without_groups_every_image_counts():
    before, after = np.array([1, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1])
    assert change_p(before, after) == mcnemar(3, 1)


def test_pictures_of_one_part_count_once():
    before = np.ones(12, int)
    after = np.zeros(12, int)
    groups = np.repeat(["a", "b", "c"], 4)
    assert change_p(before, after, groups) == mcnemar(3, 0)
    assert change_p(before, after, np.repeat(None, 12)) == mcnemar(1, 0)


def test_grouped_p_is_small_as_rarely_as_it_says():
    """Where all pictures of a part change together, McNemar's on the pictures would cry wolf."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    alone = grouped = 0
    for _ in range(400):
        right = rng.random((2, 40)) < 0.7
        before, after = np.repeat(right[0], 10), np.repeat(right[1], 10)
        grouped += change_p(before, after, groups) <= 0.05
        alone += change_p(before, after) <= 0.05
    assert grouped <= 0.07 * 400
    assert alone > 0.3 * 400
