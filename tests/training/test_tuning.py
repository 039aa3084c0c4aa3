"""Training that begins with other weights: what fits, what is replaced, what stays as it is."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.loading import build_network, load_classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.starting import Start, begin
from robustbench_lite.training.trainer import train
from robustbench_lite.training.tuning import layers_of
from robustbench_lite.weights import save_checkpoint

OPTIONS = TrainingOptions(epochs=2, batch_size=8)
SHAPE = (3, 16, 16)


def made(classes, *, count=16, shape=SHAPE, split="train"):
    labels = np.arange(count, dtype=np.int64) % classes
    pixels = np.random.default_rng(0).random((count, *shape), dtype=np.float32)
    return Dataset(
        spec="made",
        split=split,
        class_names=tuple(f"class {k}" for k in range(classes)),
        labels=labels,
        files=tuple(map(str, range(count))),
        sample_ids=tuple(f"{split}{i}" for i in range(count)),
        read=lambda i: pixels[i],
        eps={},
    )


def tuned(architecture, classes, start=None, options=OPTIONS):
    return train(architecture, made(classes), made(classes, split="val"), options, start=start, baselines=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Trained for five classes."""
    trained = train("cnn(width=4)", made(5), made(5, split="val"), OPTIONS, baselines=False)
    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    save_checkpoint(path, trained.network, trained.info)
    return path, trained


def equal(first, second):
    return {
        name: torch.equal(first[name], second[name]) for name in first if first[name].shape == second[name].shape
    }


def test_only_the_head_of_a_checkpoint_is_trained(checkpoint):
    path, before = checkpoint
    trained = tuned(str(path), 3, Start(tune="head"))
    kept = equal(before.network.state_dict(), trained.network.state_dict())
    assert all(kept.values())  # running means, running variances and their counter as well
    assert len(kept) == len(before.network.state_dict()) - 2
    assert trained.network.state_dict()["13.weight"].shape == (3, 64)
    assert trained.info.architecture == "cnn(width=4)"
    assert (trained.info.mean, trained.info.std) == (before.info.mean, before.info.std)
    told = trained.info.history["start"]
    assert (told["weights"], told["tune"]) == ("net.safetensors", "head")
    assert told["layers"] == ["Linear 13"]
    assert told["trained_parameters"] == 3 * 64 + 3


def test_the_head_learns_as_a_linear_layer_on_frozen_features_does(checkpoint):
    """Beside PyTorch used directly: features in eval mode, one linear layer, the same order of images."""
    path, before = checkpoint
    trained = tuned(str(path), 5, Start(tune="head"), TrainingOptions(epochs=3, batch_size=64))
    classifier = load_classifier(str(path), device="cpu")
    data = made(5)
    features = classifier.features(torch.from_numpy(np.stack([data.read(i) for i in range(16)]))).detach()
    head = nn.Linear(64, 5)
    head.load_state_dict({name: before.network[13].state_dict()[name] for name in ("weight", "bias")})
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=11, pct_start=0.1, cycle_momentum=False
    )
    states = []
    for _ in range(3):
        nn.functional.cross_entropy(head(features), torch.from_numpy(data.labels)).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        states.append({name: value.clone() for name, value in head.state_dict().items()})
    wanted = states[trained.info.history["best_epoch"] - 1]["weight"]
    assert torch.allclose(trained.network[13].weight, wanted, atol=1e-5)


@pytest.mark.parametrize(("count", "first"), [(1, "13.weight"), (2, "8.weight"), (3, "4.weight"), (4, "0.weight")])
def test_the_last_layers_with_their_batch_norms(checkpoint, count, first):
    path, before = checkpoint
    trained = tuned(str(path), 5, Start(tune=f"last:{count}"))
    kept = equal(before.network.state_dict(), trained.network.state_dict())
    names = list(kept)
    cut = names.index(first)
    assert all(kept[name] for name in names[:cut])
    assert not any(kept[name] for name in names[cut:])


def test_all_weights_are_trained_by_default(checkpoint):
    path, before = checkpoint
    trained = tuned(str(path), 5)
    assert not any(equal(before.network.state_dict(), trained.network.state_dict()).values())
    again = tuned("cnn(width=4)", 5, Start(weights=path))
    assert all(equal(again.network.state_dict(), trained.network.state_dict()).values())


def test_frozen_layers_stay_with_all_kinds_of_regularisation(checkpoint):
    path, before = checkpoint
    options = TrainingOptions(
        epochs=2, batch_size=8, optimizer="sgd", l1=1e-3, ema=0.9, dropout=0.5, balanced=True
    )
    trained = tuned(str(path), 5, Start(tune="last:2"), options)
    kept = equal(before.network.state_dict(), trained.network.state_dict())
    assert [name for name in kept if kept[name]] == [
        name for name in kept if name.startswith(("0.", "1.", "4.", "5."))
    ]


@pytest.mark.parametrize(
    ("start", "mean", "std"),
    [
        (Start(tune="head"), None, None),
        (Start(tune="head", mean=(0.5,), std=(0.2,)), [0.5], [0.2]),
        (Start(mean=(0.1, 0.2, 0.3), std=(0.2, 0.2, 0.2)), [0.1, 0.2, 0.3], [0.2] * 3),
    ],
)
def test_normalisation_is_the_given_or_that_of_the_checkpoint(checkpoint, start, mean, std):
    path, before = checkpoint
    begun = begin(str(path), start, num_classes=5, input_shape=SHAPE)
    assert begun.normalisation == (mean or before.info.mean, std or before.info.std)


def test_without_a_checkpoint_it_is_measured_unless_given():
    assert begin("linear", num_classes=2, input_shape=SHAPE).normalisation is None
    trained = tuned("linear", 2, Start(mean=(0.25,), std=(0.75,)))
    assert (trained.info.mean, trained.info.std) == ([0.25], [0.75])


@pytest.mark.parametrize("name", ["torchvision:resnet18", "torchvision:squeezenet1_1", "timm:test_resnet"])
def test_networks_of_others(name, tmp_path):
    """Weights for 1,000 classes, names as DataParallel writes them; the heads are called fc, classifier.1, fc."""
    if name.startswith("timm") and importlib.util.find_spec("timm") is None:
        pytest.skip("needs timm")
    shape = (3, 32, 32)
    network = build_network(name, num_classes=1000, input_shape=shape)
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "w.pth")
    begun = begin(name, Start(tmp_path / "w.pth", "head"), num_classes=6, input_shape=shape)
    assert "head replaced: 1000 → 6 classes" in begun.notes
    trained = [n for n, p in begun.network.named_parameters() if p.requires_grad]
    head = {"squeezenet1_1": "classifier.1"}.get(name.partition(":")[2], "fc")
    assert trained == [f"{head}.weight", f"{head}.bias"]
    kept = equal(network.state_dict(), begun.network.state_dict())
    assert all(kept.values())
    assert set(begun.network.state_dict()) - set(kept) == set(trained)


class Odd(nn.Module):
    """Lists its layers in another order than it calls them, and uses one of them without calling it."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.first = nn.Linear(3, 8)

    def forward(self, x):
        x = self.first(x.flatten(2).transpose(1, 2)) + self.token
        return self.last(self.norm(self.attention(x, x, x)[0]).mean(1))


def test_layers_are_in_the_order_of_the_calls():
    layers = layers_of(Odd(), SHAPE)
    assert [layer.names for layer in layers] == [
        ("",),
        ("first",),
        ("attention",),
        ("attention.out_proj", "norm"),
        ("last",),
    ]
    assert sum(p.numel() for layer in layers for p in layer.parameters) == sum(
        p.numel() for p in Odd().parameters()
    )


def test_a_head_alone_needs_weights():
    with pytest.raises(InputError, match=r"leaves fresh weights untrained\. Give --weights"):
        tuned("linear", 2, Start(tune="head"))


@pytest.mark.parametrize("text", ["last", "last:0", "last:-1", "first:2", "", "last:x"])
def test_what_cannot_be_tuned(text):
    with pytest.raises(InputError, match="Give all, head, or last:N"):
        Start(tune=text)


def test_more_layers_than_there_are(checkpoint):
    with pytest.raises(InputError, match="--tune last:5: the network has 4 layers"):
        tuned(str(checkpoint[0]), 5, Start(tune="last:5"))


def test_weights_that_do_not_fit(checkpoint):
    with pytest.raises(InputError, match=r"'0.weight' has shape \(4, 3, 3, 3\), the network wants \(8, 3, 3, 3\)"):
        tuned("cnn(width=8)", 3, Start(weights=checkpoint[0]))


def test_images_of_another_size_than_the_checkpoint_knows(checkpoint):
    data = made(5, shape=(1, 16, 16))
    with pytest.raises(InputError, match="trained with --input-size 16 --channels 3: give these"):
        train(str(checkpoint[0]), data, data, OPTIONS, baselines=False)


def test_two_files_of_weights(checkpoint):
    with pytest.raises(InputError, match="both files of weights"):
        tuned(str(checkpoint[0]), 5, Start(weights=checkpoint[0]))


def test_weights_that_do_not_say_of_which_network(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="does not say of which network"):
        tuned(str(tmp_path / "w.pth"), 5)


def test_a_file_never_runs_a_program(tmp_path, checkpoint):
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    _, trained = checkpoint
    info = trained.info.model_copy(update={"architecture": f"{tmp_path}/own.py:net"})
    save_checkpoint(tmp_path / "net.safetensors", trained.network, info)
    with pytest.raises(InputError, match="no file makes one run"):
        tuned(str(tmp_path / "net.safetensors"), 5, Start(tune="head"))

    class Malicious:
        def __reduce__(self):
            return (print, ("ran",))

    (tmp_path / "w.pt").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InputError):
        tuned("linear", 5, Start(weights=tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("start", "wrong"),
    [
        ({"mean": (0.5,)}, "belong together"),
        ({"mean": (0.5, 0.5), "std": (1, 1)}, "--mean has 2 values, the images have 3"),
        ({"mean": (0.5,), "std": (0,)}, "not positive"),
    ],
)
def test_normalisation_that_cannot_be(start, wrong):
    with pytest.raises(InputError, match=wrong):
        tuned("linear", 2, Start(**start))
