"""What is done to training images that keeps their labels true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams

ALPHA = 0.2
"""Of mixup: that of the paper for ImageNet, where 0.1 to 0.4 did best."""

_PADDING = 1 / 8  # of a side, for crops: 4 of 32 pixels, as is usual
_BY_TORCHVISION = {"trivialaugment": "TrivialAugmentWide", "augmix": "AugMix"}
_LONGEST_MOVE = 32  # pixels, of TrivialAugment, whatever the size of the image


class Mixed(NamedTuple):
    """Images (N, C, H, W) in [0, 1], and the shares (N, K) of the classes in them."""

    images: Tensor
    labels: Tensor


def check_augmentations(names: Sequence[str], shape: tuple[int, ...], *, attacked: bool) -> None:
    """Raise InputError if augmentations cannot be done to such images, or not together.

    Args:
        names: of ``AUGMENTATIONS``.
        shape: (C, H, W) of an image.
        attacked: whether the training is adversarial.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"augment: {name} stands twice.", "Leave one out.")
        if name in _BY_TORCHVISION and shape[0] not in (1, 3):
            raise InputError(f"augment: {name} is for images of 1 or 3 channels, not {shape[0]}.", "Leave it out.")
    if "mixup" in names and attacked:
        raise InputError(
            "mixup and adversarial training do not go together: an attack needs one label.", "Leave one out."
        )
    if "trivialaugment" in names and min(shape[1:]) <= _LONGEST_MOVE / 2:
        raise InputError(
            f"augment: trivialaugment moves images by up to {_LONGEST_MOVE} pixels: of {shape[1]} × {shape[2]} "
            "nothing would be left.",
            "Take augmix, which moves them by a third at the most.",
        )


def augmented(images: Tensor, streams: Streams, names: Sequence[str]) -> Tensor:
    """Images (N, C, H, W) in [0, 1], each changed by its own stream, whatever the images beside it.

    Args:
        images: (N, C, H, W) in [0, 1].
        streams: one per image.
        names: of ``AUGMENTATIONS``, done in that order; ``mixup`` is not done here.
    """
    for name in names:
        if name == "flip":
            images = _flipped(images, streams, side=3)
        elif name == "flip-vertical":
            images = _flipped(images, streams, side=2)
        elif name == "crop":
            images = _cropped(images, streams)
        elif name in _BY_TORCHVISION:
            images = _by_torchvision(images, streams, name)
    return images


def mixed(images: Tensor, labels: Tensor, num_classes: int) -> Mixed:
    """Mixup (Zhang et al., ICLR 2018): each image and its label mixed with another of the batch.

    One share for the whole batch, drawn from Beta(0.2, 0.2), and one order; both from the global generator, which
    the training has seeded.
    """
    share = torch.distributions.Beta(ALPHA, ALPHA).sample().to(images)
    others = torch.randperm(len(images)).to(images.device)
    shares = F.one_hot(labels, num_classes).to(images)
    return Mixed(torch.lerp(images[others], images, share), torch.lerp(shares[others], shares, share))


def _flipped(images: Tensor, streams: Streams, side: int) -> Tensor:
    """Half of them mirrored."""
    chosen = streams.uniform((1, 1, 1), "flip", side, like=images) < 0.5
    return torch.where(chosen, images.flip(side), images)


def _cropped(images: Tensor, streams: Streams) -> Tensor:
    """Moved by up to an eighth in any direction; what comes in is the mirrored image."""
    *_, height, width = images.shape
    down, right = (min(max(1, round(side * _PADDING)), side - 1) for side in (height, width))
    padded = F.pad(images, (right, right, down, down), mode="reflect")
    places = torch.tensor([2 * down + 1, 2 * right + 1], device=images.device)
    top, left = (streams.uniform((2,), "crop", like=images) * places).long().T[:, :, None]
    rows = (top + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (left + torch.arange(width, device=images.device))[:, None, None, :]
    return padded.gather(2, rows.expand(*images.shape[:3], padded.shape[3])).gather(3, columns.expand_as(images))


def _by_torchvision(images: Tensor, streams: Streams, name: str) -> Tensor:
    """One at a time, because it draws one change for all; in 8 bits, as it wants them."""
    from torchvision.transforms import v2  # takes seconds

    transform = getattr(v2, _BY_TORCHVISION[name])()
    out = []
    with torch.random.fork_rng(devices=()):  # it draws from the global generator of the CPU
        for image, generator in zip((images * 255).round().byte().cpu(), streams.generators(name), strict=True):
            torch.default_generator.manual_seed(generator.initial_seed())
            out.append(transform(image))
    return torch.stack(out).to(images) / 255
