"""The promise on real scores, and what is said of labelled images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from robustbench_lite import fit_detector, load_dataset
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.outliers.conformal import threshold
from robustbench_lite.outliers.gathering import gather
from robustbench_lite.outliers.judging import judge, judged, promise_kept, unseen
from robustbench_lite.outliers.metadata import MetadataNormals
from robustbench_lite.outliers.score import in_batches
from robustbench_lite.outliers.scored import Scored, score_images

NORMAL = ["0", "1", "2"]


@pytest.fixture(scope="module")
def digits():
    return {split: load_dataset("digits", split=split) for split in ("train", "val", "test", "all")}


@pytest.fixture(scope="module")
def detector(digits):
    return fit_detector(digits["train"], "objects", normal=NORMAL, false_alarms=0.05)


@pytest.fixture(scope="module")
def scored(detector, digits):
    found = Scored()
    score_images(detector, digits["test"], found)
    return found


def test_the_promise_is_kept_on_real_scores(digits):
    """200 draws of 150 digits to calibrate with, of 736: the others alarm as the beta law says."""
    detector = fit_detector(digits["train"], "objects", calibration=0)
    unseen_digits = torch.cat([gather(digits[split]).images for split in ("val", "test")])
    scores = in_batches(detector, unseen_digits).double().numpy()
    random, rate, n = np.random.default_rng(0), 0.05, 150
    rest, realised = len(scores) - n, []
    for _ in range(200):
        order = random.permutation(len(scores))
        found = threshold(scores[order[:n]], rate)
        realised.append(float((scores[order[n:]] > found.value).mean()))
    law = betabinom(rest, n + 1 - found.rank, found.rank)
    assert found.mean <= rate
    assert np.mean(realised) == pytest.approx(found.mean, abs=4 * law.std() / rest / 200**0.5)
    assert np.std(realised) == pytest.approx(law.std() / rest, rel=0.25)
    low, high = law.ppf([0.025, 0.975]) / rest
    assert 0.9 <= np.mean([low <= value <= high for value in realised]) <= 0.995


class TestPromise:
    law = threshold(np.arange(199.0), 0.05)

    @pytest.mark.parametrize(("alarms", "verdict"), [(5, "kept"), (30, "broken"), (11, "kept")])
    def test_the_tails_are_counted(self, alarms, verdict):
        found = promise_kept(self.law, alarms, 100)
        chances = betabinom(100, 10, 190).pmf(np.arange(101))
        assert found["p_more"] == pytest.approx(chances[alarms:].sum())
        assert found["p_fewer"] == pytest.approx(chances[: alarms + 1].sum())
        assert found["verdict"] == verdict

    def test_too_few_alarms_are_said_too(self):
        assert promise_kept(self.law, 0, 400)["verdict"] == "fewer"

    def test_it_cries_wolf_as_rarely_as_it_says(self):
        random = np.random.default_rng(1)
        broken = 0
        for _ in range(500):
            scores = random.normal(size=299)
            found = threshold(scores[:199], 0.05)
            broken += promise_kept(found, int((scores[199:] > found.value).sum()), 100)["verdict"] == "broken"
        assert broken / 500 <= 0.022


def test_the_measures_are_of_the_right_images(detector, scored):
    keep = unseen(detector, scored, ())
    images = judged(scored, keep, NORMAL, None)
    found = judge(detector, images, seed=3)
    table = scored.table()
    assert keep.all()
    assert found["n_normal"] == table["class_name"].isin(NORMAL).sum()
    assert found["n_normal"] + found["n_outliers"] == len(table)
    outliers = table[~table["class_name"].isin(NORMAL)]
    assert found["tpr"] == pytest.approx(outliers["alarm"].mean())
    assert found["promise"]["n"] == found["n_normal"]
    assert set(found["per_class"]) == set("3456789")
    mean = np.average(
        [c["auroc"] for c in found["per_class"].values()], weights=[c["n"] for c in found["per_class"].values()]
    )
    assert found["auroc"] == pytest.approx(mean)
    assert set(found["scores"]) == {member.spec for member in detector.members}
    assert found["auroc_low"] < found["auroc"] < found["auroc_high"]
    assert found["prefers_outliers"] == []
    tpr, rate = ([found[f"{name}{end}"] for end in ("_low", "_high")] for name in ("tpr", "false_alarm_rate"))
    assert found["alarm_value_low"] == pytest.approx(0.01 * tpr[0] / (0.01 * tpr[0] + 0.99 * rate[1]))
    assert found["alarm_value_high"] == pytest.approx(0.01 * tpr[1] / (0.01 * tpr[1] + 0.99 * rate[0]))
    rare = judge(detector, images, defect_rate=0.001)["alarm_value"]
    assert rare == pytest.approx(1e-3 * found["tpr"] / (1e-3 * found["tpr"] + 0.999 * found["false_alarm_rate"]))


def test_the_reversed_is_flagged(detector, scored):
    images = judged(scored, unseen(detector, scored, ()), [str(i) for i in range(3, 10)], None)
    assert "detector" in judge(detector, images)["prefers_outliers"]


def test_images_of_fitting_are_left_out(detector, digits):
    found = Scored()
    score_images(detector, digits["all"], found)
    keep = unseen(detector, found, ())
    of_fit = digits["train"].labels < 3
    assert (~keep).sum() == of_fit.sum()
    train = Scored()
    score_images(detector, digits["train"], train)
    with pytest.raises(InputError, match="every normal image, or its part, was used for fitting or calibration"):
        judged(train, unseen(detector, train, ()), NORMAL, None)


def test_pictures_of_a_part_of_fitting_are_left_out(detector, scored):
    rows = [rows.assign(group=["p1"] * len(rows)) for rows in scored.rows]
    grouped = Scored(rows, scored.indices, scored.marks, scored.metadata)
    assert unseen(detector, grouped, ["p2"]).all()
    assert not unseen(detector, grouped, ["p1"]).any()


def test_only_one_kind_is_refused(detector, scored):
    keep = unseen(detector, scored, ())
    with pytest.raises(InputError, match="no outlier"):
        judged(scored, keep, [str(i) for i in range(10)], None)
    with pytest.raises(InputError, match="no normal image"):
        judged(scored, keep, [], None)
    with pytest.raises(UnknownNameError, match="good"):
        judged(scored, keep, ["good"], None)


def test_size_and_length_are_a_baseline():
    """Outliers that are larger pictures are told from their size; what is not known gives no baseline."""
    normal = [(100 + i % 5, 100, 5000 + 37 * i) for i in range(50)]
    known = MetadataNormals.of([type_of(*values) for values in normal])
    assert known is not None
    scores = known.scores([type_of(101, 100, 5500), type_of(150, 100, 5500), type_of(101, 100, 90_000)])
    assert scores is not None
    assert scores[0] < 3 < scores[1:].min()
    assert known.scores([type_of(100, 100, None)]) is None
    assert MetadataNormals.of([]) is None
    without = MetadataNormals.of([type_of(8, 8, None)] * 3)
    assert without is not None
    assert without.scores([type_of(8, 8, 77)]) == pytest.approx([0.0])


def type_of(height, width, length):
    from robustbench_lite.data.dataset import Metadata

    return Metadata(height, width, length)
