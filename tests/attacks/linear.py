"""A linear two-class network: its smallest perturbation has a closed form."""

import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.rng import Streams

SHAPE = (1, 6, 6)


class Linear(nn.Module):
    """Logits (0, w·x + b): class 1 where w·x + b is positive."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(36, generator=generator))
        self.b = nn.Parameter(-self.w.detach().sum() / 2)

    def forward(self, x):
        score = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(score), score], 1)


def setting(n=16, seed=1):
    """Classifier, images away from the borders of [0, 1], their predicted labels, and streams."""
    classifier = Classifier(Linear())
    images = 0.5 + 0.1 * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    images = images.clamp(0.2, 0.8)
    labels = classifier(images).argmax(1)
    return classifier, images, labels, Streams(0, "test", tuple(map(str, range(n))))


def smallest(classifier, images, norm):
    """|w·x + b| divided by the dual norm of w, shape (N,)."""
    w = classifier.network.w.detach()
    dual = {"linf": w.abs().sum(), "l2": w.norm(), "l1": w.abs().max()}[norm]
    return (images.flatten(1) @ w + classifier.network.b.detach()).abs() / dual
