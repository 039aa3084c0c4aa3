"""How many images at a time: in a batch of the evaluation, and in the network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

USUAL_BATCH = 128


def in_pieces(images: Tensor) -> Sequence[Tensor]:
    """A batch (N, C, H, W) in even pieces of about the size that networks are fastest with on the CPU.

    Measured on one thread of an AMD EPYC with AVX2, µs per image for logits and for a gradient. Wong & Kolter's
    network on 28x28: 355 and 1049 for 1 image, 31 and 91 for 32, level from 64 to 256. ``resnet`` on 32x32x3: 1709
    and 2952 for 8, 1526 and 2463 for 64, 3285 and 3391 for 512. ``cnn`` on 96x96x3: 6562 and 7298 for 8, 9260 and
    10409 for 32.
    """
    best = min(max(200_000 // max(images[:1].numel(), 1), 16), 256)
    return images.tensor_split(max(1, round(len(images) / best)))


def default_batch(shape: tuple[int, int, int], *, pieces: bool) -> int:
    """Images in a batch of the evaluation if nobody says otherwise, by the shape (C, H, W) of one.

    An attack lets go of images as they fall, and its last and dearest tries are left with a few; of a larger batch
    more are left, and a network that gets its batch in pieces needs no more memory for it. The attacks do: a dozen
    copies of the images, which therefore hold 1.5 million values (6 MB), but at least the usual 128 images, and at
    most 1,024, for what is interrupted loses its batch.
    """
    return min(max(1_500_000 // max(math.prod(shape), 1), USUAL_BATCH), 1024) if pieces else USUAL_BATCH
