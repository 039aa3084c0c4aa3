"""Networks that hide or spoil their gradient: a sound network with something in front of it or behind it."""

from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset


class Masked(nn.Module):
    """A network with a function before it, of images in [0, 1], and one behind, of logits."""

    def __init__(self, network, before=lambda x: x, behind=lambda z: z):
        super().__init__()
        self.network, self.before, self.behind = network, before, behind

    def forward(self, x):
        return self.behind(self.network(self.before(x)))


@cache
def digits(n=100):
    """Images of the test split."""
    return load_dataset("digits", split="test", limit=n)


@cache
def sound():
    """A small network for the digits, trained here in a second, without any defence."""
    data = load_dataset("digits", split="train")
    (batch,) = data.batches(len(data))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(network(batch.images), batch.labels).backward()
        optimizer.step()
    return Classifier(network, spec="sound", class_names=data.class_names, input_shape=data.image_shape)


def masked(name=None):
    """``sound`` behind one of the ``MASKS``."""
    return Classifier(Masked(sound().network, **MASKS.get(name, {})), spec=f"masked by {name}")


def breakable():
    """A network for attacks to prove themselves on, and the budget (linf).

    Under it plain ``pgd`` leaves more than 90 % right, because the gradient is zero everywhere. Without the mask
    PGD leaves next to none, and so does a search with scores alone on the masked network itself.
    """
    return masked("16 levels"), 0.2


def levels(n):
    """Rounded to n levels: the gradient is zero."""
    return lambda x: (x * (n - 1)).round() / (n - 1)


def ripple(height, waves):
    """A fast, low wave on every value: the slope points anywhere."""
    return lambda x: x + height * torch.sin(2 * torch.pi * waves * x)


def smooth_steps(n, sharpness):
    """Steps that are steep between the levels and all but flat on them."""

    def stairs(x):
        low = (x * n).floor()
        return (low + torch.sigmoid(sharpness * (x * n - low - 0.5))) / n

    return stairs


MASKS = {
    "8 levels": {"before": levels(8)},
    "16 levels": {"before": levels(16)},
    "rounded logits": {"behind": lambda z: (2 * z).round() / 2},
    "logits times 1000": {"behind": lambda z: 1000 * z},
    "ripple": {"before": ripple(0.03, 200)},
    "smooth steps": {"before": smooth_steps(32, 60)},
    "root": {"before": lambda x: x.sqrt() ** 2},  # at 0: infinity times 0
    "steep": {"before": lambda x: x + 1e-5 * (x + 1e-30).sqrt()},
    "softmax": {"behind": lambda z: z.softmax(1)},
    "sharp softmax": {"behind": lambda z: (100 * z).softmax(1)},
    "log-softmax": {"behind": lambda z: z.log_softmax(1)},
    "noise": {"behind": lambda z: z + torch.randn_like(z)},
}
