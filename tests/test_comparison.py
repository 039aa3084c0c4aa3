"""Runs beside each other, against tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_runs import Made, write_made

from robustbench_lite.changed_images import changed_images
from robustbench_lite.comparison import compare, differences
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import paired_interval
from robustbench_lite.runs import Run


@pytest.fixture
def pair(tmp_path):
    """Two runs whose rows differ as a test says: a function of the rows of the second."""

    def make(change=lambda rows: rows, *, data=None, **record) -> tuple[Run, Run]:
        data = data or {}
        first = write_made(tmp_path / "first", Made(data=data))
        second = write_made(tmp_path / "second", Made(data=data, record={"id": "second", **record}))
        return first, second.replace(samples=change(second.samples.copy()))

    return make


def under(comparison, condition, run=0):
    return next(d for d in comparison.compared[run].differences if d.condition == condition)


def broken_and_mended(rows):
    """Under night: images 0 to 9 break, 80 to 82 are mended (80 of 100 are right)."""
    night = rows["condition"] == "night"
    breaks, mends = night & rows["index"].isin(range(10)), night & rows["index"].isin(range(80, 83))
    rows.loc[breaks, "correct"] = 0
    rows.loc[breaks, "prediction"] = (rows.loc[breaks, "label"] + 1) % 10
    rows.loc[mends, "correct"] = 1
    rows.loc[mends, "prediction"] = rows.loc[mends, "label"]
    return rows


def test_a_table_made_by_hand(pair):
    from statsmodels.stats.contingency_tables import mcnemar

    comparison = compare(pair(broken_and_mended))
    found = under(comparison, "night")
    assert (found.n, found.before, found.after, found.broken, found.mended) == (100, 0.8, 0.73, 10, 3)
    assert found.difference == pytest.approx(-0.07)
    # Bonett and Price: one is added to either count, two to n.
    lost, gained = 11 / 102, 4 / 102
    half = 1.959964 * np.sqrt((lost + gained - (lost - gained) ** 2) / 102)
    assert (found.ci_low, found.ci_high) == pytest.approx((gained - lost - half, gained - lost + half))
    assert found.p_change == pytest.approx(mcnemar([[70, 10], [3, 17]], exact=True).pvalue)
    assert found.p_change_holm == pytest.approx(min(1, 8 * found.p_change))
    assert under(comparison, "clean").difference == 0
    assert (comparison.tested, comparison.beyond_chance) == (8, 0)


def test_a_large_change_stands_after_the_correction(pair):
    def all_wrong(rows):
        rows.loc[rows["condition"] == "night", "correct"] = 0
        return rows

    comparison = compare(pair(all_wrong))
    assert under(comparison, "night").beyond_chance
    assert comparison.beyond_chance == 1


def test_images_are_paired_by_content(pair):
    """In another order and at other places of the data."""

    def shuffled(rows):
        rows = broken_and_mended(rows)
        rows["index"] = (rows["index"] * 37) % 100
        return rows.sample(frac=1, random_state=0)

    runs = pair(shuffled)
    found = differences(runs[1], runs[0])
    assert [d.condition for d in found] == [c.spec for c in runs[0].record.conditions]
    night = next(d for d in found if d.condition == "night")
    assert (night.n, night.broken, night.mended) == (100, 10, 3)
    assert all(d.broken == d.mended == 0 for d in found if d.condition != "night")


def test_images_that_one_lacks_are_left_out(pair):
    def stopped(rows):
        return rows[(rows["index"] < 40) | (rows["condition"] == "clean")]

    comparison = compare(pair(stopped, status="interrupted"))
    assert under(comparison, "clean").n == 100
    assert under(comparison, "night").n == 40
    assert any("interrupted" in warning for warning in comparison.compared[0].warnings)


def test_groups_are_the_units(pair):
    groups = np.repeat([f"part{i}" for i in range(10)], 10)

    def grouped(rows):
        rows["group"] = np.tile(groups, 8)
        return broken_and_mended(rows)

    found = under(compare(pair(grouped, data={"n_groups": 10})), "night")
    before, after = np.arange(100) < 80, np.arange(100) < 80
    after[:10], after[80:83] = False, True
    assert (-found.ci_high, -found.ci_low) == pytest.approx(paired_interval(before, after, groups))
    assert found.p_change == 1.0  # one part broke, one was mended


def test_conditions_that_one_lacks_are_named(pair):
    first, second = pair()
    fewer = [c for c in second.record.conditions if c.spec != "night"]
    second = second.replace(record=second.record.model_copy(update={"conditions": fewer}))
    (one,) = compare([first, second]).compared
    assert (one.only_run, one.only_baseline) == ([], ["night"])
    (one,) = compare([second, first]).compared
    assert (one.only_run, one.only_baseline) == (["night"], [])
    assert [d.condition for d in one.differences] == [c.spec for c in fewer]


def test_conditions_can_be_chosen(pair):
    comparison = compare(pair(broken_and_mended), wanted=lambda spec: spec.startswith("night"))
    assert [d.condition for d in comparison.compared[0].differences] == [
        "night(severity=1)",
        "night",
        "night(severity=5)",
        "night(severity=2) + pgd(eps=4/255)",
    ]


def test_the_baseline_is_the_first_or_the_one_that_is_given(pair, tmp_path):
    first, second = pair()
    third = write_made(tmp_path / "third", Made(record={"id": "third"}))
    assert [one.run.record.id for one in compare([first, second, third]).compared] == ["second", "third"]
    comparison = compare([first, second], baseline=third)
    assert comparison.baseline is third
    assert [one.run for one in comparison.compared] == [first, second]
    assert [one.run for one in compare([first, second], baseline=second).compared] == [first]


def test_other_numbers_are_told(pair):
    def flagged(rows):
        rows = broken_and_mended(rows)
        rows["outlier"] = 1.0
        rows["flagged"] = rows["correct"] == 0
        return rows

    comparison = compare(pair(flagged))
    found = {o.name: o for o in under(comparison, "night").others}
    assert found["worst_class"].after == pytest.approx(0.7)  # 4 and others have lost one of eight
    assert found["ece"].after == pytest.approx(0.9 - 0.73, abs=1e-6)
    assert (found["caught"].before, found["caught"].after) == (None, 1.0)
    assert (found["false_alarm_rate"].after, found["accuracy_passed"].after) == (0.0, 1.0)
    sizes = {o.name: o for o in under(comparison, "cw(norm=l2)").others}
    assert (
        sizes["median_l2"].before == sizes["median_l2"].after == pytest.approx(np.linspace(0.1, 1, 100)[2:].mean())
    )


def test_what_should_be_shared_and_is_not_is_said(pair):
    (one,) = compare(pair(seed=8, as_8bit=True, code_sha256="x", device="cuda", packages={"torch": "9"})).compared
    joined = " ".join(one.warnings)
    assert len(one.warnings) == 5
    for word in (
        "seeds (7 and 8)",
        "8 bits",
        "Other code",
        "torch (2.10.0 and 9)",
        "devices (cpu, float32 and cuda",
    ):
        assert word in joined
    again = one.run.replace(record=one.run.record.model_copy(update={"id": "again"}))
    assert compare([one.run, again]).compared[0].warnings == []


def test_other_arguments_under_one_name_are_said(pair):
    first, second = pair()
    record = second.record.model_copy(deep=True)
    record.conditions[1].parameters[0]["steps"] = 40
    (one,) = compare([first, second.replace(record=record)]).compared
    assert one.warnings == ["pgd(eps=0.1) had other arguments, of which its name does not tell."]


def test_bad_input(pair):
    first, second = pair()
    with pytest.raises(InputError, match="two runs"):
        compare([first])
    with pytest.raises(InputError, match="two runs"):
        compare([])
    with pytest.raises(InputError, match="the same run"):
        compare([first, second, second])
    with pytest.raises(InputError, match="the same run"):
        compare([first, first.replace()])
    data = second.record.data.model_copy(update={"manifest_sha256": "other"})
    with pytest.raises(InputError, match="other images"):
        compare([first, second.replace(record=second.record.model_copy(update={"data": data}))])
    twice = second.replace(samples=pd.concat([second.samples, second.samples.iloc[:1]]))
    with pytest.raises(InputError, match="twice under clean"):
        compare([first, twice])


def test_the_images_that_changed_are_listed_the_surest_error_first(pair):
    def sure(rows):
        rows = broken_and_mended(rows)
        rows.loc[(rows["condition"] == "night") & (rows["index"] == 7), "confidence"] = 0.99
        rows.loc[(rows["condition"] == "night") & (rows["index"] == 2), "confidence"] = np.nan
        return rows

    first, second = pair(sure)
    found = changed_images(second, first, ["clean", "night"])
    assert found["clean"] == ([], [])
    broken, mended = found["night"]
    assert [image.place for image in broken] == [7, 0, 1, 3, 4, 5, 6, 8, 9, 2]
    assert broken[0][:6] == (7, "id7", "digit-7.png", 7, 7, 8)
    assert broken[0].confidence_before == pytest.approx(0.9)
    assert broken[0].confidence_after == pytest.approx(0.99)
    assert [(image.place, image.before, image.after) for image in mended] == [(80, 1, 0), (81, 2, 1), (82, 3, 2)]
    few = changed_images(second, first, ["night", "unknown"], limit=2)
    assert [len(kind) for kind in few["night"]] == [2, 2]
    assert list(few) == ["night"]
