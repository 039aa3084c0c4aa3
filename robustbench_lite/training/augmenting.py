"""What is done to training images that keeps their labels true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Augmented(NamedTuple):
    """Images (N, C, H, W) in [0, 1] and labels (N,), or shares of the classes (N, K) after mixup."""

    images: Tensor
    labels: Tensor


def augmented(images: Tensor, labels: Tensor, names: Sequence[str], num_classes: int) -> Augmented:
    """Augmented images. Draws from the global generators, which the loop has seeded and keeps.

    Args:
        images: (N, C, H, W) in [0, 1].
        labels: (N,).
        names: of ``AUGMENTATIONS``, done in that order.
        num_classes: K.
    """
    return Augmented(images, labels)
