"""A detector from fitting to file and back, its scale, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.conformal import Threshold, least_images, threshold
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.pca import PCA
from robustbench_lite.outliers.presets import PRESETS, preset
from robustbench_lite.outliers.score import Maps, Normals, in_batches
from robustbench_lite.outliers.store import load_detector, save_detector, whole_folder
from robustbench_lite.outliers.synthetic_defects import SyntheticDefects
from robustbench_lite.outliers.tails import Tail
from robustbench_lite.outliers.units import fingerprints
from robustbench_lite.types import Cost


def waves(n: int, seed: int, side: int = 12) -> torch.Tensor:
    """Images of one wave in two phases: two dimensions, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    phase = 6 * torch.rand(n, 1, 1, 1, generator=generator)
    x = torch.arange(side) * 0.8
    noise = 0.02 * torch.randn(n, 1, side, side, generator=generator)
    return (0.5 + 0.3 * torch.sin(x + phase).expand(n, 1, side, side) + noise).clamp(0, 1)


@pytest.fixture(scope="module")
def detector():
    return fit_detector(Normals(waves(200, 0)), [(registry.make_one("score", "pca(components=2)"), 1.0)])


def test_noise_is_an_alarm_and_waves_are_not(detector):
    ready = detector.calibrated(waves(200, 1), 0.05)
    assert ready.alarms(ready(torch.rand(20, 1, 12, 12, generator=torch.Generator().manual_seed(2)))).all()
    assert 0.0 < float(ready.alarms(ready(waves(400, 3))).float().mean()) < 0.12


def test_it_comes_back_from_its_folder(detector, tmp_path):
    ready = detector.calibrated(waves(100, 1), 0.05)
    save_detector(ready, tmp_path / "d", {"data": "waves"})
    again = load_detector(tmp_path / "d")
    images = waves(7, 5)
    assert torch.equal(again(images), ready(images))
    assert again.threshold == ready.threshold
    assert again.used == ready.used
    assert isinstance(again.members[0].scorer, Maps)
    assert torch.equal(again.maps(images), ready.maps(images))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_comes_back_to_the_last_bit(name, tmp_path):
    """With a few steps of training, for the bits are those of any weights."""
    members = [
        (replace(score, steps=5) if isinstance(score, SyntheticDefects) else score, weight)
        for score, weight in preset(name)
    ]
    ready = fit_detector(Normals(waves(60, 0)), members).calibrated(waves(30, 1), 0.05)
    save_detector(ready, tmp_path / "d")
    again, images = load_detector(tmp_path / "d"), waves(7, 5)
    assert [(m.spec, m.weight) for m in again.members] == [(m.spec, m.weight) for m in ready.members]
    assert torch.equal(again(images), ready(images))
    assert torch.equal(again.maps(images), ready.maps(images))
    assert (again.threshold, again.map_scale) == (ready.threshold, ready.map_scale)
    assert (again.used, again.calibrated_on, again.groups) == (ready.used, ready.calibrated_on, ready.groups)


def test_the_maps_are_those_of_the_heaviest():
    members = [(PCA(components=k), weight) for k, weight in ((2, 0.3), (8, 0.7), (5, 0.0))]
    fitted = fit_detector(Normals(waves(60, 0)), members)
    images = waves(3, 2)
    assert torch.equal(fitted.maps(images), fitted.members[1].scorer.maps(images))


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path):
    place = tmp_path / "kept"
    for text in ("first", "second"):
        with whole_folder(place) as work:
            (work / text).write_text(text)
        assert [file.name for file in place.iterdir()] == [text]

    def stopped():
        with whole_folder(place) as work:
            (work / "third").write_text("third")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [file.name for file in tmp_path.rglob("*")] == ["kept", "second"]


def test_a_damaged_file_is_told(detector, tmp_path):
    save_detector(detector, tmp_path / "d")
    (tmp_path / "d" / "tensors.safetensors").write_bytes(b"0123456789")
    with pytest.raises(InputError, match="damaged"):
        load_detector(tmp_path / "d")
    with pytest.raises(InputError, match="no detector"):
        load_detector(tmp_path / "elsewhere")


def test_images_of_fitting_do_not_calibrate(detector):
    with pytest.raises(InputError, match="used for fitting"):
        detector.calibrated(torch.cat([waves(100, 1), waves(200, 0)[3:4]]), 0.05)


def test_groups_of_fitting_do_not_calibrate():
    groups = tuple(str(i // 4) for i in range(200))
    fitted = fit_detector(Normals(waves(200, 0), groups=groups), preset("objects"))
    with pytest.raises(InputError, match="groups"):
        fitted.calibrated(waves(100, 1), 0.05, [str(i) for i in range(49, 149)])
    ready = fitted.calibrated(waves(100, 1), 0.1, [f"other{i // 2}" for i in range(100)])
    assert ready.threshold is not None
    assert ready.threshold.n == 50  # one picture of each part


def test_other_images_are_refused(detector):
    with pytest.raises(InputError, match="shape"):
        detector(torch.zeros(2, 3, 12, 12))
    with pytest.raises(InputError, match="NaN"):
        detector(torch.full((2, 1, 12, 12), torch.nan))


def test_equal_images_do_not_break_it():
    with pytest.raises(InputError, match="too few"):
        fit_detector(Normals(torch.full((50, 1, 12, 12), 0.5)), preset("objects"))


@pytest.mark.parametrize(
    "members",
    [[], [("pca", 0.0)], [("pca", -1.0), ("hog", 2.0)], [("pca", float("nan"))], [("pca", 1.0), ("pca", 2.0)]],
)
def test_members_that_make_no_sum_are_refused(members):
    with pytest.raises(InputError, match=r"weight|twice"):
        fit_detector(Normals(waves(50, 0)), [(registry.make_one("score", name), w) for name, w in members])


def test_a_score_that_is_no_number_is_an_alarm(detector):
    ready = replace(detector, threshold=Threshold(1.0, 0.05, 19, 19, 0.05, 0.0, 0.2))
    scores = torch.tensor([0.5, 1.0, 1.5, torch.inf, torch.nan])
    assert ready.alarms(scores).tolist() == [False, False, True, True, True]


def test_the_score_is_the_weighted_sum(detector):
    members = [(registry.make_one("score", name), weight) for name, weight in (("pca", 0.75), ("hog", 0.25))]
    both = fit_detector(Normals(waves(100, 0)), [*members, (registry.make_one("score", "image_statistics"), 0.0)])
    images = waves(5, 3)
    expected = sum(
        weight * both.members[i].tail(both.members[i].scorer(images)) for i, weight in enumerate((0.75, 0.25))
    )
    assert torch.allclose(both(images), expected)
    assert torch.allclose(both.combined(both.each(images)), expected)
    assert set(both.each(images)) == {"pca", "hog", "image_statistics"}


def test_nothing_of_the_tails_or_of_the_threshold_was_fitted_to():
    """A score that keeps what it was fitted to: none of it is in the tails, nor what was seen by anyone before."""
    images, seen = waves(100, 0), list[torch.Tensor]()

    class Kept:
        kind, needs, differentiable = "score", "", True

        def fit(self, normals, parts):
            seen.append(normals.images)
            return lambda batch: (seen.append(batch), batch.mean((1, 2, 3)))[1]

        def cost(self):
            return Cost(1, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "spec", lambda thing: "kept")
        fit_detector(Normals(images), [(Kept(), 1.0)])  # type: ignore[list-item]
    fitted, tails = (set(fingerprints(part)) for part in (seen[0], torch.cat(seen[1:])))
    assert fitted.isdisjoint(tails)
    assert (len(fitted), len(tails)) == (80, 20)


def test_gradients_reach_the_image(detector):
    images = waves(2, 7).requires_grad_()
    detector(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_scores_do_not_depend_on_the_batch(detector):
    images = waves(9, 4)
    assert torch.allclose(in_batches(detector, images, 2), in_batches(detector, images, 9), atol=1e-6)


class TestTail:
    def test_it_says_how_often(self):
        """Of an exponential distribution −log p is the score itself."""
        scores = torch.from_numpy(np.random.default_rng(0).exponential(size=20_000))
        tail = Tail.of(scores)
        at = torch.tensor([0.2, 1.0, 2.0, 5.0, 9.0], dtype=torch.float64)
        assert torch.allclose(tail(at), at, atol=0.25)

    def test_it_rises(self):
        tail = Tail.of(torch.from_numpy(np.random.default_rng(1).normal(size=200)))
        found = tail(torch.linspace(-5, 200, 4000))
        assert (found.diff() >= 0).all()
        assert (found[3000:].diff() > 0).all()

    def test_it_is_what_was_counted(self):
        """Below the tail −log of the share of scores at least as high, of one more score than there are."""
        tail = Tail.of(torch.arange(99.0))
        counted = -torch.log((99 - torch.tensor([0.0, 10.0, 50.0, 80.0]) + 1) / 100)
        assert torch.allclose(tail(torch.tensor([0.0, 10.0, 50.0, 80.0])), counted, atol=1e-6)
        assert float(tail(torch.tensor([10.5]))) == pytest.approx(float(tail(torch.tensor([10.0, 11.0])).mean()))
        # At the 85 % quantile, 83.3, 15 of 99 are as high; from there the mean excess is the scale, 7.7.
        beyond = tail(torch.tensor([83.3, 91.0, 98.7]))
        assert torch.allclose(beyond, -torch.log(torch.tensor(0.16)) + torch.tensor([0.0, 1.0, 2.0]), atol=1e-3)

    def test_it_bends_far_out(self):
        tail = Tail.of(torch.arange(99.0))
        found = tail(torch.tensor([1e3, 1e6, 1e9]))
        assert (found > 30).all()
        assert (found < 250).all()

    def test_scores_that_differ_by_a_rounding_are_told(self):
        """Between two neighbours of float32 the tail has no place to begin: it must not double one of them."""
        above = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
        scores = torch.ones(20)
        scores[17:] = above
        tail = Tail.of(scores)
        assert (tail.knots.diff() > 0).all()
        assert tail(torch.tensor([0.5, 1.0, float(above)])).isfinite().all()

    def test_few_or_broken_scores_are_refused(self):
        with pytest.raises(InputError, match="too few"):
            Tail.of(torch.zeros(3))
        with pytest.raises(InputError, match="NaN"):
            Tail.of(torch.full((20,), torch.nan))


class TestThreshold:
    def test_so_many_images_it_takes(self):
        assert threshold(np.arange(99.0), 0.01).rank == 99
        with pytest.raises(InputError, match="takes 99"):
            threshold(np.arange(98.0), 0.01)
        assert [least_images(rate) for rate in (0.5, 0.1, 0.05)] == [1, 9, 19]

    @pytest.mark.parametrize(
        ("n", "rate", "rank"), [(99, 0.01, 99), (265, 0.01, 264), (1000, 0.01, 991), (40, 0.1, 37), (9, 0.1, 9)]
    )
    def test_the_rank_is_that_of_one_score_more(self, n, rate, rank):
        scores = np.random.default_rng(0).permutation(n).astype(float)
        found = threshold(scores, rate)
        assert (found.rank, found.value) == (rank, rank - 1)
        assert found.mean == pytest.approx((n + 1 - rank) / (n + 1))
        assert found.mean <= rate + 1e-12

    def test_the_range_of_the_highest_of_n_is_known(self):
        """Above the highest of 99 uniform numbers lies less than r with a chance of 1 − (1 − r)⁹⁹."""
        found = threshold(np.arange(99.0), 0.01)
        assert found.rate_low == pytest.approx(1 - 0.975 ** (1 / 99))
        assert found.rate_high == pytest.approx(1 - 0.025 ** (1 / 99))

    def test_the_promise_is_kept_on_average(self):
        """2,000 draws of 40 calibration and 500 new scores: the realised rates are beta-binomial."""
        random = np.random.default_rng(3)
        found = []
        for _ in range(2000):
            scores = random.normal(size=540)
            found.append((scores[40:] > threshold(scores[:40], 0.1).value).mean())
        promised = threshold(np.arange(40.0), 0.1)
        expected = betabinom(500, 41 - promised.rank, promised.rank)
        assert np.mean(found) == pytest.approx(promised.mean, abs=4 * expected.std() / 500 / 2000**0.5)
        assert np.std(found) == pytest.approx(expected.std() / 500, rel=0.1)
        assert ((np.array(found) >= promised.rate_low) & (np.array(found) <= promised.rate_high)).mean() > 0.92
