"""Small built-in networks for any number of channels and classes, and images from 8 pixels up."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.errors import InputError


def linear(*, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """One linear layer on the pixels: multinomial logistic regression."""
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))


def mlp(width: int = 256, depth: int = 2, *, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Fully connected layers with ReLU."""
    _check(width=width, depth=depth)
    channels, height, columns = input_shape
    sizes = [channels * height * columns, *[width] * depth]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))


def cnn(width: int = 32, *, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Convolutions with batch norm and ReLU, halved until 4 pixels are left, then averaged."""
    _check(width=width)
    channels, side = input_shape[0], min(input_shape[1:])
    layers: list[nn.Module] = []
    out = width
    while True:
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
        if side < 8:
            break
        layers.append(nn.MaxPool2d(2))
        side //= 2
        out = min(out * 2, 4 * width)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, num_classes))


def strided(width: int = 16, *, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Convolutions of stride 2 with ReLU until 7 pixels are left, and two linear layers; no batch norm.

    On MNIST it is the small network of Wong & Kolter (ICML 2018): cheap enough to be attacked at every step.
    """
    _check(width=width)
    channels, height, columns = input_shape
    layers: list[nn.Module] = []
    out = width
    while min(height, columns) > 7:
        layers += [nn.Conv2d(channels, out, 4, stride=2, padding=1), nn.ReLU()]
        channels, height, columns = out, height // 2, columns // 2
        out = min(out * 2, 4 * width)
    features = channels * height * columns
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 100), nn.ReLU(), nn.Linear(100, num_classes))


def resnet(width: int = 16, depth: int = 20, *, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Residual network for small images (He et al., CVPR 2016, section 4.2); depth is 6n + 2."""
    _check(width=width, depth=depth)
    if depth % 6 != 2:
        raise InputError(f"resnet: depth={depth} is not of the form 6n + 2.", "Use 8, 14, 20, 32, 44, 56 or 110.")
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    channels = width
    for stage in range(3):
        for block in range((depth - 2) // 6):
            out = width * 2**stage
            layers.append(_ResidualBlock(channels, out, stride=2 if stage and not block else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def _check(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name}={value} is out of range.", "It must be at least 1.")
