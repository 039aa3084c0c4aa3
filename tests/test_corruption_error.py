"""mCE against values by hand, and against whom it is measured."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from robustbench_lite.corruption_error import ALEXNET, ALEXNET_CLEAN, suite_errors
from robustbench_lite.errors import InputError
from robustbench_lite.runs import Run
from robustbench_lite.shifts.published_tables import CORRUPTIONS, MAIN


def run(wrong, *, n=10, suite="imagenet_c", classes=10, shape=(3, 32, 32), groups=None, **record):
    """A run of which the first so many of n images are wrong: {corruption: five counts, "clean": count}."""
    counts = {"clean": wrong.get("clean", 0)}
    for name, levels in wrong.items():
        if name != "clean":
            counts |= {f"{suite}(corruption={name}, severity={s})": k for s, k in enumerate(levels, 1)}
    conditions = [SimpleNamespace(spec=c, kind="clean" if c == "clean" else "shift", n=n) for c in counts]
    rows = [
        {"condition": c, "index": i, "correct": int(i >= k), "group": groups[i] if groups else None}
        for c, k in counts.items()
        for i in range(n)
    ]
    data = SimpleNamespace(
        manifest_sha256="abc",
        image_shape=list(shape),
        class_names=[str(i) for i in range(classes)],
        n_groups=len(set(groups)) if groups else None,
    )
    fields = {"seed": 0, "status": "done", "id": "base", "model": SimpleNamespace(spec="net"), **record}
    record = SimpleNamespace(conditions=conditions, data=data, **fields)
    return Run(Path("somewhere"), record, pd.DataFrame(rows))


def test_without_a_reference_there_is_the_mean_error_alone():
    (found,) = suite_errors(run({"fog": (1, 2, 3, 4, 5), "snow": (5, 5, 5, 5, 5)}))
    assert found.suite == "imagenet_c"
    assert (found.n, found.measured) == (10, 2)
    assert found.mean_error.value == pytest.approx((0.3 + 0.5) / 2)
    assert found.mean_error.low < 0.4 < found.mean_error.high
    assert (found.reference, found.mce, found.relative_mce) == (None, None, None)
    assert [(c.corruption, c.ce) for c in found.corruptions] == [("fog", None), ("snow", None)]


def test_against_a_baseline_by_hand():
    mine = run({"clean": 1, "fog": (1, 2, 3, 4, 5), "snow": (5, 5, 5, 5, 5)})
    theirs = run({"clean": 2, "fog": (4, 5, 6, 7, 8), "snow": (5, 6, 7, 8, 9)})
    (found,) = suite_errors(mine, theirs)
    assert found.reference == "net, baseline run base"
    assert [c.ce for c in found.corruptions] == pytest.approx([15 / 30, 25 / 35])
    assert found.mce.value == pytest.approx((15 / 30 + 25 / 35) / 2)
    # Each severity less the clean error: (15 - 5 * 1) of (30 - 5 * 2), and (25 - 5) of (35 - 10).
    assert [c.relative_ce for c in found.corruptions] == pytest.approx([10 / 20, 20 / 25])
    assert found.relative_mce.value == pytest.approx((10 / 20 + 20 / 25) / 2)
    assert found.mce.low < found.mce.value < found.mce.high


def test_a_network_is_as_good_as_itself():
    itself = run({"clean": 1, **dict.fromkeys(MAIN, (2, 3, 4, 5, 6))})
    (found,) = suite_errors(itself, itself)
    assert found.measured == 15
    assert found.mce == pytest.approx((1, 1, 1))
    assert found.relative_mce.value == pytest.approx(1)


def test_alexnet_is_the_reference_of_imagenet_c_at_224_with_1000_classes():
    wrong = {"clean": 435, **{name: [round(1000 * ALEXNET[name])] * 5 for name in MAIN}}
    (found,) = suite_errors(run(wrong, n=1000, classes=1000, shape=(3, 224, 224)))
    assert found.reference.startswith("AlexNet")
    assert found.mce.value == pytest.approx(1, abs=1e-3)
    assert found.relative_mce.value == pytest.approx(1, abs=3e-3)
    assert ALEXNET_CLEAN == 0.435


@pytest.mark.parametrize(
    "other", [{"classes": 10}, {"shape": (3, 64, 64)}, {"suite": "tiny_imagenet_c"}, {"shape": (1, 224, 224)}]
)
def test_alexnet_is_the_reference_of_nothing_else(other):
    (found,) = suite_errors(run({"fog": (1, 1, 1, 1, 1)}, **{"classes": 1000, "shape": (3, 224, 224), **other}))
    assert found.reference is None


def test_a_baseline_goes_before_alexnet():
    one = run({"fog": (1, 1, 1, 1, 1)}, classes=1000, shape=(3, 224, 224))
    assert suite_errors(one, one)[0].reference == "net, baseline run base"


def test_the_four_extra_ones_are_listed_and_not_in_the_mean():
    extra = next(name for name in CORRUPTIONS if name not in MAIN)
    (found,) = suite_errors(run({"fog": (1, 1, 1, 1, 1), extra: (9, 9, 9, 9, 9)}))
    assert found.mean_error.value == pytest.approx(0.1)
    assert [(c.corruption, c.in_mean, c.error) for c in found.corruptions] == [
        ("fog", True, pytest.approx(0.1)),
        (extra, False, pytest.approx(0.9)),
    ]


def test_a_corruption_that_lacks_a_severity_is_left_out():
    (found,) = suite_errors(run({"fog": (1, 1, 1, 1, 1), "snow": (9, 9)}))
    assert [c.corruption for c in found.corruptions] == ["fog"]
    assert suite_errors(run({"snow": (9, 9)})) == []
    assert suite_errors(run({"clean": 3})) == []


def test_where_there_is_nothing_to_divide_by_there_is_no_share():
    mine, perfect = run({"clean": 1, "fog": (1, 2, 3, 4, 5)}), run({"fog": (0, 0, 0, 0, 0)})
    (found,) = suite_errors(mine, perfect)
    assert found.mce is None
    unmoved = run({"clean": 2, "fog": (2, 2, 2, 2, 2)})
    (found,) = suite_errors(mine, unmoved)
    assert found.mce.value == pytest.approx(1.5)
    assert found.relative_mce is None


def test_two_variants_of_a_set_are_two_sets():
    one, old = run({"fog": (1, 1, 1, 1, 1)}), run({"fog": (3, 3, 3, 3, 3)})
    for condition in old.record.conditions[1:]:
        condition.spec = condition.spec.replace(")", ", legacy=true)")
    rows = old.samples.copy()
    changed = rows["condition"] != "clean"
    rows.loc[changed, "condition"] = rows.loc[changed, "condition"].str.replace(")", ", legacy=true)")
    one.record.conditions.extend(old.record.conditions[1:])
    both = one.replace(samples=pd.concat([one.samples, rows[changed]]))
    assert [(s.suite, s.mean_error.value) for s in suite_errors(both)] == [
        ("imagenet_c", pytest.approx(0.1)),
        ("imagenet_c(legacy=true)", pytest.approx(0.3)),
    ]


def test_the_interval_covers_the_truth_and_groups_widen_it():
    rng = np.random.default_rng(0)
    hits, widths = [], []
    for _ in range(100):
        k = int(rng.binomial(100, 0.3))
        (found,) = suite_errors(run({"fog": (k, k, k, k, k)}, n=100))
        hits.append(found.mean_error.low <= 0.3 <= found.mean_error.high)
        widths.append(found.mean_error.high - found.mean_error.low)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.05)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 100), rel=0.1)
    (whole,) = suite_errors(run({"fog": [30] * 5}, n=100, groups=[f"g{i // 10}" for i in range(100)]))
    assert whole.mean_error.value == pytest.approx(0.3)
    assert whole.mean_error.high - whole.mean_error.low > 2 * np.mean(widths)
    (alone,) = suite_errors(run({"fog": [30] * 5}, n=100, groups=["g"] * 100))
    assert alone.mean_error == (pytest.approx(0.3), None, None)


def test_a_baseline_of_other_images_or_conditions_is_refused():
    mine = run({"fog": (1, 1, 1, 1, 1), "snow": (1, 1, 1, 1, 1)})
    other = run({"fog": (1, 1, 1, 1, 1), "snow": (1, 1, 1, 1, 1)})
    other.record.data.manifest_sha256 = "xyz"
    with pytest.raises(InputError, match="saw other images"):
        suite_errors(mine, other)
    with pytest.raises(InputError, match="saw other images"):
        suite_errors(mine, run({"fog": (1, 1, 1, 1, 1)}, shape=(3, 64, 64)))
    with pytest.raises(InputError, match="has the seed 1, this run 0"):
        suite_errors(mine, run({"fog": (1, 1, 1, 1, 1)}, seed=1))
    with pytest.raises(InputError, match=r"lacks imagenet_c\(corruption=snow, severity=1\) and 4 more conditions"):
        suite_errors(mine, run({"fog": (1, 1, 1, 1, 1)}))
    with pytest.raises(InputError, match="was interrupted"):
        suite_errors(mine, mine.replace(record=SimpleNamespace(**{**vars(mine.record), "status": "interrupted"})))
    with pytest.raises(InputError, match="there is no mCE"):
        suite_errors(run({"clean": 1}), mine)
