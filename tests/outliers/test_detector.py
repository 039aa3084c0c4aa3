"""A detector from fitting to file and back, its scale, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.conformal import least_images, threshold
from robustbench_lite.outliers.detector import fingerprints, fit_detector
from robustbench_lite.outliers.presets import preset
from robustbench_lite.outliers.score import Maps, Normals, in_batches
from robustbench_lite.outliers.store import load_detector, save_detector
from robustbench_lite.outliers.tails import Tail


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


def test_fingerprints_know_pixels_only():
    images = waves(3, 0)
    assert fingerprints(images) == fingerprints(images.clone())
    assert len(set(fingerprints(images))) == 3


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
        assert ((np.array(found) >= promised.low) & (np.array(found) <= promised.high)).mean() > 0.92
