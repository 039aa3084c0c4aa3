"""Folds: scikit-learn's, and nothing that belongs together is ever on two sides."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold, TimeSeriesSplit

from robustbench_lite.data.dataset import Dataset, joined
from robustbench_lite.data.folds import gaps, make_folds, parse_protocol, ranks
from robustbench_lite.errors import InputError

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 90)
IDS = [f"{i}" for i in range(90)]
TWINS = [f"{i // 2}" for i in range(90)]  # each image twice, of one class
TWIN_LABELS = np.repeat(LABELS[:45], 2)
TWIN_GROUPS = [f"part {i // 8}" for i in range(90)]
GROUPS = [f"part {i}" for i in RANDOM.integers(0, 18, 90)]


def made(text, labels=LABELS, ids=IDS, groups=None, moments=None, seed=0):
    return make_folds(parse_protocol(text), labels, ids, groups, moments, seed)


def sides(fold):
    return fold.train, fold.val, fold.held_out


def disjoint(fold, of):
    """No two sides share a value of what the images belong to."""
    found = [{of[i] for i in side} for side in sides(fold)]
    return sum(map(len, found)) == len(set.union(*found))


@pytest.mark.parametrize("seed", [0, 7])
def test_kfold_is_scikit_learns(seed):
    theirs = RepeatedStratifiedKFold(n_splits=5, n_repeats=3, random_state=seed).split(LABELS, LABELS)
    for fold, (rest, held) in zip(made("kfold:5x3", seed=seed), theirs, strict=True):
        assert fold.held_out.tolist() == held.tolist()
        assert sorted([*fold.train, *fold.val]) == rest.tolist()
        assert abs(len(fold.val) - len(rest) / 5) < 3


def test_group_is_scikit_learns():
    theirs = StratifiedGroupKFold(4, shuffle=True, random_state=3).split(LABELS, LABELS, GROUPS)
    for fold, (_, held) in zip(made("group:4", groups=GROUPS, seed=3), theirs, strict=True):
        assert fold.held_out.tolist() == held.tolist()


def test_time_is_scikit_learns_on_moments():
    moments = [f"day {i}" for i in RANDOM.integers(1, 13, 90)]
    rank = ranks(moments)
    theirs = TimeSeriesSplit(3).split(np.arange(rank.max() + 1))
    for fold, (before, after) in zip(made("time:3", moments=moments), theirs, strict=True):
        assert set(rank[fold.held_out]) == set(after)
        assert set(rank[fold.train]) | set(rank[fold.val]) == set(before)
        assert rank[fold.train].max() < rank[fold.val].min()
        assert rank[fold.val].max() < rank[fold.held_out].min()


@pytest.mark.parametrize("text", ["kfold:5", "kfold:3x4", "group:4", "group:3x2"])
@pytest.mark.parametrize("twins", [False, True])
def test_all_are_held_out_once_per_repeat(text, twins):
    labels, ids, groups = (TWIN_LABELS, TWINS, TWIN_GROUPS) if twins else (LABELS, IDS, GROUPS)
    folds = made(text, labels, ids, groups if text.startswith("group") else None)
    protocol = parse_protocol(text)
    assert [fold.number for fold in folds] == list(range(1, protocol.folds * protocol.repeats + 1))
    for repeat in range(1, protocol.repeats + 1):
        held = np.concatenate([fold.held_out for fold in folds if fold.repeat == repeat])
        assert sorted(held) == list(range(90))
    for fold in folds:
        assert sorted(np.concatenate(sides(fold))) == list(range(90))


@pytest.mark.parametrize("text", ["kfold:4x2", "group:3", "time:4"])
def test_equal_images_and_groups_are_on_one_side(text):
    moments = IDS if text.startswith("time") else None
    for fold in made(text, TWIN_LABELS, TWINS, moments=moments, groups=None if "kfold" in text else TWIN_GROUPS):
        assert disjoint(fold, TWINS)
        if "kfold" not in text:
            assert disjoint(fold, TWIN_GROUPS)


def test_kfold_keeps_groups():
    assert all(disjoint(fold, GROUPS) for fold in made("kfold:4", groups=GROUPS))


def test_what_time_leaves_out_is_said():
    ids = [f"{i % 45}" for i in range(90)]  # every image again at the end
    moments = [f"{i}" for i in range(90)]
    folds = made("time:2", TWIN_LABELS, ids, moments=moments)
    # Of 60 before the second, 30 are equal to ones held out, and 6 to the latest, which choose the epoch.
    assert [fold.left_out for fold in folds] == [15, 30 + 6]
    for fold in folds:
        used = sum(map(len, sides(fold)))
        assert used + fold.left_out == 30 * (fold.number + 1)
    assert "fold 2: 36 images left out" in gaps(folds, TWIN_LABELS, "abc")[-1]


def test_the_seed_decides():
    first, again, other = (made("kfold:5", seed=seed)[0] for seed in (0, 0, 1))
    assert first.held_out.tolist() == again.held_out.tolist() != other.held_out.tolist()
    assert first.val.tolist() == again.val.tolist()


def test_moments_are_ordered_as_people_do():
    assert ranks(["b10", "b9", "a", "b10"]).tolist() == [2, 1, 0, 2]
    assert ranks(["2024-12-31", "2025-01-01", "2024-02-01"]).tolist() == [1, 2, 0]
    assert ranks(["10", "9.5", "-1"]).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "text", ["", "kfold", "kfold:1", "kfold:0x3", "group:5x0", "time:5x2", "holdout:2", "kfold:50x50", "week:5"]
)
def test_what_is_no_protocol(text):
    with pytest.raises(InputError, match="protocol"):
        parse_protocol(text)


def test_protocols_return_from_their_text():
    for text in ("holdout", "kfold:5", "kfold:5x3", "group:3", "time:2"):
        assert str(parse_protocol(text)) == text


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("group:3", {}, "no groups"),
        ("group:3", {"groups": ["a", "b"] * 45}, "2 groups cannot be divided into 3"),
        ("kfold:5", {"ids": ["a", "b", "c"] * 30, "labels": np.tile([0, 1, 2], 30)}, "3 different images"),
        ("kfold:20", {"labels": np.repeat(np.arange(9), 10)}, "no class has 20"),
        ("time:5", {"moments": ["1", "2", "3"] * 30}, "needs 6 moments, and there are 3"),
        ("time:2", {"moments": ["1", "2", "3"] * 30}, "fold 1 has no image to learn from"),
        ("time:2", {"moments": IDS, "labels": np.repeat([0, 1], [60, 30])}, "one class to learn from"),
        ("time:2", {}, "needs the order"),
    ],
)
def test_what_cannot_be_divided(text, given, message):
    with pytest.raises(InputError, match=message):
        made(text, **given)


def test_missing_classes_are_named():
    labels = np.array([0, 1] * 20 + [2, 2])
    told = gaps(made("kfold:4", labels, IDS[:42]), labels, ("good", "dent", "scratch"))
    assert sum("no image of scratch held out" in text for text in told) == 2
    assert not any("dent" in text or "good" in text for text in told)


def test_splits_are_joined():
    def part(n, first, groups=None):
        return Dataset(
            *("made", "train", ("a", "b"), np.arange(n) % 2),
            files=tuple(f"{first + i}" for i in range(n)),
            sample_ids=tuple(f"id{first + i}" for i in range(n)),
            read=lambda i: np.full((1, 2, 2), first + i, dtype=np.float32),
            eps={},
            groups=groups,
        )

    whole = joined([part(3, 0), part(2, 3)], "both")
    assert [whole.read(i)[0, 0, 0] for i in range(5)] == [0, 1, 2, 3, 4]
    assert whole.files == ("0", "1", "2", "3", "4")
    assert whole.labels.tolist() == [0, 1, 0, 0, 1]
    assert whole.groups is None
    assert joined([part(2, 0, ("x", "y")), part(1, 2, ("x",))], "both").groups == ("x", "y", "x")
    chosen = whole.select([4, 0])
    assert [chosen.read(i)[0, 0, 0] for i in range(2)] == [4, 0]
