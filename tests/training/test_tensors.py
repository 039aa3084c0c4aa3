"""Images that do not fit into the memory: the same training, from images that are decoded when they are needed."""

from __future__ import annotations

import dataclasses
import math
import threading

import numpy as np
import pytest
import torch

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import DamagedImageError, Dataset, MixedShapesError
from robustbench_lite.errors import InputError
from robustbench_lite.training import on_demand, tensors
from robustbench_lite.training.baselines import baselines
from robustbench_lite.training.lr_range import find_lr
from robustbench_lite.training.on_demand import OnDemand
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import make_recipe
from robustbench_lite.training.tensors import images_in_memory, statistics, tensors_of
from robustbench_lite.training.trainer import train

N, VAL_N = 150, 70
DAMAGED = {0, 17, 64, 149}


def made(count, *, split="train", seed=0, damaged=frozenset(), side=8, groups=False):
    """Colour images whose mean says which of three classes they are of."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    pixels = (labels[:, None, None, None] / 2 + 0.3 * random.normal(size=(count, 3, side, side))).clip(0, 1)
    pixels = pixels.astype(np.float32)

    def read(i):
        if i in damaged:
            raise DamagedImageError(f"{i}.png: cut off.", "Replace it.")
        return pixels[i]

    return Dataset(
        spec="made",
        split=split,
        class_names=("a", "b", "c"),
        labels=labels,
        files=tuple(f"{i}.png" for i in range(count)),
        sample_ids=tuple(f"{split}{i}" for i in range(count)),
        read=read,
        eps={"linf": 0.05},
        groups=tuple(f"part{i // 2}" for i in range(count)) if groups else None,
    )


TRAIN, VAL = made(N, damaged=DAMAGED), made(VAL_N, split="val", seed=1, groups=True)


@pytest.fixture
def small(monkeypatch):
    """Any image is too much."""
    return lambda: monkeypatch.setattr(tensors, "MEMORY_BUDGET", 0)


@pytest.fixture
def both(small):
    """The training images in memory, and on demand."""
    kept = tensors_of(TRAIN, "cpu")
    small()
    return kept, tensors_of(TRAIN, "cpu")


@dataclasses.dataclass
class Reads:
    """Which images were read, in which order; every ``read`` waits while the door is shut."""

    dataset: Dataset
    read: list[int] = dataclasses.field(default_factory=list)
    door: threading.Event = dataclasses.field(default_factory=threading.Event)

    def images(self):
        self.door.set()

        def read(i):
            assert self.door.wait(10)
            self.read.append(i)
            return self.dataset.read(i)

        found = tensors_of(dataclasses.replace(self.dataset, read=read), "cpu").images
        self.read.clear()
        return found


def same_history(one, two):
    """But for the times."""
    for a, b in zip(one["epochs"], two["epochs"], strict=True):
        assert a.keys() == b.keys()
        assert all(a[key] == b[key] for key in a if not key.endswith("seconds"))


def test_while_they_fit_they_are_a_tensor():
    images = tensors_of(TRAIN, "cpu").images
    assert isinstance(images, torch.Tensor)
    assert torch.equal(images, images_in_memory(TRAIN))


def test_same_images_labels_ids_and_groups(both, small):
    kept, demanded = both
    assert isinstance(demanded.images, OnDemand)
    assert demanded.ids == kept.ids == tuple(f"train{i}" for i in range(N) if i not in DAMAGED)
    assert torch.equal(demanded.labels, kept.labels)
    assert demanded.images.shape == kept.images.shape
    assert len(demanded.images) == len(kept.images) == N - len(DAMAGED)
    assert demanded.groups is kept.groups is None
    assert tensors_of(VAL, "cpu").groups.tolist() == [f"part{i // 2}" for i in range(VAL_N)]


@pytest.mark.parametrize(
    "chosen",
    [slice(0, 5), slice(None), slice(100, 1000), torch.tensor([3]), torch.tensor([145, 0, 7, 7, 2])],
    ids=str,
)
def test_what_is_taken_is_what_a_tensor_gives(both, chosen):
    kept, demanded = both
    for _ in range(2):
        taken = demanded.images[chosen]
        assert taken.dtype == torch.float32
        assert torch.equal(taken, kept.images[chosen])


def test_the_order_that_was_said_need_not_be_kept(both):
    kept, demanded = both
    demanded.images.expect(range(40))
    for chosen in (torch.arange(8), slice(100, 110), torch.arange(8, 16), torch.tensor([50, 17]), slice(110, 120)):
        assert torch.equal(demanded.images[chosen], kept.images[chosen])


def test_statistics_are_those_of_the_images_in_memory(both):
    kept, demanded = both
    pixels = kept.images.double().numpy()
    exact = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), ddof=1)
    for streamed, truth, in_memory in zip(
        statistics(demanded.images), exact, statistics(kept.images), strict=True
    ):
        assert streamed == pytest.approx(truth, abs=6e-7)
        assert streamed == pytest.approx(in_memory, abs=1.1e-6)


def test_of_images_that_do_not_vary_std_is_not_zero(small):
    small()
    flat = dataclasses.replace(VAL, read=lambda i: np.full((3, 8, 8), 0.1, np.float32))
    assert statistics(tensors_of(flat, "cpu").images) == ([0.1] * 3, [1e-3] * 3)


def test_every_image_is_read_once_and_no_more_than_a_batch_is_ahead(small):
    small()
    reads = Reads(VAL)
    images = reads.images()
    order = torch.randperm(VAL_N).tolist()
    images.expect(order)
    for start in range(0, VAL_N, 10):
        images[torch.tensor(order[start : start + 10])]
        assert len(reads.read) <= start + 20
    assert sorted(reads.read) == list(range(VAL_N))
    reads.read.clear()
    for start in range(0, VAL_N, 10):
        images[start : start + 10]
    assert sorted(reads.read) == list(range(VAL_N))


def test_the_next_batch_is_read_while_this_one_is_learnt_from(small):
    small()
    reads = Reads(VAL)
    images = reads.images()
    images.expect(range(VAL_N))
    images[torch.arange(10)]
    ahead = list(images._ahead)
    assert [place for place, _ in ahead] == list(range(10, 20))
    assert all(pixels.result(10).shape == (3, 8, 8) for _, pixels in ahead)  # without being asked for
    assert set(reads.read) == set(range(20))


def test_what_is_no_longer_expected_is_not_read(small, monkeypatch):
    small()
    monkeypatch.setattr(on_demand, "WORKERS", 1)
    reads = Reads(VAL)
    images = reads.images()
    images.expect(range(VAL_N))
    images[torch.arange(2)]
    reads.door.clear()
    images._read_ahead(30)
    images.expect(range(40, VAL_N))
    reads.door.set()
    assert torch.equal(images[torch.arange(40, 50)], images_in_memory_of(VAL, 40, 50))
    assert not set(reads.read) & set(range(10, 40))


def images_in_memory_of(dataset, start, stop):
    return torch.from_numpy(np.stack([dataset.read(i) for i in range(start, stop)]))


RECIPES = {
    "clean": {},
    "shift": {"shift": "night(severity=1..4), gaussian_blur, jpeg"},
    "attack": {"adversarial": "pgd", "arguments": {"steps": 2}},
}


@pytest.mark.parametrize(("recipe", "balanced"), [("clean", False), ("shift", True), ("attack", False)])
def test_the_same_weights_either_way(small, caplog, recipe, balanced):
    options = TrainingOptions(epochs=2, batch_size=16, balanced=balanced, augment=("crop",), dropout=0.2)

    def trained():
        return train("cnn(width=4)", TRAIN, VAL, options, recipe=make_recipe(**RECIPES[recipe]))

    kept = trained()
    assert "on demand" not in caplog.text
    small()
    demanded = trained()
    assert caplog.text.count("are decoded on demand") == 2
    assert (demanded.info.mean, demanded.info.std) == (kept.info.mean, kept.info.std)
    same_history(demanded.info.history, kept.info.history)
    assert demanded.info.history["baselines"] == kept.info.history["baselines"]
    assert demanded.info.history["validation"] == kept.info.history["validation"]
    assert Classifier(demanded.network).weights_sha256 == Classifier(kept.network).weights_sha256


def test_memory_holds_two_batches_and_not_the_split(small, monkeypatch):
    """The most images that a single request gets, over a whole training."""
    small()
    sizes = []
    taken = OnDemand.__getitem__

    def counting(self, chosen):
        out = taken(self, chosen)
        sizes.append(len(out))
        return out

    monkeypatch.setattr(OnDemand, "__getitem__", counting)
    recipe = make_recipe(shift="gaussian_blur")
    train("linear", TRAIN, VAL, TrainingOptions(epochs=1, batch_size=4), recipe=recipe, baselines=False)
    assert max(sizes) == 16  # validation takes four batches at a time


def test_the_message_says_how_much_it_is(monkeypatch, caplog):
    monkeypatch.setattr(tensors, "MEMORY_BUDGET", 2**30)
    many = dataclasses.replace(made(3), labels=np.zeros(10**6 * 4, np.int64))
    monkeypatch.setattr(tensors, "_on_demand", lambda dataset, device: None)
    tensors_of(many, "cpu")
    said = "4000000 images of the train split are decoded on demand: 2.86 GiB would not fit into the 1 that"
    assert said in caplog.text


def test_a_training_that_was_stopped_goes_on(small, tmp_path):
    small()
    options, state = TrainingOptions(epochs=3, batch_size=16), tmp_path / "net.resume"
    whole = train("linear", TRAIN, VAL, options)

    def stop(epoch):
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    train("linear", TRAIN, VAL, options, on_epoch=stop, resume=state)
    again = train("linear", TRAIN, VAL, options, resume=state)
    assert Classifier(again.network).weights_sha256 == Classifier(whole.network).weights_sha256
    other = made(N, damaged=DAMAGED, seed=5)  # the same ids, other pixels
    with pytest.raises(InputError, match="training images was"):
        train("linear", other, VAL, options, resume=state)


def test_simple_methods_and_the_search_for_a_rate(small):
    kept = baselines(TRAIN, VAL), find_lr("linear", TRAIN)
    small()
    demanded = baselines(TRAIN, VAL), find_lr("linear", TRAIN)
    assert [b.accuracy for b in demanded[0]] == [b.accuracy for b in kept[0]]
    assert demanded[1].losses == kept[1].losses


@pytest.mark.parametrize("wrong", [math.nan, 1.5, -0.1])
def test_values_outside_0_and_1_are_refused(small, wrong):
    small()

    def read(i):
        pixels = VAL.read(i).copy()
        if i == 33:
            pixels[1, 2, 3] = wrong
        return pixels

    with pytest.raises(InputError, match=r"33\.png of the val split holds values outside"):
        train("linear", TRAIN, dataclasses.replace(VAL, read=read), TrainingOptions(epochs=1))


def test_an_image_that_is_lost_on_the_way(small):
    small()
    damaged = set()
    with pytest.raises(InputError, match=r"lost while the network learnt from it: 7\.png: cut off") as error:
        train("linear", made(N, damaged=damaged), VAL, TrainingOptions(), on_epoch=lambda epoch: damaged.add(7))
    assert "--resume" in error.value.remedy
    assert not isinstance(error.value, DamagedImageError)  # which would be passed over as one of many


@pytest.mark.parametrize("budget", [0, 2**30])
def test_no_image_and_images_of_two_shapes_are_refused(monkeypatch, budget):
    monkeypatch.setattr(tensors, "MEMORY_BUDGET", budget)
    with pytest.raises(InputError, match="holds no image"):
        tensors_of(made(4, damaged=set(range(4))), "cpu")
    odd = dataclasses.replace(made(600), read=lambda i: np.zeros((3, 8, 8 if i < 512 else 9), np.float32))
    with pytest.raises(MixedShapesError, match=r"0\.png is 3 x 8 x 8 .*, 512\.png is 3 x 8 x 9"):
        tensors_of(odd, "cpu")


def test_those_that_need_all_at_once_refuse(small):
    small()
    with pytest.raises(InputError, match="the limit is 0") as error:
        images_in_memory(VAL)
    assert "--input-size" in error.value.remedy
