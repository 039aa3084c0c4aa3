"""What every registered score must do, whatever it measures."""

from __future__ import annotations

import copy
import functools
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from score_parts import SHAPE, fresh_classifier, noise, normals, parts, stripes
from sklearn.metrics import roc_auc_score

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.score import Maps, Normals, Parts

# A score that takes long to fit or to ask is tried with cheaper arguments: name -> spec.
CHEAPER: dict[str, str] = {
    "importance": "importance(k=5)",
    "regret": "regret(steps=10)",
    "synthetic_defects": "synthetic_defects(steps=10)",
}
# Scores that cannot tell noise from stripes, and why: name -> reason.
BLIND_TO_NOISE: dict[str, str] = {}

NAMES = sorted(registry.names("score"))
SHAPES = [(1, 8, 8), (3, 9, 13), (4, 32, 32), (7, 11, 8)]


def made(name):
    return registry.make_one("score", CHEAPER.get(name, name))


@functools.cache
def fitted(name, shape=SHAPE):
    return made(name).fit(normals(shape), parts(shape, made(name).needs))


def close(a, b):
    """Equal but for rounding: of the values themselves, or of what they lie apart."""
    spread = float(torch.cat([a, b]).max() - torch.cat([a, b]).min())
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4 * spread + 1e-7)


def images(n=9, seed=5, shape=SHAPE):
    """Normal images that nothing was fitted to, and noise."""
    return torch.cat([stripes(n - 3, seed, shape)[0], noise(3, seed, shape)])


def world(asked):
    """Everything outside a score that it must leave alone."""
    found = [torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))]
    network, generator = asked.classifier.network, asked.generator
    found += [value.clone() for part in (network, generator) for value in part.state_dict().values()]
    wanted = [(p.requires_grad, p.grad is None) for part in (network, generator) for p in part.parameters()]
    modes = [module.training for part in (network, generator) for module in part.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()]
    rest = (random.getstate(), torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
    return found, (wanted, modes, hooks, rest)


@pytest.mark.parametrize("name", NAMES)
def test_its_spec_is_its_inverse(name):
    for score in (registry.make_one("score", name), made(name)):
        assert registry.make_one("score", registry.spec(score)) == score
    assert registry.spec(registry.make_one("score", name)) == name


@pytest.mark.parametrize("shape", [SHAPE, *SHAPES], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_number_of_channels(name, shape):
    scorer, given = fitted(name, shape), images(shape=shape)
    before = given.clone()
    with torch.no_grad():
        found = scorer(given)
    assert found.shape == (len(given),)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.unique().numel() > 1
    if isinstance(scorer, Maps):
        maps = scorer.maps(given).detach()
        assert maps.shape == (len(given), *shape[1:])
        assert maps.dtype == torch.float32
        assert maps.isfinite().all()
    assert torch.equal(given, before)


@pytest.mark.parametrize("name", NAMES)
def test_no_image_depends_on_the_others(name):
    scorer, given = fitted(name), images()
    with torch.no_grad():
        whole = scorer(given)
        order = torch.tensor([4, 8, 0, 7, 2, 6, 1, 3, 5])
        assert close(scorer(given[order]), whole[order])
        for size in (1, 2, 4):
            assert close(torch.cat([scorer(some) for some in given.split(size)]), whole)
        assert torch.equal(scorer(given), whole)
    if isinstance(scorer, Maps):
        maps = scorer.maps(given).detach()
        assert close(torch.cat([scorer.maps(some).detach() for some in given.split(4)]), maps)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is_touched(name):
    asked = Parts(fresh_classifier(), copy.deepcopy(parts().generator))
    kept, rest = world(asked)
    given = normals()
    before = given.images.clone()
    scorer = made(name).fit(given, asked)
    scorer(images()).sum()
    if made(name).differentiable:
        scorer(images().requires_grad_()).sum().backward()
    now, rest_now = world(asked)
    assert rest_now == rest
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))
    assert torch.equal(given.images, before)
    with torch.no_grad():
        assert torch.equal(scorer(images()), fitted(name)(images()))  # fitted once more, it is the same


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_back_from_its_state(name):
    scorer, given = fitted(name), images()
    state = scorer.state()
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())
    again = made(name).restore(load(save(state)), SHAPE, parts())
    with torch.no_grad():
        assert torch.equal(again(given), scorer(given))
    assert isinstance(again, Maps) == isinstance(scorer, Maps)
    if isinstance(scorer, Maps):
        assert torch.equal(again.maps(given), scorer.maps(given))


@pytest.mark.parametrize("name", [name for name in NAMES if registry.load("score", name).differentiable])
def test_gradients_are_those_of_finite_differences(name):
    """Along the gradient and along another direction; the step that rounding and bends disturb least counts.

    Small steps for scores that bend soon, as where another pixel becomes the median.
    """
    scorer = fitted(name)
    for image in images(5)[1:4]:  # two normal ones, and noise
        x = (0.1 + 0.8 * image[None]).requires_grad_()
        (gradient,) = torch.autograd.grad(scorer(x).sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0
        length = float(gradient.norm())
        other = torch.where(noise(1, 3) < 0.5, gradient, gradient.flip(3)).sign()
        for direction in (gradient / length, other / other.norm()):
            with torch.no_grad():
                found = [
                    float(scorer(x + h * direction) - scorer(x - h * direction)) / (2 * h)
                    for h in (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
                ]
            expected = float((gradient * direction).sum())
            assert min(abs(value - expected) for value in found) < 0.05 * length, (found, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BLIND_TO_NOISE])
def test_noise_is_outlying(name):
    with torch.no_grad():
        normal, outlying = fitted(name)(stripes(60, 9)[0]), fitted(name)(noise(60, 9))
    truth = [0] * 60 + [1] * 60
    assert roc_auc_score(truth, torch.cat([normal, outlying])) > 0.6


DEGENERATE = {
    "identical images": normals(n=1).images.expand(20, *SHAPE),
    "constant images": torch.linspace(0, 1, 20).view(-1, 1, 1, 1).expand(20, *SHAPE),
    "black images": torch.zeros(20, *SHAPE),
    "constant pixels": torch.nn.functional.pad(normals().images[..., 3:-3, 3:-3], (3, 3, 3, 3), value=1.0),
    "few images": normals(n=5).images,
    "one image": normals(n=1).images,
}


@pytest.mark.parametrize("what", DEGENERATE)
@pytest.mark.parametrize("name", NAMES)
def test_degenerate_images_are_refused_or_scored(name, what):
    given = DEGENERATE[what].contiguous()
    try:
        scorer = made(name).fit(Normals(given), parts())
    except InputError:
        return
    with torch.no_grad():
        assert (
            scorer(torch.cat([given[:3], images(), torch.zeros(1, *SHAPE), torch.ones(1, *SHAPE)]))
            .isfinite()
            .all()
        )


@pytest.mark.parametrize("name", [name for name in NAMES if registry.load("score", name).needs])
def test_a_missing_network_is_told(name):
    with pytest.raises(InputError, match="asks a"):
        fit_detector(normals(), [(made(name), 1.0)], Parts())


@pytest.mark.parametrize("name", NAMES)
def test_its_cost_is_not_understated(name):
    scorer, classifier = fitted(name), parts().classifier
    classifier.take_counts()
    scorer(images())
    spent, said = classifier.take_counts(), made(name).cost()
    assert spent.forwards <= said.forwards * len(images())
    assert spent.gradients <= said.gradients * len(images())
