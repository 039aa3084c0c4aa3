"""The layers of autoencoders: from images to numbers and back. Any channels, any size from 8 pixels up."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.errors import InputError
from robustbench_lite.generative.pixels import Shape, times

Body = Literal["conv", "mlp", "linear"]
SMALLEST = 8
USUAL_WIDTH = {"conv": 16, "mlp": 400, "linear": 0}


def check_body(name: str, body: Body, width: int | None, latents: int) -> None:
    """Refuse arguments that cannot be, on behalf of the model of that name."""
    if latents < 1:
        raise InputError(f"{name}: latents={latents} is out of range.", "It must be at least 1.")
    if width is not None and width < 1:
        raise InputError(f"{name}: width={width} is out of range.", "It must be at least 1.")
    if width is not None and body == "linear":
        raise InputError(f"{name}(body=linear) has no width.", "Leave it out.")


def check_images(name: str, count: int, shape: Shape) -> None:
    """Refuse images that are too small or too few."""
    if min(shape[1:]) < SMALLEST:
        raise InputError(
            f"{name} takes images from {SMALLEST}×{SMALLEST} up; these are {times(shape)}.", "Give --input-size 8."
        )
    if count < 2:
        raise InputError(f"{count} image is too few to train {name}.", "Give at least 2, better some hundred.")


class Standardised(nn.Module):
    """Images less the mean of the training images, over the deviation from it: weights need not know the contrast.

    Args:
        shape: (C, H, W) of an image.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(()))

    @torch.no_grad()
    def begin_at(self, images: Tensor) -> None:
        """Learn both from the training images (N, C, H, W)."""
        self.mean.copy_(images.mean(0))
        self.deviation.copy_((images - self.mean).square().mean().sqrt().clamp_min(1 / 255))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.deviation

    def back(self, values: Tensor) -> Tensor:
        """The images of standardised values."""
        return values * self.deviation + self.mean


def encoder(body: Body, shape: Shape, width: int | None, outputs: int) -> nn.Sequential:
    """From images (N, C, H, W) to (N, outputs).

    Args:
        body: ``conv`` halves each side until 7 pixels or fewer are left, ``mlp`` has two hidden layers, ``linear``
            none.
        shape: (C, H, W).
        width: channels of the first convolution, doubled up to four times as many; or hidden units.
        outputs: numbers per image.
    """
    width = width or USUAL_WIDTH[body]
    if body == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))
    if body == "mlp":
        hidden = [nn.Linear(math.prod(shape), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, outputs))
    layers: list[nn.Module] = []
    steps = _sizes(shape, width)
    for before, after in pairwise(steps):
        stride = (_stride(before[1]), _stride(before[2]))
        layers += [nn.Conv2d(before[0], after[0], 3, stride=stride, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(steps[-1]), outputs))


def decoder(body: Body, shape: Shape, width: int | None, latents: int) -> nn.Sequential:
    """From latents (N, latents) to numbers (N, C, H, W) of any size: the mirror image of the encoder."""
    width = width or USUAL_WIDTH[body]
    if body == "linear":
        return nn.Sequential(nn.Linear(latents, math.prod(shape)), nn.Unflatten(1, shape))
    if body == "mlp":
        hidden = [nn.Linear(latents, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(width, math.prod(shape)), nn.Unflatten(1, shape))
    steps = _sizes(shape, width)[::-1]
    layers: list[nn.Module] = [nn.Linear(latents, math.prod(steps[0])), nn.ReLU(), nn.Unflatten(1, steps[0])]
    for before, after in pairwise(steps):
        layers += [_Enlarge(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def tied(first: nn.Sequential) -> nn.Sequential:
    """The decoder of an encoder of linear layers that uses the same weights, transposed, with biases of its own.

    Hinton & Salakhutdinov, *Reducing the dimensionality of data with neural networks*, Science 313, 2006.
    """
    linear = [layer for layer in first if isinstance(layer, nn.Linear)][::-1]
    layers: list[nn.Module] = []
    for layer in linear:
        layers += [_Transposed(layer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class _Transposed(nn.Module):
    """A linear layer the other way round: the weight is the very same parameter."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.T, self.bias)


class _Enlarge(nn.Module):
    """A transposed convolution that doubles a side, cut to the side that the encoder had there."""

    def __init__(self, before: Shape, after: Shape) -> None:
        super().__init__()
        self.size = after[1:]
        strides = (_stride(after[1]), _stride(after[2]))
        kernel = (
            2 + strides[0],
            2 + strides[1],
        )  # a multiple of the stride, against chessboards
        self.layer = nn.ConvTranspose2d(before[0], after[0], kernel, stride=strides, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        return self.layer(x)[..., :height, :width]  # type: ignore[no-any-return]


def _stride(side: int) -> int:
    return 2 if side > 7 else 1


def _sizes(shape: Shape, width: int) -> list[Shape]:
    """(C, H, W) after each convolution, from the image on."""
    sizes, channels = [shape], width
    while max(sizes[-1][1:]) > 7:
        _, height, columns = sizes[-1]
        sizes.append((channels, -(-height // _stride(height)), -(-columns // _stride(columns))))
        channels = min(2 * channels, 4 * width)
    return sizes
