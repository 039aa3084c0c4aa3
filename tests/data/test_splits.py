"""Splits stay as they are, never cut a group, and never show the same image twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.data.source import Source
from robustbench_lite.data.splits import allocate, hash_split, position, split_indices, stratified
from robustbench_lite.errors import InputError, UnknownNameError

GOLDEN = ["train", "train", "test", "train", "train", "test", "test", "train"]
DIGITS_GOLDEN = ("c7b6874db3d8376b", "0fb70e6138756ce0", "5cbc208c11fac304")


def test_positions_are_fixed_for_ever():
    # printf part7 | sha256sum
    assert position(b"part7") == int("0f4b7697b34b8a1e", 16) / 2**64
    assert [hash_split(str(i).encode()) for i in range(8)] == GOLDEN


def test_positions_are_spread_evenly():
    counts = Counter(hash_split(str(i).encode()) for i in range(10_000))
    assert abs(counts["train"] - 6000) < 200
    assert abs(counts["val"] - 2000) < 160


def source_of(groups, splits=None):
    n = len(groups)
    return Source(
        labels=np.arange(n) % 2,
        class_names=("a", "b"),
        files=tuple(map(str, range(n))),
        read=lambda i: np.full((2, 2), i, np.uint16),
        splits=splits,
        groups=tuple(groups),
    )


@given(st.lists(st.integers(0, 12).map(str), min_size=1, max_size=60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_split_never_cuts_a_group(groups, has_train):
    splits = tuple("train" for _ in groups) if has_train else None
    source = source_of(groups, splits)
    seen: dict[str, str] = {}
    total = 0
    for split in ("train", "val") if has_train else ("train", "val", "test"):
        try:
            chosen = split_indices(source, "x", split, groups.__getitem__, lambda _: pytest.fail("hashed"))
        except InputError:
            continue  # empty
        total += len(chosen)
        for i in chosen:
            assert seen.setdefault(groups[i], split) == split
    assert total == len(groups)


def test_equal_pictures_stay_together_whatever_their_class(make_folder):
    names = [f"{c}/{i}.png" for c in ("good", "scratch") for i in range(30)]
    root = make_folder(*names)
    for i in range(30):
        (root / f"scratch/{i}.png").write_bytes((root / f"good/{i}.png").read_bytes())
    for split in ("train", "val", "test"):
        files = load_dataset(f"folder:{root}", split=split).files
        assert {f.split("/")[1] for f in files if "good" in f} == {
            f.split("/")[1] for f in files if "scratch" in f
        }


def test_a_file_keeps_its_split_when_others_come_or_it_is_renamed(make_folder):
    root = make_folder(*(f"good/{i}.png" for i in range(40)))
    before = {s: set(load_dataset(f"folder:{root}", split=s).sample_ids) for s in ("train", "val", "test")}
    (root / "good/0.png").rename(root / "good/zzz.png")
    make_folder(*(f"good/new{i}.png" for i in range(20)), seed=1)
    for split, ids in before.items():
        assert ids <= set(load_dataset(f"folder:{root}", split=split).sample_ids)


def test_val_is_carved_out_of_train_if_it_does_not_exist(make_folder):
    root = make_folder(*(f"{s}/good/{i}.png" for s in ("train", "test") for i in range(60)))
    train, val, test = (load_dataset(f"folder:{root}", split=s) for s in ("train", "val", "test"))
    assert len(test) == 60
    assert len(train) + len(val) == 60
    assert 4 <= len(val) <= 20
    assert not set(train.files) & set(val.files)
    assert all(f.startswith("train/") for f in val.files)
    make_folder("valid/good/1.png", seed=2)
    assert load_dataset(f"folder:{root}", split="val").files == ("valid/good/1.png",)
    assert len(load_dataset(f"folder:{root}", split="train")) == 60
    assert len(load_dataset(f"folder:{root}", split="all")) == 121


def test_carving_keeps_groups_whole(make_folder):
    root = make_folder(*(f"train/good/part{i // 3}_{i % 3}.png" for i in range(60)))
    parts = [
        set(load_dataset(f"folder:{root}", split=s, group=r"part(\d+)").groups or ()) for s in ("train", "val")
    ]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 20


def test_a_missing_split(make_folder):
    root = make_folder("train/good/1.png", "val/good/1.png")
    with pytest.raises(InputError, match=r"has no split 'test'\. It has train and val"):
        load_dataset(f"folder:{root}")
    with pytest.raises(UnknownNameError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        load_dataset(f"folder:{root}", split="tset")


def test_an_empty_split(make_folder):
    root = make_folder("good/1.png")
    sizes = []
    for split in ("train", "val", "test"):
        try:
            sizes.append(len(load_dataset(f"folder:{root}", split=split)))
        except InputError as error:
            assert f"the split {split!r}" in str(error)  # noqa: PT017
            assert "1 images were split by content" in str(error)  # noqa: PT017
    assert sizes == [1]


@given(
    st.dictionaries(st.integers(0, 20), st.integers(1, 50), min_size=1, max_size=12),
    st.integers(1, 400),
    st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_shares(counts, limit, seed):
    shares = allocate(counts, limit, seed)
    total = sum(counts.values())
    assert sum(shares.values()) == min(limit, total)
    assert all(0 <= shares[label] <= counts[label] for label in counts)
    if limit >= len(counts):
        assert all(share >= 1 for share in shares.values())
    if all(limit * n >= total for n in counts.values()):
        assert all(abs(shares[label] - limit * n / total) < 1 or limit >= total for label, n in counts.items())


def test_a_sample_is_stratified_seeded_and_in_order():
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    files = [f"f{i}" for i in range(100)]
    chosen = stratified(range(100), labels, files, 20, seed=0)
    assert chosen == sorted(chosen)
    assert Counter(labels[chosen].tolist()) == {0: 16, 1: 3, 2: 1}
    assert chosen == stratified(range(100), labels, files, 20, seed=0)
    assert chosen != stratified(range(100), labels, files, 20, seed=1)
    assert set(chosen) <= set(stratified(range(100), labels, files, 40, seed=0))


def test_digits_are_split_as_ever():
    splits = {s: load_dataset("digits", split=s) for s in ("train", "val", "test")}
    assert {s: len(d) for s, d in splits.items()} == {"train": 1061, "val": 375, "test": 361}
    assert splits["test"].sample_ids[:3] == DIGITS_GOLDEN
    everything = load_dataset("digits", split="all")
    assert len(everything) == 1797
    assert sorted(everything.sample_ids) == sorted(i for d in splits.values() for i in d.sample_ids)


def test_mnist_val(shared_data: Path):
    if not (shared_data / "MNIST").is_dir():
        pytest.skip("MNIST is not here")
    val = load_dataset("mnist", split="val", root=shared_data)
    assert len(val) == 11_953
    assert val.files[0].startswith("train/")
