"""What the gate promises, by simulation: coverage, false FAILs, false PASSes, and the power that was planned."""

import numpy as np
import pytest
from gate_runs import pair, simple_run, with_right
from gate_simulations import SIMULATIONS, coverage

from robustbench_lite.gates import resampling
from robustbench_lite.gates.bounds import fall, share
from robustbench_lite.gates.gate import gate
from robustbench_lite.gates.planning import (
    Design,
    paired_images,
    paired_power,
    share_images,
    share_power,
    shown_below,
)
from robustbench_lite.gates.rule import Rule

QUICK = [
    "share, Clopper-Pearson",
    "share, grouped",
    "change",
    "change, grouped",
    "skewed mean",
    "auroc",
    "median, change",
]


@pytest.mark.parametrize("name", QUICK)
def test_bounds_cover_the_truth(name):
    assert coverage(name, 400)[0] >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATIONS)
def test_every_interval_covers_the_truth(name, monkeypatch):
    monkeypatch.setattr(resampling, "RESAMPLES", 200)
    few = name in ("auroc, change", "false alarms, change") or name.startswith("breaking")
    assert coverage(name, 150 if few else 1000 if name in QUICK else 300)[0] >= 0.94


def test_clopper_and_pearson_keep_both_promises_exactly():
    """For every truth: each one-sided bound is beyond it in at most 5 % of samples."""
    from scipy.stats import binom

    n = 60
    found = [share(np.arange(n) < k) for k in range(n + 1)]
    lows, highs = (np.array([getattr(one, side)(0.05) for one in found]) for side in ("lower", "upper"))
    for p in np.linspace(0.001, 0.999, 300):
        chances = binom.pmf(np.arange(n + 1), n, p)
        assert chances[lows > p].sum() <= 0.05
        assert chances[highs < p].sum() <= 0.05


@pytest.mark.slow
def test_unchanged_models_are_not_failed(monkeypatch):
    """The whole gate but for its plans, 400 times: images change either way, and the accuracy does not."""
    monkeypatch.setattr("robustbench_lite.gates.gate.needed_images", lambda *given: Design(None, ""))
    rng, n = np.random.default_rng(0), 500
    run, baseline = simple_run(n, n, path="run"), simple_run(n, n, path="baseline")
    rules = [
        Rule(id="strict", max_drop=0.0),
        Rule(id="usual", max_drop=0.01),
        Rule(id="warn", max_drop=0.0, level="warn"),
    ]
    fails = np.zeros(3)
    for _ in range(400):
        before = rng.random(n) < 0.9
        after = np.where(rng.random(n) < 0.1, rng.random(n) < 0.9, before)
        report = gate(with_right(run, after), rules, baseline=with_right(baseline, before))
        fails += [one.verdict == "FAIL" for one in report.results]
    assert fails[0] / 400 <= 0.05
    assert fails[1] == 0
    assert fails[2] / 400 <= 0.05


@pytest.mark.parametrize(("limit", "changed", "shift"), [(0.01, 0.02, 0.0), (0.02, 0.1, 0.01), (0.05, 0.05, 0.0)])
def test_a_change_passes_as_often_as_planned(limit, changed, shift):
    n = paired_images(limit, changed, shift, 0.05, 0.8)
    rng = np.random.default_rng(1)
    shares = [(changed + shift) / 2, (changed - shift) / 2, 1 - changed]
    tables = rng.multinomial(n, shares, 300)
    passed = [fall(np.repeat([1, 0, 1], t), np.repeat([0, 1, 1], t)).upper(0.05) < limit for t in tables]
    planned = shown_below(*(tables[:, :2].T / n), n, limit, 1.6448536)
    assert list(planned) == passed  # the plan simulates the very test
    assert paired_power(n, limit, changed, shift, 0.05) == pytest.approx(0.8, abs=0.03)
    many = rng.multinomial(n, shares, 20_000)[:, :2].T / n
    assert shown_below(*many, n, limit, 1.6448536).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("limit", "truth"), [(0.9, 0.95), (0.5, 0.52), (0.99, 0.999), (0.2, 0.4)])
def test_a_share_passes_as_often_as_planned(limit, truth):
    n = share_images(limit, truth, 0.05, 0.8, "clopper-pearson")
    drawn = np.random.default_rng(2).binomial(n, truth, 20_000)
    counts = np.unique(drawn)
    passes = {k: share(np.arange(n) < k).lower(0.05) >= limit for k in counts.tolist()}
    seen = np.mean([passes[k] for k in drawn.tolist()])
    assert seen == pytest.approx(share_power(n, limit, truth, 0.05), abs=0.01)
    assert 0.77 <= seen <= 0.95  # the binomial distribution has steps
    assert share_power(n // 2, limit, truth, 0.05) < 0.8


@pytest.mark.parametrize("limit", [0.01, 0.012, 0.02, 0.05])
def test_models_at_the_limit_pass_in_one_of_twenty(limit):
    """All change in one direction: where Bonett and Price's bound alone would let 6 to 9 % pass."""
    rng, n = np.random.default_rng(3), 1000
    lost = rng.binomial(n, limit, 100_000) / n
    assert shown_below(lost, np.zeros_like(lost), n, limit, 1.6448536).mean() <= 0.05
    # and FAIL, by the lower bound
    centre = n * lost / (n + 2)
    error = np.sqrt(((n * lost + 2) / (n + 2) - centre**2) / (n + 2))
    assert (centre - 1.6448536 * error > limit).mean() <= 0.05


def test_what_no_number_of_images_shows():
    assert share_images(0.9, 0.9, 0.05, 0.8, "wilson") is None
    assert share_images(1.0, 1.0, 0.05, 0.8, "wilson") is None
    assert paired_images(0.0, 0.1, 0.0, 0.05, 0.8) is None
    run, baseline = pair(85, 5, 5, 5)
    result = gate(run, Rule(id="r", max_drop=0.03), baseline=baseline).results[0]
    assert result.verdict == "INCONCLUSIVE"
    assert 500 < result.needed < 1000
    assert f"about {result.needed} images" in result.remedy
    assert gate(run, Rule(id="r", max_drop=0.0), baseline=baseline).results[0].needed is None
