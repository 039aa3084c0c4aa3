"""Names, the sets that come with the package or with torchvision, and loaders of one's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from robustbench_lite import descriptions, registry
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.data.source import Source
from robustbench_lite.errors import InputError, UnknownNameError

LOADER = '''
import numpy as np
from robustbench_lite.data.source import Source

def parts(size: str = "4", *, split: str):
    """Grey squares."""
    n = int(size)
    return Source(
        labels=np.arange(n) % 2,
        class_names=("dark", "light"),
        files=tuple(f"{split}{i}" for i in range(n)),
        read=lambda i: np.full((5, 6), i, np.uint8),
        splits=("test",) * n,
    )

def nothing():
    return [1, 2]

def empty():
    return Source(np.zeros(0, np.int64), ("a",), (), lambda i: None)

def greedy(*, secret):
    pass
'''


def test_digits():
    data = load_dataset("digits", split="all")
    assert len(data) == 1797
    assert data.image_shape == (1, 8, 8)
    assert data.class_names == tuple("0123456789")
    assert data.eps == {"linf": 0.1, "l2": 0.5}
    images = np.stack([data.read(i) for i in range(50)])
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1
    assert set(np.unique(images * 16)) <= set(range(17))
    batch = next(data.batches(50))
    assert np.array_equal(batch.images.numpy(), images)
    assert batch.sample_ids == data.sample_ids[:50]


def test_options_work_on_arrays_too():
    data = load_dataset("Digits", split="all", input_size=(16, 12), channels=3, limit=20)
    assert len(data) == 20
    assert data.image_shape == (3, 16, 12)
    assert np.bincount(data.labels).tolist() == [2] * 10


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dgits", "Did you mean 'digits'"),
        ("foldr:parts", "Did you mean 'folder'"),
        ("foldr:./parts", "Did you mean 'folder'"),
        ("", "unknown data ''"),
    ],
)
def test_unknown_names(spec, message):
    with pytest.raises(UnknownNameError, match=message):
        load_dataset(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("folder", r"folder needs its path. Write folder:PATH"),
        ("folder:", r"folder needs its path. Write folder:PATH"),
        ("digits:3", "digits takes no argument, but '3' follows it"),
    ],
)
def test_arguments(spec, message):
    with pytest.raises(InputError, match=message):
        load_dataset(spec)


@pytest.fixture
def loader(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(LOADER)
    return path


def test_a_loader_of_ones_own(loader):
    data = load_dataset(f"{loader}:parts")
    assert data.files == ("test0", "test1", "test2", "test3")
    assert data.read(3).shape == (1, 5, 6)
    assert data.eps == pytest.approx({"linf": 8 / 255, "l2": 0.5 * (30 / 3072) ** 0.5})
    assert len(load_dataset(f"{loader}:parts:6")) == 6
    assert len(set(load_dataset(f"{loader}:parts:6").sample_ids)) == 6


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "returned list"),
        ("empty", "holds no image"),
        ("greedy", "asks for 'secret'. It can have split, root, download, channels"),
        ("part", "Did you mean 'parts'"),
    ],
)
def test_a_loader_that_does_not_fit(loader, function, message):
    with pytest.raises(InputError, match=message):
        load_dataset(f"{loader}:{function}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0.0, 1.0])}, r"must be \(N,\) int64"),
        ({"labels": np.array([0, 2])}, "there are 2 class names"),
        ({"files": ("a",)}, "files has 1 entries for 2 labels"),
        ({"columns": {"day": ["x"]}}, "day has 1 entries"),
    ],
)
def test_a_source_that_does_not_fit_itself(changes, message):
    parts = {"labels": np.array([0, 1]), "class_names": ("a", "b"), "files": ("a", "b")}
    with pytest.raises(InputError, match=message):
        Source(**{**parts, "read": lambda i: np.zeros((2, 2), np.uint8), **changes})


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_a_set_that_is_not_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"is not at {tmp_path}/data/.*--data-root.*--download"):
        load_dataset(name)
    assert not (tmp_path / "data").exists()
    with pytest.raises(InputError, match=f"is not at {tmp_path}/there/"):
        load_dataset(name, root=tmp_path / "there")


def test_a_set_is_downloaded_only_when_asked(tmp_path, monkeypatch):
    import torchvision

    asked = []

    def fetch(root, download, train):
        asked.append(download)
        raise RuntimeError("Dataset not found.\nIt is elsewhere." if not download else "no network")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    with pytest.raises(InputError, match="--download"):
        load_dataset("mnist", root=tmp_path)
    with pytest.raises(InputError, match=r"could not be downloaded to .*: no network"):
        load_dataset("mnist", root=tmp_path, download=True)
    assert asked == [False, True]


def test_a_damaged_set(tmp_path):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(bytes(100))
    with pytest.raises(InputError, match="MNIST cannot be read"):
        load_dataset("mnist", root=tmp_path)


class FakeSVHN:
    """The layout of torchvision's SVHN."""

    def __init__(self, root, download, split):
        rng = np.random.default_rng(len(split))
        self.data = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
        self.labels = np.arange(20) % 10


def test_svhn_layout(monkeypatch, tmp_path):
    import torchvision

    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeSVHN)
    data = load_dataset("svhn", split="all", root=tmp_path)
    assert len(data) == 40
    assert np.array_equal(data.read(25), FakeSVHN("", False, "test").data[5] / np.float32(255))
    assert data.files[25] == "test/5"
    assert data.eps == {"linf": 8 / 255, "l2": 0.5}


def test_mnist_is_torchvisions(shared_data):
    if not (shared_data / "MNIST").is_dir():
        pytest.skip("MNIST is not here")
    from torchvision.datasets import MNIST

    theirs = MNIST(str(shared_data), train=False)
    ours = load_dataset("mnist", root=shared_data, first=1000)
    assert ours.labels.tolist() == theirs.targets[:1000].tolist()
    assert np.array_equal(ours.read(7)[0], theirs.data[7].numpy() / np.float32(255))
    assert ours.eps == {"linf": 0.3, "l2": 2.0}
    assert ours.image_shape == (1, 28, 28)


def test_every_built_in_name_is_described():
    lines = {line.name: line for line in descriptions.describe("data")}
    assert set(registry.BUILTIN["data"]) <= set(lines)
    assert all(line.summary.endswith(".") for line in lines.values())
    assert dict(lines["folder"].parameters) == {"path": "required"}
    assert dict(lines["mnist"].parameters) == {}


def test_describing_does_not_import_torch(tmp_path):
    code = """
import sys
from robustbench_lite import descriptions
descriptions.describe("data")
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
