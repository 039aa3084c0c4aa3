"""The generator that is trained if a score asks for one and none is given."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn import functional as F

from robustbench_lite.outliers.detector import divided
from robustbench_lite.outliers.score import Normals, Shape
from robustbench_lite.outliers.units import fingerprints
from robustbench_lite.training.generators import (
    GeneratorEpoch,
    GeneratorOptions,
    TrainedGenerator,
    train_generator,
)

SPEC = "vae"
"""Of the default generator, for its checkpoint."""
LONGEST = 64
"""Pixels of the longer side at the most: larger images are reduced, by the scores too."""
_SMALLEST = 8
_WORK = 50_000_000
"""Pixels that the training looks at: some 30 s on one core."""
_FEWEST, _MOST = 3, 60
"""Epochs, whatever the number of images."""


def default_generator(
    normals: Normals, on_progress: Callable[[int, int, str], None] = lambda done, total, what: None
) -> TrainedGenerator:
    """A variational autoencoder of the normal images, as good as half a minute allows.

    It is trained on the images that ``fit_detector`` fits scores to, and the best epoch chosen by those that it
    measures their tails with: what the generator has learnt by heart would look too normal there.

    Args:
        normals: all that the detector will be fitted to; their seed is that of the training.
        on_progress: epochs done, epochs at the most, what is being done.

    Raises:
        InputError: too few images, or too small.
    """
    fit_on, tail_on = divided(normals, fingerprints(normals.images))
    shape = reduced_shape(normals.shape)
    images = normals.images
    if shape != normals.shape:
        images = F.interpolate(images, shape[1:], mode="area")
    epochs = max(_FEWEST, min(_MOST, _WORK // (len(fit_on) * shape[1] * shape[2])))
    options = GeneratorOptions(epochs=epochs, batch_size=16, seed=normals.seed)
    what = f"training {SPEC}"

    def report(epoch: GeneratorEpoch) -> None:
        on_progress(epoch.epoch, epochs, what)

    on_progress(0, epochs, what)
    return train_generator(SPEC, images[fit_on], images[tail_on], options, on_epoch=report)


def reduced_shape(shape: Shape) -> Shape:
    """(C, h, w) at which images (C, H, W) are shown to the default generator.

    >>> reduced_shape((3, 1080, 1920)), reduced_shape((1, 28, 28)), reduced_shape((1, 10, 1000))
    ((3, 36, 64), (1, 28, 28), (1, 8, 64))
    """
    channels, height, width = shape
    factor = min(1.0, LONGEST / max(height, width))
    rows, columns = (min(side, max(_SMALLEST, round(factor * side))) for side in (height, width))
    return channels, rows, columns
