"""Samples from populations whose metrics are known, with what a gate would say of them."""

import numpy as np
import pandas as pd
from gate_runs import simple_run
from scipy import special

from robustbench_lite.bisection import Search
from robustbench_lite.gates.bounds import Design, fall, share
from robustbench_lite.gates.composites import auroc_estimate
from robustbench_lite.gates.distortion import fall_of_the_median
from robustbench_lite.gates.metric import Subject
from robustbench_lite.gates.metrics import METRICS
from robustbench_lite.gates.ratios import mean_of_ratios
from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.severities import breaking_estimate
from robustbench_lite.gates.tables import Table
from robustbench_lite.intervals import retention_score

CLEAN = Subject("clean", ("clean",))


def shares(rng, method, groups=False):
    p, n = rng.uniform(0.5, 0.999), 200
    if not groups:
        return share(rng.random(n) < p, None, method), p
    members = np.repeat(np.arange(40), 5)
    own = rng.beta(4 * p, 4 * (1 - p), 40)[members]
    return share(rng.random(n) < own, members, method), p


def changes(rng, groups=False):
    n, lost, gained = 300, rng.uniform(0, 0.1), rng.choice([0, 0.01, 0.05])
    if not groups:
        kind = rng.choice(3, n, p=[lost, gained, 1 - lost - gained])
        before, after = np.where(kind == 1, 0, 1), np.where(kind == 0, 0, 1)
        return fall(before, after), lost - gained
    members = np.repeat(np.arange(60), 5)
    own = rng.beta(3 * lost + 1e-9, 3 * (1 - lost), 60)[members]
    return fall(np.ones(n), rng.random(n) >= own, members), lost


def graded_change(rng):
    before = rng.beta(8, 2, 200)
    after = before * rng.beta(20, 2, 200)
    return fall(before, after), 0.8 * (1 - 20 / 22)


def skewed_mean(rng):
    """As Brier's scores: most hardly above 0, some near 2."""
    wrong = rng.random(300) < 0.05
    return share(np.where(wrong, rng.beta(8, 2, 300), rng.beta(0.3, 12, 300))), 0.05 * 0.8 + 0.95 * 0.3 / 12.3


_RUN = {}


def _frame(n):
    if n not in _RUN:
        _RUN[n] = simple_run(n, n)
    return _RUN[n]


def with_columns(n, id="run", **columns):
    run = _frame(n)
    return Table(
        run.replace(record=run.record.model_copy(update={"id": id}), samples=run.samples.assign(**columns))
    )


def measure(name, table, baseline=None):
    metric = METRICS[name]
    if baseline is None:
        return metric.estimate(table, CLEAN, GateSettings(), None)
    return metric.change(table, baseline, CLEAN, GateSettings()).fall


ACCURACIES = np.array([0.8, 0.8, 0.82, 0.85, 0.9, 0.95, 0.99, 0.99, 0.99, 1.0])


def worst_class(rng, ties=True):
    p = ACCURACIES if ties else np.r_[0.7, ACCURACIES[1:]]
    labels = rng.integers(0, 10, 500)
    return measure(
        "worst_class", with_columns(500, label=labels, correct=(rng.random(500) < p[labels]).astype(int))
    ), p.min()


def worst_class_fall(rng, ties=False):
    p = ACCURACIES if ties else np.r_[0.7, ACCURACIES[1:]]
    after = p - np.r_[0.08, np.zeros(9)]
    labels = np.arange(800) % 10
    u = rng.random(800)
    v = np.where(rng.random(800) < 0.9, u, rng.random(800))
    one = with_columns(800, label=labels, correct=(u < p[labels]).astype(int), id="old")
    two = with_columns(800, label=labels, correct=(v < after[labels]).astype(int))
    return measure("worst_class", two, one), p.min() - after.min()


def confidences(rng, n, over):
    confidence = np.clip(rng.beta(6, 1.5, n), 0.1, 1).astype(np.float32)
    return confidence, (rng.random(n) < np.clip(confidence - over, 0, 1)).astype(int)


def population_ece(over):
    confidence, _ = confidences(np.random.default_rng(99), 2_000_000, over)
    gap = confidence - np.clip(confidence - over, 0, 1)
    place = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    return np.abs(np.bincount(place, gap)).sum() / len(gap)


TRUE_ECE = {over: population_ece(over) for over in (0.0, 0.05, 0.15)}


def calibration(rng, over):
    confidence, right = confidences(rng, 500, over)
    labels = np.zeros(500, int)
    return measure("ece", with_columns(500, label=labels, prediction=1 - right, confidence=confidence)), TRUE_ECE[
        over
    ]


def calibration_fall(rng):
    labels = np.zeros(500, int)
    tables = []
    for name, over in (("old", 0.15), ("new", 0.05)):
        confidence, right = confidences(rng, 500, over)
        tables.append(with_columns(500, id=name, label=labels, prediction=1 - right, confidence=confidence))
    return measure("ece", tables[1], tables[0]), TRUE_ECE[0.15] - TRUE_ECE[0.05]


def auroc(rng, n=400, p=0.05, apart=1.5, groups=False):
    truth = float(special.ndtr(apart / np.sqrt(2)))
    while True:
        members = np.repeat(np.arange(n // 4), 4) if groups else None
        wrong = (rng.random(n) < p).astype(float)
        if groups:
            wrong = np.repeat(wrong[: n // 4], 4)
        if 0 < wrong.sum() < n:
            break
    noise = rng.normal(size=n)
    if groups:
        noise = np.sqrt(0.6) * np.repeat(rng.normal(size=n // 4), 4) + np.sqrt(0.4) * noise
    return auroc_estimate(noise + apart * wrong, wrong, members), truth


def auroc_fall(rng):
    n = 500
    wrong = (rng.random(n) < 0.15).astype(int)
    base = rng.normal(size=n)
    tables = [
        with_columns(n, id=name, correct=1 - wrong, outlier=base + 0.5 * rng.normal(size=n) + apart * wrong)
        for name, apart in (("old", 2.0), ("new", 1.0))
    ]
    before, after = (special.ndtr(apart / np.sqrt(2 * 1.25)) for apart in (2.0, 1.0))
    return measure("auroc", tables[1], tables[0]), float(before - after)


def median(rng, lost=0.1, robust=0.05):
    """Sizes are exponential; a part is lost at once, a part is robust."""
    n = 151
    table = _sizes(rng, n, lost, robust, 1.0, "run")
    inside = (0.5 - lost) / (1 - lost - robust)
    return measure("median_distortion", table), -np.log(1 - inside)


def median_fall(rng, related=0.0, robust=0.05, groups=False):
    """Both networks find the same images hard, more or less; the new one's sizes are smaller."""
    n, members = 300, np.repeat(np.arange(75), 4)
    own = rng.normal(size=(2, n))
    if groups:
        own = (rng.normal(size=(2, 75))[:, members] + own) / np.sqrt(2)
    own[1] = related * own[0] + np.sqrt(1 - related**2) * own[1]
    before, after = (
        _lost(special.ndtr(one), 0.1, robust, scale) for one, scale in zip(own, (1, 0.8), strict=True)
    )
    inside = (0.5 - 0.1) / (0.9 - robust)
    return fall_of_the_median(before, after, members if groups else None), -0.2 * np.log(1 - inside)


def _lost(place, lost, robust, scale):
    """Sizes at which images with these places in the order of hardness are lost."""
    inside = np.clip((place - lost) / (1 - lost - robust), 0, 1 - 1e-12)
    return np.where(place > 1 - robust, np.inf, -scale * np.log(1 - inside))


def _sizes(rng, n, lost, robust, scale, name):
    sizes = _lost(rng.random(n), lost, robust, scale)
    table = with_columns(
        n, id=name, correct=np.isinf(sizes).astype(int), attacked=(sizes > 0).astype(int), l2=np.minimum(sizes, 99)
    )
    condition = table.record.conditions[0]
    threat = {"norm": "l2", "eps": None, "minimal": True}
    changed = type(condition).model_validate({**condition.model_dump(), "threat_model": [threat]})
    table.record = table.record.model_copy(update={"conditions": [changed]})
    return table


def false_alarms_fall(rng):
    n = 500
    right = (rng.random(n) < 0.9).astype(int)
    score = rng.random(n)
    tables = [
        with_columns(n, id=name, correct=right, flagged=((score + 0.1 * rng.random(n)) / 1.1 > cut).astype(int))
        for name, cut in (("old", 0.85), ("new", 0.9))
    ]
    # Above 0.85 · 1.1 - 0.1 and below 1 the sum of the two has density 1.
    return measure("false_alarm_rate", tables[1], tables[0]), 0.05 * 1.1


def breaking(rng, wavy=False, groups=False, n=400):
    """Every image is lost from a severity on, or, in waves, comes back; found by the search."""
    members = np.repeat(np.arange(n // 4), 4)
    hard = rng.normal(size=n)
    if groups:
        hard = (rng.normal(size=n // 4)[members] + hard) / np.sqrt(2)

    def error(severity):
        fall = 0.06 * severity + 0.05 * np.sin(3 * severity) if wavy else 0.86 * special.ndtr((severity - 3) / 0.5)
        return 0.05 + fall

    def rows(severity):
        right = (special.ndtr(hard) >= error(severity)).astype(int)
        return pd.DataFrame({"index": range(n), "correct": right, "group": members})

    clean, scores = rows(0), []
    search = Search("fog", clean, 0.9, [1, 2, 3, 4, 5], 0.05, grouped=groups)
    while wanted := search.wanted():
        for severity in wanted:
            found = rows(severity)
            search.add(severity, found)
            sides = (side["correct"].to_numpy(float) for side in (clean, found))
            scores.append((severity, retention_score(*sides, 0.9, members if groups else None).value))
    grid = np.linspace(0, 5, 50_001)
    truth = grid[np.argmax(1 - error(grid) < 0.9 * (1 - error(0)))]
    units = Design(n, n // 4 - 1 if groups else None)
    return breaking_estimate(search.result().severity or np.inf, units, sorted(scores), n), truth


MEANS = {
    name: np.r_[clean, np.outer(np.linspace(0.6, 1.4, 15), base * np.linspace(0.4, 1.6, 5)).ravel()]
    for name, clean, base in (("new", 0.05, 0.3), ("old", 0.08, 0.4))
}  # errors: clean, then 15 corruptions at 5 severities


def corruptions(rng, n=300, groups=False):
    """Shares of wrong severities of two networks, clean images first: what is hard for one is for the other."""
    members = np.repeat(np.arange(n // 4), 4)

    def noise(*shape):
        if not groups:
            return rng.normal(size=(n, *shape))
        return (rng.normal(size=(n // 4, *shape))[members] + rng.normal(size=(n, *shape))) / np.sqrt(2)

    image, corruption, found = noise(1), noise(15), []
    for means in MEANS.values():
        hard = np.sqrt(0.6) * image + np.sqrt(0.4) * noise(1)
        kind = np.sqrt(0.7) * corruption + np.sqrt(0.3) * noise(15)
        level = np.sqrt(0.6) * hard[..., None] + np.sqrt(0.24) * kind[..., None] + np.sqrt(0.16) * noise(15, 5)
        wrong = (level < special.ndtri(means[1:].reshape(15, 5))).mean(axis=2)
        found.append(np.c_[np.sqrt(0.6) * hard + np.sqrt(0.4) * noise(1) < special.ndtri(means[0]), wrong])
    return *found, members if groups else None


def corruption_error(rng, groups=False, change=False):
    new, old, members = corruptions(rng, groups=groups)
    truth = [means[1:].mean() for means in MEANS.values()]
    if change:
        return fall(old[:, 1:].mean(axis=1), new[:, 1:].mean(axis=1), members), truth[1] - truth[0]
    return share(new[:, 1:].mean(axis=1), members), truth[0]


def corruption_ratio(rng, groups=False, relative=False):
    new, old, members = corruptions(rng, groups=groups)
    clean = [float(relative) * side[:, :1] for side in (new, old)]
    means = [np.r_[side[0], side[1:].reshape(15, 5).mean(axis=1)] for side in MEANS.values()]
    one, other = (side[1:] - relative * side[0] for side in means)
    found = mean_of_ratios(new[:, 1:] - clean[0], old[:, 1:] - clean[1], members, (-np.inf, np.inf))
    return found, (one / other).mean()


SIMULATIONS = {
    "share, Clopper-Pearson": lambda rng: shares(rng, "clopper-pearson"),
    "share, Wilson": lambda rng: shares(rng, "wilson"),
    "share, grouped": lambda rng: shares(rng, "clopper-pearson", groups=True),
    "share, grouped, Wilson": lambda rng: shares(rng, "wilson", groups=True),
    "change": changes,
    "change, grouped": lambda rng: changes(rng, groups=True),
    "graded change": graded_change,
    "skewed mean": skewed_mean,
    "worst class": worst_class,
    "worst class alone": lambda rng: worst_class(rng, ties=False),
    "worst class, change": worst_class_fall,
    "worst class, change, with ties": lambda rng: worst_class_fall(rng, ties=True),
    "ece 0": lambda rng: calibration(rng, 0.0),
    "ece 0.05": lambda rng: calibration(rng, 0.05),
    "ece 0.15": lambda rng: calibration(rng, 0.15),
    "ece, change": calibration_fall,
    "auroc": auroc,
    "auroc, near 1": lambda rng: auroc(rng, apart=3.5),
    "auroc, grouped": lambda rng: auroc(rng, p=0.2, groups=True),
    "auroc, change": auroc_fall,
    "median": median,
    "median, half robust": lambda rng: median(rng, robust=0.45),
    "median, change": median_fall,
    "median, change, related": lambda rng: median_fall(rng, related=0.9),
    "median, change, half robust": lambda rng: median_fall(rng, related=0.5, robust=0.4),
    "median, change, grouped": lambda rng: median_fall(rng, related=0.5, groups=True),
    "false alarms, change": false_alarms_fall,
    "breaking point": breaking,
    "breaking point, in waves": lambda rng: breaking(rng, wavy=True),
    "breaking point, grouped": lambda rng: breaking(rng, groups=True),
    "mean corruption error": corruption_error,
    "mean corruption error, grouped": lambda rng: corruption_error(rng, groups=True),
    "mean corruption error, change": lambda rng: corruption_error(rng, change=True),
    "mean corruption error, change, grouped": lambda rng: corruption_error(rng, groups=True, change=True),
    "mce": corruption_ratio,
    "mce, grouped": lambda rng: corruption_ratio(rng, groups=True),
    "relative mce": lambda rng: corruption_ratio(rng, relative=True),
    "relative mce, grouped": lambda rng: corruption_ratio(rng, groups=True, relative=True),
}


def coverage(name, times, alpha=0.025, seed=0):
    """How often the truth is inside, below the lower and above the upper bound."""
    rng = np.random.default_rng(seed)
    inside, low, high = 0, 0, 0
    for _ in range(times):
        found, truth = SIMULATIONS[name](rng)
        too_high, too_low = found.lower(alpha) > truth + 1e-12, found.upper(alpha) < truth - 1e-12
        low, high, inside = low + too_high, high + too_low, inside + (not too_high and not too_low)
    return inside / times, low / times, high / times
