"""The two-sample test guesses where there is nothing to tell, and tells what is there."""

from __future__ import annotations

import numpy as np
import pytest
from made_images import correlated

from robustbench_lite.errors import InputError
from robustbench_lite.generative.density import PCA, Histogram
from robustbench_lite.generative.two_sample import (
    FEWEST,
    MOST,
    PrincipalFeatures,
    compare,
    compare_samples,
    kernel_distance,
)

SHAPE = (1, 5, 6)
TRAIN, UNSEEN = correlated(300, SHAPE, spread=0.1), correlated(600, SHAPE, seed=0, spread=0.1)[300:]


def drawn(count, seed):
    """Other images of the same distribution: `correlated` mixes by its seed, so its first images are skipped."""
    return correlated(3000, SHAPE, spread=0.1)[1000 + 500 * seed :][:count]


def noise(count):
    return np.random.default_rng(1).random((count, *SHAPE))


def test_same_distribution_is_a_guess_and_noise_is_told():
    found = compare_samples(TRAIN, UNSEEN, {"same": lambda n: drawn(n, 1), "noise": noise})
    assert found.n == 150
    assert found.features == "20 principal axes and the distance from them"
    for guess in (found.floor, found.models["same"]):
        assert guess.ci_low < 0.5 < guess.ci_high
        assert abs(guess.kid) < 0.1
    told = found.models["noise"]
    assert told.accuracy > 0.97
    assert told.kid > 1
    assert told.ci_low <= told.accuracy <= told.ci_high <= 1


def test_intervals_hold_for_equal_distributions():
    random = np.random.default_rng(0)
    found = [compare(random.standard_normal((40, 4)), random.standard_normal((40, 4)), seed=i) for i in range(40)]
    assert sum(f.ci_low <= 0.5 <= f.ci_high for f in found) >= 38
    kids = np.array([f.kid for f in found])
    assert abs(kids.mean()) < 4 * kids.std() / np.sqrt(40)  # unbiased


def test_a_model_that_knows_correlations_is_told_less_often_than_one_that_does_not():
    models = {"histogram": Histogram().fit(TRAIN), "pca": PCA(20).fit(TRAIN)}
    found = compare_samples(TRAIN, UNSEEN, {name: model.sample for name, model in models.items()}).models
    assert found["pca"].ci_high < found["histogram"].ci_low
    assert found["pca"].kid < found["histogram"].kid


def test_a_spread_is_told_and_not_only_a_mean():
    random = np.random.default_rng(0)
    assert compare(random.standard_normal((200, 3)), 2 * random.standard_normal((200, 3))).accuracy > 0.7


def test_kernel_distance_is_the_formula():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((7, 3)), random.standard_normal((5, 3)) + 1

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    def mean(pairs):
        pairs = list(pairs)
        return sum(pairs) / len(pairs)

    truth = mean(k(a[i], a[j]) for i in range(7) for j in range(7) if i != j)
    truth += mean(k(b[i], b[j]) for i in range(5) for j in range(5) if i != j)
    truth -= 2 * mean(k(x, y) for x in a for y in b)
    assert kernel_distance(a, b) == pytest.approx(truth)


def test_rounding_to_8_bits_gives_nothing_away():
    stored = np.round(UNSEEN * 255) / 255
    features = PrincipalFeatures(TRAIN)
    np.testing.assert_array_equal(features(stored), features(UNSEEN))
    assert features(UNSEEN).shape == (300, 21)
    assert PrincipalFeatures(TRAIN[:5]).name == "4 principal axes and the distance from them"


def test_the_same_seed_says_the_same_and_nothing_global_is_touched():
    before = np.random.get_state()[1].copy()
    found = [compare_samples(TRAIN, UNSEEN, {"noise": noise}, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_pictures_of_one_part_are_not_told_by_their_twins():
    """Ten pictures of each of 30 parts: alone, the classifier recognises parts; by group it has to guess."""
    random = np.random.default_rng(0)
    parts = np.clip(0.5 + 0.1 * random.standard_normal((30, *SHAPE)), 0, 1).repeat(10, axis=0)
    groups = [f"part{i // 10}" for i in range(300)]
    alone = compare_samples(TRAIN, parts, {})
    grouped = compare_samples(TRAIN, parts, {}, groups=groups)
    assert grouped.n == alone.n == 150
    assert grouped.floor.ci_low < 0.5 < grouped.floor.ci_high
    assert grouped.floor.ci_high - grouped.floor.ci_low > 2 * (alone.floor.ci_high - alone.floor.ci_low)


def test_few_images_are_refused_and_many_are_enough():
    with pytest.raises(InputError, match="39 images held out are too few"):
        compare_samples(TRAIN, UNSEEN[: 2 * FEWEST - 1], {})
    assert compare_samples(TRAIN, UNSEEN[: 2 * FEWEST], {}).n == FEWEST
    assert compare_samples(TRAIN, np.tile(UNSEEN, (4, 1, 1, 1)), {}).n == MOST
