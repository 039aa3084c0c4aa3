"""Optimisers, schedules and regularisation, beside PyTorch used directly and published formulas."""

from __future__ import annotations

import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training.averaging import MovingAverage
from robustbench_lite.training.dropout import dropping
from robustbench_lite.training.generators import train_generator
from robustbench_lite.training.loop import Hooks, batches, fit, seeded
from robustbench_lite.training.optimising import l1_norm, make_optimizer, make_schedule
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.sampling import balanced, shuffled
from robustbench_lite.training.trainer import Epoch, train

RANDOM = torch.Generator().manual_seed(3)
X, Y = torch.rand(40, 1, 4, 4, generator=RANDOM), torch.randint(0, 3, (40,), generator=RANDOM)
EPOCHS, SIZE, LR = 4, 16, 0.02
STEPS = math.ceil(len(X) / SIZE)


def net():
    with seeded(0, torch.device("cpu")):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def options(**given):
    return TrainingOptions(**{"epochs": EPOCHS, "batch_size": SIZE, "lr": LR, "patience": 99, **given})


def loss(network):
    return lambda chunk, step: F.cross_entropy(network(X[chunk]), Y[chunk])


def hooks(**given):
    return Hooks(
        lambda epoch, train_loss, lr: Epoch(epoch, train_loss, 0.0, 1.0 / epoch, 0.0, lr, 0.0),
        lambda epoch: None,
        restored=lambda entry: Epoch(**entry),
        **given,
    )


def fitted(given, network=None, hooked=None, **more):
    """The last epoch counts as the best."""
    network = network or net()
    with seeded(0, torch.device("cpu")):
        return fit(network, len(X), loss(network), given, hooked or hooks(), **more)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


BY_HAND = {
    "adamw": lambda weights: torch.optim.AdamW(weights, LR, weight_decay=0.03),
    "adam": lambda weights: torch.optim.Adam(weights, LR, weight_decay=0.03),
    "sgd": lambda weights: torch.optim.SGD(weights, LR, momentum=0.8, nesterov=True, weight_decay=0.03),
}


def rate(schedule, step):
    """The published shapes, written out."""
    total = EPOCHS * STEPS
    if schedule == "cosine":
        return LR * (1 + math.cos(math.pi * step / total)) / 2
    if schedule == "step":
        return LR * (0.01 if step >= 0.9 * total else 0.1 if step >= total * 2 / 3 else 1)
    if schedule == "constant":
        return LR
    up = 0.1 * total - 1  # one-cycle: from a 25th to the peak, then to a 10,000th of the beginning
    low, high, part = (LR / 25, LR, step / up) if step <= up else (LR, LR / 25e4, (step - up) / (total - 1 - up))
    return high + (low - high) * (1 + math.cos(math.pi * part)) / 2


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
@pytest.mark.parametrize("optimizer", BY_HAND)
def test_a_loop_by_hand_gives_the_same_weights(optimizer, schedule):
    """The optimiser of PyTorch, the rate set by hand."""
    given = options(optimizer=optimizer, schedule=schedule, momentum=0.8, weight_decay=0.03)
    network = net()
    by_hand = BY_HAND[optimizer](network.parameters())
    reference = make_schedule(make_optimizer(net(), given), given, STEPS)
    for epoch in range(1, EPOCHS + 1):
        network.train()
        for number, chunk in enumerate(batches(shuffled(len(X), 0, epoch), SIZE)):
            step = (epoch - 1) * STEPS + number
            (group,) = by_hand.param_groups
            group["lr"] = reference.get_last_lr()[0]
            assert group["lr"] == pytest.approx(rate(schedule, step), rel=1e-6, abs=1e-12)
            by_hand.zero_grad()
            F.cross_entropy(network(X[chunk]), Y[chunk]).backward()
            by_hand.step()
            reference.optimizer.step()
            reference.step()
    assert same(fitted(given).best, network.state_dict())


def test_sgd_without_momentum_is_plain():
    (group,) = make_optimizer(net(), options(optimizer="sgd", momentum=0.0)).param_groups
    assert (group["momentum"], group["nesterov"]) == (0.0, False)


@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
def test_any_number_of_steps(schedule, epochs):
    network = nn.Linear(1, 1)
    optimizer = make_optimizer(network, options(epochs=epochs, schedule=schedule))
    moved = make_schedule(optimizer, options(epochs=epochs, schedule=schedule), 1)
    for _ in range(epochs):
        assert 0 < optimizer.param_groups[0]["lr"] <= LR
        optimizer.step()
        moved.step()


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
@pytest.mark.parametrize("optimizer", BY_HAND)
def test_a_state_from_a_file_goes_on_to_the_same_weights(optimizer, schedule):
    """The file is read without running anything, and the average of the weights is a part of it."""
    given = options(optimizer=optimizer, schedule=schedule, ema=0.9, l1=1e-4)
    states = []

    def keep(state):
        file = io.BytesIO()
        torch.save(state, file)
        states.append(file.getvalue())

    whole = fitted(given, hooked=hooks(keep=keep))
    begin = torch.load(io.BytesIO(states[1]), weights_only=True)
    assert same(fitted(given, hooked=hooks(begin=begin)).best, whole.best)


def test_the_average_is_the_formula():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(network, decay=0.5)
    expected = network[0].weight.detach().double().clone()
    for step in range(12):
        with torch.no_grad():
            network[0].weight.normal_(generator=torch.Generator().manual_seed(step))
        network[1].running_mean.fill_(step)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network[0].weight.detach().double()
    raw = copy.deepcopy(network.state_dict())
    with average.shown():
        assert torch.allclose(network[0].weight.double(), expected, atol=1e-6)
        assert (network[1].running_mean == 11).all()
    assert same(network.state_dict(), raw)


def test_the_average_is_judged_and_kept_and_the_raw_weights_go_on():
    plain, seen = fitted(options()), []
    network = net()
    hooked = hooks()
    judge = hooked.finished
    hooked.finished = lambda *given: seen.append(copy.deepcopy(network.state_dict())) or judge(*given)
    averaged = fitted(options(ema=0.99), network, hooked)
    assert same(network.state_dict(), plain.best)  # the training itself is the same
    assert same(averaged.best, seen[-1])
    assert not torch.equal(averaged.best["1.weight"], plain.best["1.weight"])


def test_l1_empties_what_says_nothing():
    """Of 20 inputs two say the class; with L1 the weights of the others all but vanish."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200, 20, generator=random)
    y = (x[:, 0] - x[:, 1] > 0).long()
    sizes = {}
    for l1 in (0.0, 0.05):
        network = nn.Linear(20, 2)
        nn.init.zeros_(network.weight)
        given = options(epochs=60, l1=l1, optimizer="sgd", weight_decay=0.0, lr=0.1)
        with seeded(0, torch.device("cpu")):
            fit(
                network,
                len(x),
                lambda chunk, step, network=network: F.cross_entropy(network(x[chunk]), y[chunk]),
                given,
                hooks(),
            )
        sizes[l1] = network.weight.detach().abs()
    assert sizes[0.0][:, 2:].mean() > 0.05
    assert sizes[0.05][:, 2:].max() < 5e-3 < 0.2 < sizes[0.05][:, :2].min()


def test_l1_is_of_the_weights_alone():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    network[2].requires_grad_(False)
    assert l1_norm(network) == network[0].weight.abs().sum()


def test_l1_is_not_in_the_loss_that_is_told():
    """One step an epoch, so that the first loss is of the weights at the beginning."""
    losses = [fitted(options(epochs=1, batch_size=64, l1=l1)).epochs[0].train_loss for l1 in (0.0, 3.0)]
    assert losses[0] == losses[1]


def test_dropout_is_that_of_pytorch():
    """A network with a layer of dropout, beside the same without and the option."""
    plain = net()
    with_layer = nn.Sequential(*copy.deepcopy(plain)[:4], nn.Dropout(0.4), copy.deepcopy(plain[4]))
    with seeded(1, torch.device("cpu")):
        wanted = with_layer.train()(X)
    before = set(plain.state_dict())
    classifier = Classifier(plain.train())
    with dropping(0.4, classifier, X):
        with seeded(1, torch.device("cpu")):
            found = plain(X)
        assert torch.equal(found, wanted)
        assert set(plain.state_dict()) == before
        with classifier.frozen():
            assert torch.equal(plain(X), plain(X))
    assert not torch.equal(plain(X), wanted)  # it is gone again


def made(labels, channels=1, split="train"):
    labels = np.asarray(labels, dtype=np.int64)
    pixels = np.random.default_rng(0).random((len(labels), channels, 8, 8), dtype=np.float32)
    return Dataset(
        spec="made",
        split=split,
        class_names=("a", "b", "c"),
        labels=labels,
        files=tuple(map(str, range(len(labels)))),
        sample_ids=tuple(f"{split}{i}" for i in range(len(labels))),
        read=lambda i: pixels[i],
        eps={},
    )


ALL_CONV = """
from torch import nn


def net(*, num_classes: int):
    return nn.Sequential(nn.Conv2d(1, num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


def test_dropout_needs_a_linear_layer_at_the_end(tmp_path):
    (tmp_path / "nets.py").write_text(ALL_CONV)
    data = made([0, 1, 2] * 4)
    with pytest.raises(InputError, match="does not end in a linear layer"):
        train(f"{tmp_path}/nets.py:net", data, data, TrainingOptions(epochs=1, dropout=0.5))
    train(f"{tmp_path}/nets.py:net", data, data, TrainingOptions(epochs=1))


@pytest.mark.parametrize("architecture", ["cnn(width=2)", "mlp(width=8)"])
def test_all_together_and_the_seed_decides(architecture):
    data = made([0] * 12 + [1] * 6 + [2] * 2, channels=3)
    given = TrainingOptions(
        epochs=2, batch_size=8, dropout=0.2, ema=0.9, l1=1e-5, balanced=True, label_smoothing=0.1, optimizer="sgd"
    )
    first, again, other = (
        Classifier(train(architecture, data, data, one).network).weights_sha256
        for one in (given, given, TrainingOptions(**{**vars(given), "dropout": 0.0}))
    )
    assert first == again != other


@pytest.mark.parametrize("counts", [(12, 6, 2), (5, 5, 5), (97, 2, 1), (1, 1)])
def test_balanced_epochs(counts):
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    each = len(labels) // len(counts)
    for epoch in (1, 2):
        order = balanced(labels, 0, epoch)
        assert torch.bincount(labels[order]).tolist() == [each] * len(counts)
        assert len(order) <= len(labels)
        for label, count in enumerate(counts):  # no image more than once more often than another
            shown = torch.bincount(order, minlength=len(labels))[labels == label]
            assert shown.max() - shown.min() <= 1, (label, count)
    assert torch.equal(balanced(labels, 0, 3), balanced(labels, 0, 3))
    if len(labels) > 10:
        assert not torch.equal(balanced(labels, 0, 3), balanced(labels, 0, 4))
        assert not torch.equal(balanced(labels, 0, 3), balanced(labels, 1, 3))


def test_balanced_training_finds_the_rare_class():
    """Two classes that overlap, one ten times as frequent: the rare one is predicted only when balanced."""
    random = np.random.default_rng(0)
    labels = np.array([0] * 300 + [1] * 30)
    values = labels + random.normal(size=len(labels))
    pixels = np.broadcast_to(((values + 4) / 10).clip(0, 1)[:, None, None, None], (len(labels), 1, 8, 8))
    data = Dataset(
        **{
            **vars(made(labels)),
            "class_names": ("often", "rare"),
            "read": lambda i: np.ascontiguousarray(pixels[i], dtype=np.float32),
        }
    )
    recall = {}
    for balance in (False, True):
        trained = train("linear", data, data, TrainingOptions(epochs=15, lr=0.01, balanced=balance)).network
        shown = torch.from_numpy((pixels - pixels.mean()) / pixels.std(ddof=1)).float()
        recall[balance] = float((trained(shown).argmax(1)[labels == 1] == 1).float().mean())
    assert recall[True] > 0.5 > 0.3 > recall[False]


def test_label_smoothing_is_that_of_pytorch():
    """The first loss of a training is of the weights at the beginning."""
    data, smoothed = made([0, 1, 2] * 4), []
    for smoothing in (0.0, 0.3):
        given = TrainingOptions(epochs=1, batch_size=64, label_smoothing=smoothing)
        smoothed.append(train("linear", data, data, given).info.history["epochs"][0])
    with seeded(0, torch.device("cpu")):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x = torch.from_numpy(np.stack([data.read(i) for i in range(12)]))
    logits = network((x - x.mean()) / x.std()).detach()
    for epoch, smoothing in zip(smoothed, (0.0, 0.3), strict=True):
        wanted = F.cross_entropy(logits, torch.from_numpy(data.labels), label_smoothing=smoothing)
        assert epoch["train_loss"] == pytest.approx(wanted.item(), abs=1e-5)


@pytest.mark.parametrize("wrong", [{"dropout": 0.1}, {"balanced": True}, {"label_smoothing": 0.1}])
def test_models_of_images_refuse_what_means_nothing_to_them(wrong):
    with pytest.raises(InputError, match="means nothing to a model of images"):
        train_generator("vae(latents=2, width=4)", X, X, TrainingOptions(epochs=1, **wrong))


def test_models_of_images_take_the_rest():
    images = torch.rand(24, 1, 8, 8, generator=RANDOM)
    given = TrainingOptions(epochs=2, batch_size=8, optimizer="sgd", lr=1e-3, schedule="cosine", l1=1e-5, ema=0.9)
    shas = [
        Classifier(train_generator("autoencoder(latents=2)", images, images, g).network).weights_sha256
        for g in (given, given, TrainingOptions(**{**vars(given), "ema": None}))
    ]
    assert shas[0] == shas[1] != shas[2]
