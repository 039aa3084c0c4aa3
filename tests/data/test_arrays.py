"""Arrays in a file."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 7, 9, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "a.npz", **{"images": IMAGES, "labels": LABELS, **arrays})
        return f"npz:{tmp_path / 'a.npz'}"

    return write


def test_layouts_hold_the_same_images(save):
    last = load_dataset(save(), split="all")
    first = load_dataset(save(images=IMAGES.transpose(0, 3, 1, 2)), split="all")
    grey = load_dataset(save(images=IMAGES[..., 0]), split="all")
    assert last.read(5).shape == (3, 7, 9)
    assert np.array_equal(last.read(5), IMAGES[5].transpose(2, 0, 1) / np.float32(255))
    assert np.array_equal(last.read(5), first.read(5))
    assert last.sample_ids == first.sample_ids
    assert np.array_equal(grey.read(5), last.read(5)[:1])
    assert last.labels.tolist() == LABELS.tolist()
    assert last.class_names == ("0", "1", "2")
    assert last.files[:2] == ("0", "1")


def test_ids_know_the_type_of_the_pixels(save):
    small = load_dataset(save(), split="all")
    wide = load_dataset(save(images=IMAGES.astype(np.uint16)), split="all")
    swapped = load_dataset(save(images=IMAGES.astype(">u2")), split="all")
    assert not set(small.sample_ids) & set(wide.sample_ids)
    assert wide.sample_ids == swapped.sample_ids


def test_16_bits_and_floats(save):
    deep = RNG.integers(0, 65536, (12, 7, 9), dtype=np.uint16)
    assert np.array_equal(
        load_dataset(save(images=deep), split="all").read(3)[0], (deep[3] / 65535).astype(np.float32)
    )
    floats = RNG.random((12, 7, 9))
    assert np.array_equal(load_dataset(save(images=floats), split="all").read(3)[0], floats[3].astype(np.float32))


def test_many_channels_and_resizing(save):
    spec = save(images=RNG.random((12, 13, 40, 50)))
    assert load_dataset(spec, split="all").image_shape == (13, 40, 50)
    assert load_dataset(spec, split="all", input_size=(8, 8)).read(0).shape == (13, 8, 8)
    with pytest.raises(InputError, match="has 13 channels, which cannot be made 3"):
        load_dataset(spec, split="all", channels=3)


def test_groups_are_kept_whole_in_splits(save):
    spec = save(groups=np.arange(12) // 2, class_names=["a", "b", "c"], day=list("xxxxxxyyyyyy"))
    data = load_dataset(spec, split="all")
    assert data.groups == tuple(str(i // 2) for i in range(12))
    assert data.class_names == ("a", "b", "c")
    assert load_dataset(spec, split="all", group="column:day").groups == tuple("xxxxxxyyyyyy")
    found = {}
    for split in ("train", "val", "test"):
        try:
            found[split] = set(load_dataset(spec, split=split).groups or ())
        except InputError:
            continue
    assert sum(map(len, found.values())) == 6


def test_a_pattern_needs_file_names(save):
    with pytest.raises(InputError, match="has no file names"):
        load_dataset(save(), group=r"part(\d+)")
    with pytest.raises(InputError, match="digits has no file names"):
        load_dataset("digits", group="level:1")


REFUSED = {
    "no labels": ({"labels": LABELS[:5]}, r"labels of .* have the shape \(5,\) for 12 images"),
    "float labels": ({"labels": LABELS / 1}, "labels of .* are float64"),
    "negative": ({"labels": LABELS - 1}, r"labels of .* from -1 to 1.*0 to 2"),
    "from one": ({"labels": LABELS + 1}, r"labels of .* from 1 to 3.*0 to 2"),
    "too few names": ({"class_names": ["a", "b"]}, r"from 0 to 2.*0 to 1"),
    "8-bit floats": ({"images": IMAGES * 1.0}, "Divide by 255"),
    "16-bit floats": ({"images": IMAGES * 200.0}, "Divide by 65535"),
    "negative floats": ({"images": IMAGES / 255 - 0.5}, r"Scale them to \[0, 1\]"),
    "not a number": ({"images": np.where(IMAGES == 7, np.nan, IMAGES / 255)}, "nan"),
    "infinite": ({"images": np.where(IMAGES == 7, np.inf, IMAGES / 255)}, "inf"),
    "integers": ({"images": IMAGES.astype(np.int64)}, "are int64"),
    "flat": ({"images": IMAGES.reshape(12, -1)}, "have the shape"),
    "ambiguous": ({"images": IMAGES[:, :3]}, "the channels cannot be told"),
    "groups": ({"groups": np.zeros((12, 2))}, r"groups of .* have the shape \(12, 2\)"),
    "objects": ({"images": np.array([None] * 12)}, "holds Python objects"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_arrays(save, name):
    arrays, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(save(**arrays), split="all")
    assert caught.value.remedy


def test_refused_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_dataset("npz:nowhere.npz")
    np.savez(tmp_path / "a.npz", labels=LABELS)
    with pytest.raises(InputError, match="holds no array 'images', but labels"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    np.save(tmp_path / "b.npy", IMAGES)
    with pytest.raises(InputError, match=r"is no \.npz file"):
        load_dataset(f"npz:{tmp_path / 'b.npy'}")
    (tmp_path / "c.npz").write_text("not arrays")
    with pytest.raises(InputError, match=r"c\.npz"):
        load_dataset(f"npz:{tmp_path / 'c.npz'}")
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=LABELS)
    data = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"d\.npz"):
        load_dataset(f"npz:{tmp_path / 'd.npz'}")
