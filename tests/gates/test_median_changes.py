"""The bounds of a change of the median."""

import math

import numpy as np
import pytest
from gate_runs import simple_run

from robustbench_lite.gates.bounds import apart
from robustbench_lite.gates.distortion import fall_of_the_median, median_estimate
from robustbench_lite.gates.gate import gate
from robustbench_lite.gates.rule import Rule


def sizes(n=200, seed=0, scale=1.0):
    return np.random.default_rng(seed).exponential(scale, n)


def test_of_unrelated_networks_the_bounds_are_zou_and_donners():
    """Their equation (1), from the sign test's bounds: the correlation is 0 here, and minus a little."""
    before = np.tile([0.0, 1.0, 2.0, 3.0], 50) + np.arange(200) / 1e4
    after = np.repeat([0.0, 1.0, 2.0, 3.0], 50) + np.arange(200) / 1e4
    one, other = median_estimate(before, None), median_estimate(after, None)
    found = fall_of_the_median(before, after, None)
    for alpha in (0.01, 0.05):
        below = math.hypot(one.value - one.lower(alpha), other.upper(alpha) - other.value)
        above = math.hypot(one.upper(alpha) - one.value, other.value - other.lower(alpha))
        assert found.lower(alpha) == pytest.approx(found.value - below, rel=0.02)
        assert found.upper(alpha) == pytest.approx(found.value + above, rel=0.02)


def test_the_more_alike_two_networks_are_the_surer_is_the_change():
    before = sizes()
    rng = np.random.default_rng(1)
    widths = []
    for noise in (0.0, 0.3, 3.0):
        found = fall_of_the_median(before, before * np.exp(rng.normal(0, noise, 200)), None)
        widths.append(found.upper(0.05) - found.lower(0.05))
        assert found.lower(0.05) < found.value < found.upper(0.05)
    assert 0 < widths[0] < widths[1] < widths[2]
    apart = fall_of_the_median(before, rng.permutation(before), None)  # the same sizes, of other images
    assert widths[0] < 0.7 * (apart.upper(0.05) - apart.lower(0.05))


def test_groups_are_the_units():
    hard = np.repeat(sizes(50), 4)  # four pictures of each part, alike
    other = np.repeat(sizes(50, seed=1), 4)
    alone, grouped = (fall_of_the_median(hard, other, groups) for groups in (None, np.arange(200) // 4))
    assert grouped.lower(0.05) < alone.lower(0.05)
    assert grouped.upper(0.05) > alone.upper(0.05)
    one = fall_of_the_median(hard, other, np.zeros(200))
    assert (one.lower(0.05), one.upper(0.05)) == (-math.inf, math.inf)


def test_of_a_network_that_most_images_are_never_lost_for():
    robust, weak = np.where(np.arange(200) < 190, np.inf, 1.0), sizes()
    fallen = fall_of_the_median(robust, weak, None)
    assert (fallen.value, fallen.lower(0.05), fallen.upper(0.05)) == (math.inf, math.inf, math.inf)
    risen = fall_of_the_median(weak, robust, None)
    assert risen.upper(0.05) == -math.inf
    some = np.where(np.arange(200) < 104, np.inf, 1.0)  # the lower bound of this one is finite
    low = fall_of_the_median(some, weak, None).lower(0.05)
    assert low == apart(median_estimate(some, None), median_estimate(weak, None)).lower(0.05)
    assert math.isfinite(low)
    both = fall_of_the_median(some, np.where(np.arange(200) < 98, np.inf, 1.0), None)
    assert both.lower(0.05) == -math.inf  # infinity less infinity is no number
    assert math.isnan(fall_of_the_median(robust, robust, None).value)


def test_networks_that_lose_less_than_half_have_no_medians_to_compare():
    threats = [{"norm": "l2", "eps": None, "minimal": True}]

    def verdict(right, right_before):
        sides = [
            simple_run(right, 100, path=path, spec="cw(norm=l2)", kind="attack", threats=threats)
            for path, right in (("run", right), ("old", right_before))
        ]
        (result,) = gate(
            sides[0], Rule(id="r", metric="median_distortion", max_drop=0.1), baseline=sides[1]
        ).results
        return result.verdict, result.words

    told, words = verdict(70, 70)
    assert told == "ERROR"
    assert "neither network loses half of the images under cw(norm=l2)" in words
    assert verdict(90, 20)[0] == "PASS"
    assert verdict(20, 90)[0] == "FAIL"
