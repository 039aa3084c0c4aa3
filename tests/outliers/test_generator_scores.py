"""Scores from a generator, against closed forms of a linear Gaussian one and other people's formulas."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from linear_gaussian import LinearGaussian
from PIL import Image
from scipy.ndimage import convolve
from scipy.stats import gaussian_kde

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.generative import bounds
from robustbench_lite.generative.pixels import bits_per_dim
from robustbench_lite.outliers.asking import fixed_noise, reduced
from robustbench_lite.outliers.complexity import png_nats
from robustbench_lite.outliers.reconstruction import smoothed, ssim
from robustbench_lite.outliers.score import Maps, Normals, Parts
from robustbench_lite.outliers.statistics import statistics_of

SPECS = [
    *("reconstruction", "reconstruction(measure=ssim)", "reconstruction(measure=max)", "elbo", "elbo(samples=3)"),
    *("importance(k=5)", "regret(steps=5)", "complexity", "typicality", "statistics"),
]
EXACT = LinearGaussian()
WRONG = LinearGaussian(shift=0.15, log_scale=0.5)


def fitted(spec, model=EXACT, seed=0, normals=None):
    images = model.draw(200) if normals is None else normals
    return registry.make_one("score", spec).fit(Normals(images, seed=seed), Parts(generator=model))


def rand(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape)).float()


class TestLikelihood:
    def test_with_the_exact_posterior_every_bound_is_the_likelihood(self):
        """The bound is tight: its mean over draws; with importance weights every single draw."""
        images, exact = EXACT.draw(20, 1), EXACT.exact(EXACT.draw(20, 1))
        assert fitted("importance(k=1)")(images).numpy() == pytest.approx(-exact, abs=1e-3)
        assert fitted("elbo(samples=4000)")(images).numpy() == pytest.approx(-exact, abs=0.1)

    def test_another_posterior_can_be_judged(self):
        """Where the encoder errs, the exact posterior of the same model still makes the bound tight."""
        images = EXACT.draw(20, 1)
        noise = fixed_noise(torch.tensor(0), "elbo", 4000, WRONG, images)
        told = bounds.elbo(WRONG, images, noise, EXACT.posterior(images)).nats
        assert told.numpy() == pytest.approx(EXACT.exact(images), abs=0.1)
        assert float((told - bounds.elbo(WRONG, images, noise).nats).min()) > 0.1

    def test_the_bounds_are_in_order(self):
        """−log p ≤ −IW ≤ −ELBO where the encoder errs, and more draws come closer."""
        images, exact = WRONG.draw(5, 1), -WRONG.exact(WRONG.draw(5, 1)).mean()

        def mean(spec, seeds):  # the noise is the same for all images, so a mean over images is not enough
            return float(np.mean([fitted(spec, WRONG, seed)(images).mean() for seed in range(seeds)]))

        elbo, few, many = (
            mean("elbo(samples=100)", 30),
            mean("importance(k=5)", 50),
            mean("importance(k=500)", 15),
        )
        assert elbo > few > many
        assert elbo - exact == pytest.approx(WRONG.regret(), rel=0.1)
        assert many == pytest.approx(exact, abs=0.09)  # four standard errors over seeds

    def test_another_seed_is_other_noise(self):
        images = EXACT.draw(3, 1)
        assert not torch.equal(fitted("elbo")(images), fitted("elbo", seed=1)(images))
        assert torch.equal(fitted("elbo", seed=1)(images), fitted("elbo", seed=1)(images))

    def test_typicality_has_two_sides(self):
        """What is likelier than usual is as odd: the mean image is the likeliest of all."""
        mean = torch.full((1, 1, 8, 8), 0.5)
        far = torch.cat([mean, rand(1, 1, 8, 8)])
        assert float(fitted("elbo")(mean)) < float(fitted("elbo")(EXACT.draw(50, 1)).min())
        assert float(fitted("typicality")(far).min()) > float(fitted("typicality")(EXACT.draw(50, 1)).max())

    def test_typicality_is_the_distance_from_the_mean(self):
        normals, images = EXACT.draw(100), EXACT.draw(10, 1)
        bound = fitted("elbo")
        wanted = (bound(images) - bound(normals).mean()).abs()
        assert torch.allclose(fitted("typicality", normals=normals)(images), wanted, atol=1e-3)


class TestRegret:
    def test_it_is_the_divergence_of_the_encoder(self):
        """The best diagonal posterior is the exact one, so the regret is the closed form for every image."""
        found = fitted("regret(steps=100)", WRONG)(WRONG.draw(30, 1))
        assert float(found.mean()) == pytest.approx(WRONG.regret(), rel=0.1)

    def test_it_is_not_negative_and_nothing_to_an_exact_encoder(self):
        images = torch.cat([EXACT.draw(20, 1), rand(20, 1, 8, 8)])
        found = fitted("regret")(images)
        assert (found >= 0).all()
        assert float(found.mean()) < 0.02 * WRONG.regret()

    def test_it_says_what_it_costs(self):
        assert registry.make_one("score", "regret(steps=7)").cost() == (7 + 16, 7)
        assert registry.make_one("score", "importance").cost() == (50, 0)
        assert registry.make_one("score", "elbo").cost() == (1, 0)

    def test_the_cost_is_what_is_spent(self):
        class Counted(LinearGaussian):
            calls = 0

            def log_likelihood(self, images, latents):
                Counted.calls += 1
                return super().log_likelihood(images, latents)

        model = Counted()
        for spec in ("regret(steps=7)", "importance(k=5)", "elbo(samples=3)", "typicality"):
            scorer = fitted(spec, model)
            Counted.calls = 0
            scorer(EXACT.draw(2))
            assert Counted.calls == registry.make_one("score", spec).cost().forwards, spec


class TestReconstruction:
    def test_mse_is_what_lies_off_the_axes(self):
        """The residual of the exact encoder, by a projection in float64."""
        images = EXACT.draw(9, 1)
        values, weight = images.double().flatten(1).numpy() - 0.5, EXACT.weight.double().numpy()
        inner = np.linalg.inv(weight.T @ weight + EXACT.deviation**2 * np.eye(3))
        wanted = ((values - values @ weight @ inner @ weight.T) ** 2).mean(1)
        assert fitted("reconstruction")(images).numpy() == pytest.approx(wanted, rel=1e-4)

    def test_ssim_is_the_published_formula(self):
        a, b = rand(2, 20, 23), rand(2, 20, 23, seed=1)
        at = np.arange(-5, 6)
        line = np.exp(-0.5 * (at / 1.5) ** 2)
        window = np.outer(line, line) / line.sum() ** 2
        found = ssim(a[:, None], b[:, None]).numpy()[:, 0, 5:-5, 5:-5]
        for x, y, map_ in zip(a.double().numpy(), b.double().numpy(), found, strict=True):
            mx, my, xx, yy, xy = (convolve(v, window)[5:-5, 5:-5] for v in (x, y, x * x, y * y, x * y))
            top = (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)
            bottom = (mx**2 + my**2 + 1e-4) * (xx - mx**2 + yy - my**2 + 9e-4)
            assert map_ == pytest.approx(top / bottom, abs=1e-4)

    def test_ssim_agrees_with_skimage(self):
        metrics = pytest.importorskip("skimage.metrics")
        a, b = rand(24, 24), rand(24, 24, seed=1)
        wanted = metrics.structural_similarity(
            *(a.numpy(), b.numpy()), gaussian_weights=True, use_sample_covariance=False, data_range=1.0
        )
        found = ssim(a[None, None], b[None, None])[..., 5:-5, 5:-5].mean()
        assert float(found) == pytest.approx(float(wanted), abs=1e-4)

    def test_equal_images_are_alike(self):
        image = rand(1, 1, 9, 13)
        assert torch.allclose(ssim(image, image), torch.ones(1, 1, 9, 13), atol=1e-5)
        assert torch.allclose(smoothed(torch.ones(1, 1, 9, 13)), torch.ones(1, 1, 9, 13))

    @pytest.mark.parametrize("measure", ["mse", "ssim", "max"])
    def test_maps_are_highest_at_a_defect(self, measure):
        model = LinearGaussian(shape=(1, 24, 24), deviation=0.02)
        image = model.draw(1, 1)
        image[0, 0, 4:8, 15:19] = 1
        scorer = fitted(f"reconstruction(measure={measure})", model)
        assert isinstance(scorer, Maps)
        row, column = divmod(int(scorer.maps(image).argmax()), 24)
        assert 3 <= row <= 8
        assert 14 <= column <= 19

    def test_a_local_maximum_sees_what_is_small(self):
        """A spot of half the noise's total energy hides in the mean, not in the maximum."""
        model = LinearGaussian(shape=(1, 32, 32), deviation=0.05)
        normal, spotted = model.draw(60, 1), model.draw(60, 2)
        spotted[:, :, 10:13, 10:13] += 0.15
        margins = {}
        for measure in ("mse", "max"):
            scorer = fitted(f"reconstruction(measure={measure})", model)
            margins[measure] = float((scorer(spotted)[:, None] > scorer(normal)).float().mean())
        assert margins["max"] > 0.95 > margins["mse"] + 0.05


class TestComplexity:
    def test_it_is_the_bound_less_the_png(self):
        images = EXACT.draw(4, 1)
        bits = []
        for image in images:
            file = io.BytesIO()
            Image.fromarray((image[0] * 255).round().byte().numpy()).save(file, "PNG")
            bits.append(8 * len(file.getvalue()))
        nats = fitted("elbo")(images) - fitted("complexity")(images)
        assert [bits_per_dim(-n, 1) for n in nats.tolist()] == pytest.approx(bits, rel=1e-4)

    @pytest.mark.parametrize("channels", [1, 3, 4, 7])
    def test_a_constant_is_shorter_than_noise(self, channels):
        constant, noise = png_nats(torch.cat([torch.zeros(1, channels, 16, 16), rand(1, channels, 16, 16)]))
        assert 0 < constant < 0.7 * noise
        assert noise > 0.9 * channels * 256 * 8 * math.log(2)  # noise cannot be compressed


class TestStatistics:
    def test_it_is_the_sum_of_kernel_densities(self):
        normals, images = EXACT.draw(80), EXACT.draw(6, 1)
        noise = fixed_noise(torch.tensor(0), "statistics", 1, EXACT, images)
        known, asked = (statistics_of(EXACT, x, noise).double().numpy() for x in (normals, images))
        wanted = np.zeros(6)
        for j in range(5):  # the sixth is the same for every image of a linear model
            wanted -= np.log(gaussian_kde(known[:, j], len(known) ** -0.2 * (79 / 80) ** 0.5)(asked[:, j]))
        found = fitted("statistics", normals=normals)(images).numpy()
        assert np.ptp(found - wanted) < 0.02 * np.ptp(wanted)

    def test_it_sees_what_is_too_likely(self):
        mean = torch.full((1, 1, 8, 8), 0.5)
        assert float(fitted("statistics")(mean)) > float(fitted("statistics")(EXACT.draw(50, 1)).max())

    def test_many_images_are_told_by_quantiles(self):
        few, many = fitted("statistics", normals=EXACT.draw(500)), fitted("statistics", normals=EXACT.draw(3000))
        assert len(many.state()["knots"]) == 512
        images = EXACT.draw(20, 1)
        assert torch.corrcoef(torch.stack([few(images), many(images)]))[0, 1] > 0.9


@pytest.mark.parametrize("spec", SPECS)
class TestEvery:
    def test_it_comes_back_from_its_state(self, spec):
        scorer, images = fitted(spec, seed=3), EXACT.draw(5, 1)
        score = registry.make_one("score", spec)
        assert registry.make_one("score", registry.spec(score)) == score
        again = score.restore(scorer.state(), (1, 8, 8), Parts(generator=EXACT))
        assert torch.equal(again(images), scorer(images))

    def test_an_image_is_judged_alone(self, spec):
        scorer, images = fitted(spec), EXACT.draw(5, 1)
        found = scorer(images)
        assert found.shape == (5,)
        assert found.dtype == torch.float32
        assert torch.allclose(found.flip(0), torch.cat([scorer(i[None]) for i in images.flip(0)]), rtol=1e-4)

    def test_larger_images_are_reduced(self, spec):
        """Each pixel of the generator is the mean of an area."""
        scorer, images = fitted(spec, normals=EXACT.draw(50).repeat_interleave(3, 2)), EXACT.draw(4, 1)
        large = images.repeat_interleave(3, 2).repeat_interleave(2, 3)
        assert torch.allclose(scorer(large), scorer(images), rtol=1e-4, atol=1e-4)
        if isinstance(scorer, Maps):
            assert scorer.maps(large).shape == (4, 24, 16)

    def test_gradients_reach_the_image(self, spec):
        scorer, images = fitted(spec), EXACT.draw(2, 1).requires_grad_()
        found = scorer(images)
        assert found.requires_grad == registry.make_one("score", spec).differentiable
        if found.requires_grad:
            (slope,) = torch.autograd.grad(found.sum(), images)
            assert (slope.flatten(1).abs().sum(1) > 0).all()

    def test_odd_images_do_not_break_it(self, spec):
        odd = torch.cat([torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8), rand(1, 1, 8, 8)])
        assert fitted(spec)(odd).isfinite().all()
        assert fitted(spec, normals=torch.full((20, 1, 8, 8), 0.5))(odd).isfinite().all()

    def test_other_generators_are_refused(self, spec):
        with pytest.raises(InputError, match="generator"):
            fitted(spec, normals=rand(5, 1, 6, 8))
        with pytest.raises(InputError, match="channels"):
            fitted(spec, normals=rand(5, 3, 8, 8))
        with pytest.raises(InputError, match="asks a"):
            registry.make_one("score", spec).fit(Normals(rand(5, 1, 8, 8)), Parts())


@pytest.mark.parametrize(
    "spec",
    ["elbo(samples=0)", "statistics(samples=0)", "typicality(samples=0)", "importance(k=0)", "regret(steps=0)"],
)
def test_values_out_of_range_are_refused(spec):
    with pytest.raises(InputError, match="at least 1"):
        registry.make_one("score", spec)


def test_without_a_likelihood_there_is_only_reconstruction():
    class Plain(torch.nn.Module):
        shape, latents = (1, 8, 8), 2

        def encode(self, images):
            return images.flatten(1)[:, :2]

        def decode(self, latents):
            return latents.mean(1)[:, None, None, None].expand(-1, 1, 8, 8)

    assert fitted("reconstruction", Plain(), normals=rand(5, 1, 8, 8))(rand(2, 1, 8, 8)).shape == (2,)
    with pytest.raises(InputError, match="likelihood"):
        fitted("elbo", Plain(), normals=rand(5, 1, 8, 8))


def test_images_go_to_the_device_of_the_generator():
    model = torch.nn.Conv2d(1, 1, 1)
    model.shape = (1, 8, 8)
    for device in ("cpu", "meta"):
        model.to(device)
        for size in (8, 16):
            assert reduced(torch.zeros(2, 1, size, size), model).device.type == device
