"""Augmentations: against torchvision and the published formula, by each image's own stream, with true labels."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import v2

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.training.augmenting import ALPHA, augmented, check_augmentations, mixed
from robustbench_lite.training.loop import Hooks, Step, fit, seeded
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.options import AUGMENTATIONS, TrainingOptions
from robustbench_lite.training.recipe import Recipe, make_recipe
from robustbench_lite.training.tensors import Tensors
from robustbench_lite.training.trainer import Epoch, train

PER_IMAGE = [name for name in AUGMENTATIONS if name != "mixup"]


def images(count, channels=1, height=24, width=32, seed=0):
    whole = torch.randint(256, (count, channels, height, width), generator=torch.Generator().manual_seed(seed))
    return whole / 255  # as files of 8 bits have them


def streams(count, epoch=1):
    return Streams(0, f"training, epoch {epoch}", tuple(f"image {i}" for i in range(count)))


@pytest.mark.parametrize("name", PER_IMAGE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_each_image_by_its_own_stream(name, channels):
    if channels == 4 and name in ("trivialaugment", "augmix"):
        return
    x, s = images(20, channels), streams(20)
    before, state = x.clone(), torch.get_rng_state()
    out = augmented(x, s, [name])
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert out.min() >= 0
    assert out.max() <= 1
    alone = [augmented(x[i : i + 1], s[[i]], [name]) for i in range(20)]
    assert torch.equal(out, torch.cat(alone))
    assert not torch.equal(out, augmented(x, streams(20, epoch=2), [name]))
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "theirs"), [("trivialaugment", v2.TrivialAugmentWide), ("augmix", v2.AugMix)])
@pytest.mark.parametrize("channels", [1, 3])
def test_as_torchvision_does_it(name, theirs, channels):
    x, s = images(16, channels), streams(16)
    out = augmented(x, s, [name])
    for i in range(16):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(stable_hash(0, "training, epoch 1", f"image {i}", name))
            assert torch.equal(theirs()((x[i] * 255).round().byte()), (out[i] * 255).round().byte())


@pytest.mark.parametrize(("name", "side"), [("flip", 3), ("flip-vertical", 2)])
def test_half_of_the_images_are_mirrored(name, side):
    x = images(400)
    out = augmented(x, streams(400), [name])
    same = (out == x).flatten(1).all(1)
    assert torch.equal(out[~same], x[~same].flip(side))
    assert 160 < int(same.sum()) < 240  # standard deviation 10


def test_a_crop_is_a_window_of_the_padded_image():
    x = images(600, channels=2, height=16, width=32)
    out = augmented(x, streams(600), ["crop"])
    padded = F.pad(x, (4, 4, 2, 2), mode="reflect")  # an eighth of each side
    found = torch.zeros(5, 9, dtype=torch.int64)
    for top in range(5):
        for left in range(9):
            window = padded[:, :, top : top + 16, left : left + 32]
            found[top, left] = int((window == out).flatten(1).all(1).sum())
    assert int(found.sum()) == 600
    assert int(found.min()) > 2  # of 13 expected: every window comes


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 1)])
def test_tiny_images_are_cropped_as_far_as_they_go(shape):
    x = images(8, 1, *shape)
    assert augmented(x, streams(8), ["crop", "flip"]).shape == x.shape


def test_they_are_done_in_order():
    x, s = images(30), streams(30)
    both = augmented(x, s, ["crop", "trivialaugment"])
    assert torch.equal(both, augmented(augmented(x, s, ["crop"]), s, ["trivialaugment"]))
    assert not torch.equal(both, augmented(x, s, ["trivialaugment", "crop"]))


def test_mixup_is_the_published_formula():
    x, labels = images(12), torch.arange(12) % 3
    torch.manual_seed(7)
    out = mixed(x, labels, 3)
    torch.manual_seed(7)
    share = torch.distributions.Beta(ALPHA, ALPHA).sample()
    others = torch.randperm(12)
    truth = F.one_hot(labels, 3).float()
    torch.testing.assert_close(out.images, share * x + (1 - share) * x[others])
    torch.testing.assert_close(out.labels, share * truth + (1 - share) * truth[others])


def test_mixup_stays_between_black_and_white():
    black_and_white = images(50).round()
    for seed in range(20):
        torch.manual_seed(seed)
        out = mixed(black_and_white, torch.arange(50) % 2, 2)
        assert out.images.min() >= 0
        assert out.images.max() <= 1
        torch.testing.assert_close(out.labels.sum(1), torch.ones(50))


def test_label_smoothing_with_mixup():
    """Shares, then smoothed: -sum of ((1 - s)·share + s/K)·log p."""
    network = build_network("linear", num_classes=3, input_shape=(1, 24, 32))
    data = Tensors(images(12), torch.arange(12) % 3, tuple(map(str, range(12))))
    options = TrainingOptions(augment=("mixup",), label_smoothing=0.2)
    objective = Objective(network, [0.0], [1.0], data, Recipe(), options, 3)
    torch.manual_seed(3)
    loss = objective(torch.arange(12), Step(1, 0, 1))
    torch.manual_seed(3)
    x, shares = mixed(data.images, data.labels, 3)
    expected = -((0.8 * shares + 0.2 / 3) * network(x).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("names", "shape", "attacked", "told"),
    [
        (["mixup"], (1, 28, 28), True, "do not go together"),
        (["trivialaugment"], (4, 64, 64), False, "1 or 3 channels, not 4"),
        (["flip", "augmix"], (7, 64, 64), False, "1 or 3 channels, not 7"),
        (["trivialaugment"], (1, 8, 8), False, "nothing would be left"),
        (["flip", "crop", "flip"], (1, 8, 8), False, "flip stands twice"),
    ],
)
def test_what_does_not_fit_is_refused(names, shape, attacked, told):
    with pytest.raises(InputError, match=told):
        check_augmentations(names, shape, attacked=attacked)


def test_what_fits_is_not():
    check_augmentations(["flip", "crop", "mixup"], (7, 8, 8), attacked=False)
    check_augmentations(["trivialaugment", "augmix"], (1, 28, 28), attacked=True)


def test_misspelt():
    with pytest.raises(InputError, match="Did you mean 'trivialaugment'"):
        TrainingOptions(augment=("trivial-augment",))


def test_training_refuses_before_it_begins():
    data = load_dataset("digits", split="train", limit=40)
    with pytest.raises(InputError, match="nothing would be left"):
        train("linear", data, data, TrainingOptions(augment=("trivialaugment",)))


def made(count, split, height=24, width=32):
    """Dark and bright images."""
    pixels = images(count, 1, height, width).numpy() / 2
    labels = np.arange(count) % 2
    return Dataset(
        spec="made",
        split=split,
        class_names=("dark", "bright"),
        labels=labels,
        files=tuple(map(str, range(count))),
        sample_ids=tuple(f"{split}{i}" for i in range(count)),
        read=lambda i: pixels[i] + np.float32(labels[i] / 2),
        eps={},
    )


def test_the_seed_decides_with_all_of_them():
    train_set, val_set = made(32, "train"), made(16, "val")
    shas = []
    for seed in (0, 0, 1):
        torch.rand(3)
        options = TrainingOptions(epochs=2, batch_size=16, augment=AUGMENTATIONS, seed=seed)
        shas.append(Classifier(train("cnn(width=2)", train_set, val_set, options).network).weights_sha256)
    assert shas[0] == shas[1] != shas[2]


def fitted(begin=None):
    """A training with every augmentation and with shifts: its weights, and its state after each epoch."""
    options = TrainingOptions(epochs=3, batch_size=8, augment=AUGMENTATIONS)
    states = []
    hooks = Hooks(
        lambda epoch, loss, lr: Epoch(epoch, loss, 0, -epoch, 0, lr, 0),
        lambda epoch: None,
        keep=lambda state: states.append(copy.deepcopy(state)),
        begin=begin,
        restored=lambda entry: Epoch(**entry),
    )
    data = Tensors(images(20), torch.arange(20) % 2, tuple(map(str, range(20))))
    with seeded(0, torch.device("cpu")):
        network = build_network("cnn(width=2)", num_classes=2, input_shape=(1, 24, 32))
        objective = Objective(network, [0.5], [0.3], data, make_recipe(shift="night, blur"), options, 2)
        fit(network, 20, objective, options, hooks)
    return network.state_dict(), states


def test_a_training_that_goes_on_draws_what_it_would_have_drawn():
    whole, states = fitted()
    for state in states[:2]:
        again, _ = fitted(begin=state)
        assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_an_image_that_comes_twice_in_a_batch_is_not_twice_the_same():
    """As rare classes do when all are drawn equally often."""
    data = Tensors(images(1).expand(2, 1, 24, 32), torch.arange(2), ("a", "b"))
    for balanced in (False, True):
        options = TrainingOptions(augment=("crop",), balanced=balanced)
        network = build_network("linear", num_classes=2, input_shape=(1, 24, 32))
        objective = Objective(network, [0.5], [0.3], data, Recipe(), options, 2)
        shown = []
        objective.forward = lambda x, shown=shown: (shown.append(x), torch.zeros(len(x), 2))[1]
        objective(torch.zeros(9, dtype=torch.int64), Step(1, 0, 1))
        assert (len(shown[0].unique(dim=0)) > 1) == balanced
