"""Classes that lose most, and confusions that grew: counted here by hand, image by image."""

from collections import Counter

import numpy as np
import pytest
from made_runs import CONDITIONS
from pages import Page

from robustbench_lite.intervals import paired_interval, wilson
from robustbench_lite.reports.class_losses import MOST, losses
from robustbench_lite.reports.html import html_report


@pytest.fixture
def random_run(make_run):
    """Predictions by chance, more wrong under each condition; rows in no order, and some missing."""

    def make(**changes):
        run = make_run(n=400, conditions=[*CONDITIONS[:2], CONDITIONS[4]], examples=0, **changes)
        rng = np.random.default_rng(3)
        rows = run.samples
        label = rows["label"].to_numpy()
        share = rows["condition"].map({"clean": 0.1, "pgd(eps=0.1)": 0.6, "night": 0.3}).to_numpy(float)
        wrong = rng.random(len(rows)) < share * (1 + (label == 4))
        prediction = np.where(wrong, (label + rng.choice([1, 1, 2, 5], len(rows))) % 10, label)
        rows["prediction"] = prediction.astype("int32")
        rows["correct"] = (prediction == label).astype("int8")
        shuffled = rows.sample(frac=1, random_state=0)
        gone = (shuffled["condition"] == "night") & (shuffled["index"] % 7 == 0)
        return run.replace(samples=shuffled[~gone].reset_index(drop=True))

    return make


def by_hand(run, condition):
    clean = {}
    before, after, n, grown, old = Counter(), Counter(), Counter(), Counter(), Counter()
    for row in run.samples.to_dict("records"):
        if row["condition"] == "clean":
            clean[row["index"]] = row
    for row in run.samples.to_dict("records"):
        if row["condition"] != condition:
            continue
        first = clean[row["index"]]
        n[row["label"]] += 1
        before[row["label"]] += first["correct"]
        after[row["label"]] += row["correct"]
        if row["prediction"] != row["label"]:
            grown[row["label"], row["prediction"]] += 1
        if first["prediction"] != row["label"]:
            old[row["label"], first["prediction"]] += 1
    return before, after, n, grown, old


def test_losses_are_those_counted_by_hand(random_run):
    run = random_run()
    found = losses(run)
    assert found.n_classes == 10
    assert [c.condition for c in found.conditions] == list(dict.fromkeys(c.condition for c in found.conditions))
    assert found.looks == 20
    largest = {}
    for c in found.conditions:
        before, after, n, grown, old = by_hand(run, c.condition)
        loss = {k: (before[k] - after[k]) / n[k] for k in n}
        for k in loss:
            largest[k] = max(largest.get(k, -1), loss[k])
        assert [x.loss for x in c.classes] == pytest.approx(sorted(loss.values(), reverse=True)[:3])
        for x in c.classes:
            k = int(x.name)
            assert (x.n, x.before, x.after) == (n[k], before[k], after[k])
            assert x.after_interval == pytest.approx(wilson(after[k], n[k]))
        growth = {pair: grown[pair] - old[pair] for pair in grown}
        assert [x.after - x.before for x in c.confusions] == sorted(growth.values(), reverse=True)[:3]
        for x in c.confusions:
            pair = int(x.label), int(x.prediction)
            assert (x.n, x.before, x.after) == (n[pair[0]], old[pair], grown[pair])
    assert [x.loss for x in found.worst] == pytest.approx(sorted(largest.values(), reverse=True))
    assert found.worst[0].name == "4"


def test_intervals_are_of_the_pairs_and_beyond_chance_counts_all_looks(random_run):
    run = random_run()
    worst = losses(run).worst[0]
    rows = run.samples[run.samples["label"] == 4].pivot(index="index", columns="condition", values="correct")
    pairs = rows[["clean", worst.condition]].dropna()
    before, after = (pairs[name].to_numpy(float) for name in pairs)
    assert worst.interval == pytest.approx(paired_interval(before, after))
    assert worst.beyond_chance == (paired_interval(before, after, confidence=1 - 0.05 / 20).low > 0)


def test_a_loss_by_chance_is_not_called_more(make_run):
    """The same network twice: over many runs hardly one class in any of them may be called beyond chance."""
    run = make_run(n=300, conditions=[CONDITIONS[0], CONDITIONS[4]], examples=0)
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(100):
        rows = run.samples.copy()
        right = rng.random(len(rows)) < 0.8
        rows["correct"] = right.astype("int8")
        rows["prediction"] = np.where(right, rows["label"], (rows["label"] + 1) % 10).astype("int32")
        called += any(x.beyond_chance for x in losses(run.replace(samples=rows)).worst)
    assert called <= 10  # 5 are expected at most; more than 10 have a probability of 1 %


def test_groups_widen_the_interval(random_run):
    run = random_run()
    alone = losses(run)
    run.samples["group"] = (run.samples["index"] // 50).astype(str)
    run.record.data.n_groups = 8
    together = losses(run)
    assert together.worst[0].loss == alone.worst[0].loss
    assert together.worst[0].interval != alone.worst[0].interval


def test_without_clean_images_or_conditions_nothing_is_lost(make_run):
    run = make_run(conditions=CONDITIONS[:2])
    clean = run.samples["condition"] == "clean"
    assert losses(run.replace(samples=run.samples[~clean])) is None
    alone = run.replace(samples=run.samples[clean])
    assert losses(alone) is None
    assert "Accuracy by class" in Page(html_report(alone)).words


def test_answers_that_are_not_finite_are_confusions_too(make_run):
    run = make_run(conditions=CONDITIONS[:2])
    wrong = (run.samples["condition"] != "clean") & (run.samples["correct"] == 0)
    run.samples.loc[wrong, "prediction"] = -1
    (found,) = losses(run).conditions
    assert {x.prediction for x in found.confusions} == {"no finite answer"}


def test_an_attack_without_a_budget_is_kept_apart(make_run):
    run = make_run(conditions=CONDITIONS[:3])
    found = losses(run)
    assert {x.condition for x in found.worst} == {"pgd(eps=0.1)"}
    assert found.unbounded
    assert len(found.conditions) == 2
    alone = losses(run.replace(samples=run.samples[run.samples["condition"] != "pgd(eps=0.1)"]))
    assert {x.condition for x in alone.worst} == {"cw(norm=l2)"}


def test_of_a_thousand_classes_twenty_are_shown(make_run):
    run = make_run(n=3000, class_names=[f"kind {i}" for i in range(1000)], conditions=CONDITIONS[:5], examples=0)
    run.samples["label"] = (run.samples["index"] % 1000).astype("int32")
    source = html_report(run)
    section = source.partition('id="classes"')[2].partition("</section>")[0]
    assert section.count("<tr>") <= MOST + 4 + 4
    assert "980 more classes lose less" in Page(source).words
    assert "Accuracy by class" not in Page(source).words
