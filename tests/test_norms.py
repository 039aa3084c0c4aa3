"""Size, projection, steepest direction and random start, each against its definition."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from robustbench_lite import norms
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams

DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}
ORDER = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}

each_norm = pytest.mark.parametrize("norm", norms.NORMS)
numbers = st.floats(-10, 10, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-9 else v)
vectors = st.integers(1, 6).flatmap(lambda d: st.lists(numbers, min_size=d, max_size=d))
sizes = st.one_of(st.just(0.0), st.floats(1e-6, 20))


def tensor(values):
    return torch.tensor([values], dtype=torch.float64)


@each_norm
@given(values=vectors)
def test_size_is_the_norm(norm, values):
    x = tensor(values)
    assert norms.size(x, norm).item() == pytest.approx(torch.linalg.vector_norm(x, ORDER[norm]).item())


@each_norm
@given(values=vectors, eps=sizes)
def test_projection_is_the_nearest_point(norm, values, eps):
    """p is the nearest point of a convex set to x if and only if <x - p, z - p> <= 0 for every z in the set.

    Over the ball, <x - p, z> is at most eps times the dual norm of x - p; so this one inequality is the proof.
    """
    x = tensor(values)
    p = norms.project(x, eps, norm)
    assert norms.size(p, norm).item() <= eps * (1 + 1e-9) + 1e-12
    away = x - p
    furthest = eps * norms.size(away, DUAL[norm]).item()
    assert furthest <= (away * p).sum().item() + 1e-8 * (1 + x.abs().max().item()) ** 2


@each_norm
def test_every_sample_may_have_a_size_of_its_own(norm):
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    eps = torch.tensor([0.0, 0.1, 1.0, 100.0])
    together = norms.project(x, eps, norm)
    for i in range(4):
        assert torch.allclose(together[i], norms.project(x[i : i + 1], float(eps[i]), norm)[0], atol=1e-7)


def test_l0_counts_what_changes():
    assert norms.size(torch.tensor([[[0.0, 1e-9]], [[-2.0, 3.0]], [[0.0, 0.0]]]), "l0").tolist() == [1, 2, 0]


@given(values=st.lists(st.floats(-3, 3), min_size=1, max_size=6), count=st.integers(0, 7), seed=st.integers(0, 99))
def test_l0_projection_is_the_nearest_of_all_choices(values, count, seed):
    d = tensor(values)
    x = torch.rand(d.shape, generator=torch.Generator().manual_seed(seed), dtype=d.dtype)
    p = norms.project_l0(d, torch.tensor([count]), x)
    assert norms.size(p, "l0").item() <= count
    assert (x + p).min() >= 0
    assert (x + p).max() <= 1 + 1e-12
    clipped = (x + d).clamp(0, 1) - x
    choices = itertools.combinations(range(len(values)), min(count, len(values)))
    masks = [torch.zeros_like(d).index_fill(1, torch.tensor(chosen, dtype=torch.int64), 1) for chosen in choices]
    nearest = min((d - clipped * mask).norm().item() for mask in masks)
    assert (d - p).norm().item() == pytest.approx(nearest, abs=1e-9)


@each_norm
@given(values=vectors, share=st.floats(0, 0.999))
def test_what_is_inside_stays_bit_for_bit(norm, values, share):
    x = tensor(values)
    eps = norms.size(x, norm).item()
    inside = x * share
    assert torch.equal(norms.project(inside, eps, norm), inside)


@each_norm
@given(values=vectors, eps=sizes)
def test_projecting_twice_is_projecting_once(norm, values, eps):
    once = norms.project(tensor(values), eps, norm)
    assert torch.allclose(norms.project(once, eps, norm), once, atol=1e-12)


@each_norm
@given(values=vectors)
def test_steepest_raises_a_linear_function_most(norm, values):
    """Among directions of unit size the most that <g, d> can be is the dual norm of g."""
    g = tensor(values)
    d = norms.steepest(g, norm)
    assert norms.size(d, norm).item() <= 1 + 1e-9
    assert (g * d).sum().item() == pytest.approx(norms.size(g, DUAL[norm]).item(), rel=1e-9, abs=1e-12)


@each_norm
@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-20, 1e20, 1e37])
def test_steepest_of_tiny_and_huge_gradients(norm, scale):
    g = torch.tensor([[1.0, -1.0, 0.5, 0.0]]) * scale
    d = norms.steepest(g, norm)
    assert d.isfinite().all()
    assert norms.size(d, norm).item() == pytest.approx(1, rel=1e-3)
    assert (d.sign()[d != 0] == g.sign()[d != 0]).all()


@each_norm
def test_a_zero_gradient_has_no_direction(norm):
    assert (norms.steepest(torch.zeros(2, 3, 4, 4), norm) == 0).all()


@each_norm
def test_every_sample_is_on_its_own(norm):
    x = (
        torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 2, 5)[:, None, None, None]
    )
    for function in (lambda d: norms.project(d, 0.7, norm), lambda d: norms.steepest(d, norm)):
        together = function(x)
        assert together.shape == x.shape
        for i in range(5):
            assert torch.allclose(together[i], function(x[i : i + 1])[0], atol=1e-7)
    assert norms.size(x, norm).shape == (5,)


@each_norm
def test_float32_stays_within_the_tolerance_of_the_evaluator(norm):
    x = 10 * torch.randn(50, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    eps = {"linf": 8 / 255, "l2": 0.5, "l1": 12.0}[norm]
    assert norms.size(norms.project(x, eps, norm), norm).max() <= eps + 1e-6 * max(1, eps)


def starts(norm, shape, eps=0.5, n=3000):
    streams = Streams(0, "x", tuple(map(str, range(n))))
    return norms.random_start(streams, torch.zeros(n, *shape), eps, norm, 0)


@each_norm
@pytest.mark.parametrize("shape", [(1,), (2, 2), (3, 8, 8)])
def test_random_starts_are_inside_and_reach_the_edge(norm, shape):
    found = norms.size(starts(norm, shape, n=500), norm)
    assert found.max() <= 0.5 + 1e-6
    assert found.max() > 0.45
    assert len(found.unique()) > 400 or norm == "linf"


@each_norm
def test_random_starts_are_uniform_in_volume(norm):
    """In a ball of d dimensions the share within radius r is (r / eps)^d."""
    radius = norms.size(starts(norm, (3,)), norm) / 0.5
    assert kstest((radius**3).numpy(), "uniform").pvalue > 1e-3


def test_random_starts_prefer_no_direction():
    """In the plane the l2 angle is uniform, the l1 ball a square on its corner, the linf ball one on its side."""
    x, y = starts("l2", (2,)).T
    assert kstest((torch.atan2(y, x) / (2 * torch.pi) + 0.5).numpy(), "uniform").pvalue > 1e-3
    x, y = starts("l1", (2,)).T
    for side in (x + y, x - y):
        assert kstest((side + 0.5).numpy(), "uniform").pvalue > 1e-3
    for side in starts("linf", (2,)).T:
        assert kstest((side + 0.5).numpy(), "uniform").pvalue > 1e-3


@each_norm
def test_random_starts_differ_by_key_and_not_by_batch(norm):
    streams = Streams(0, "x", ("a", "b", "c"))
    like = torch.zeros(3, 2, 4)
    first = norms.random_start(streams, like, 0.5, norm, 0)
    assert torch.equal(first[1:], norms.random_start(streams[[1, 2]], like[1:], 0.5, norm, 0))
    assert not torch.equal(first, norms.random_start(streams, like, 0.5, norm, 1))
    assert torch.allclose(norms.random_start(streams, like, 1.0, norm, 0), 2 * first, atol=1e-6)


@pytest.mark.parametrize("norm", ["l3", "L2", "", "inf"])
def test_unknown_norms(norm):
    x = torch.zeros(1, 2)
    for call in (
        lambda: norms.size(x, norm),
        lambda: norms.project(x, 1, norm),
        lambda: norms.steepest(x, norm),
        lambda: norms.random_start(Streams(0, "x", ("a",)), x, 1, norm),
        lambda: norms.check_norm(norm),
    ):
        with pytest.raises(UnknownNameError, match="unknown norm"):
            call()


def test_only_some_norms_may_be_allowed():
    norms.check_norm("l2", ("linf", "l2"))
    with pytest.raises(UnknownNameError):
        norms.check_norm("l1", ("linf", "l2"))


@pytest.mark.parametrize(("eps", "norm"), [(0, "linf"), (8 / 255, "linf"), (1, "linf"), (3.5, "l2"), (300, "l1")])
def test_budgets_that_can_be(eps, norm):
    assert norms.check_eps(eps, norm) == eps


@pytest.mark.parametrize(
    ("eps", "norm", "told"),
    [
        (None, "linf", r"eps is not set. Give eps on the \[0, 1\] scale"),
        (-0.1, "l2", "eps=-0.1 is out of range"),
        (float("nan"), "linf", "eps=nan is out of range"),
        (float("inf"), "l2", "eps=inf is out of range"),
        (8, "linf", "Did you mean eps=8/255"),
        (1.5, "linf", "Did you mean eps=1.5/255"),
        (256, "linf", r"Give eps on the \[0, 1\] scale"),
    ],
)
def test_budgets_that_cannot_be(eps, norm, told):
    with pytest.raises(InputError, match=told):
        norms.check_eps(eps, norm)
