"""Risk: the weather. Ice on the window or the lens."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts.ice import Ice
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

# Ours: the published weights, (1, 0.4) to (0.6, 0.75) at 224 px, do not weaken the image step by step.
_IMAGE_WEIGHT = (1, 0.96, 0.92, 0.85, 0.76, 0.65)
_FROST_WEIGHT = (0, 0.1, 0.2, 0.3, 0.42, 0.6)
# Theirs: photographs of ice are made smaller by these factors for the three sets.
_SCALE = {32: (0.2,) * 6, 64: (0.3,) * 6, 224: (1,) * 6}


@dataclass(frozen=True)
class Frost(ScaledShift):
    """Ice crystals on the window in front of the camera: a weighted sum of the image and of ice.

    The formula of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C (Hendrycks & Dietterich, ICLR 2019), on the
    stored values. Theirs cuts pieces out of photographs; ours out of a drawn window of fern-like crystals,
    whose brightness and contrast are those of the photographs. Each sample sees another piece, mirrored at
    random, 25 % thinner to 25 % thicker. Differentiable. Not modelled: refraction, the blur of ice that is
    nearer than the focus, melting, where on a window ice begins, and light (the sum is one of stored
    values). A bright image is pushed into white, as theirs is.

    Args:
        severity: 0 to 5.
        image_weight: weight of the image, 0 to 1.
        frost_weight: weight of the ice, 0 to 1.
        scale: size of the crystals; at 1 the longest have 170 pixels. An image that does not fit into the
            window of 1,024 pixels × scale enlarges it.
    """

    random = True
    smooth = ("image_weight", "frost_weight")

    image_weight: float | None = scaled(_IMAGE_WEIGHT, 0, 1, "weight of the image")
    frost_weight: float | None = scaled(_FROST_WEIGHT, 0, 1, "weight of the ice")
    scale: float | None = scaled(_SCALE, 0.05, 4, "size of the crystals; at 1 the longest have 170 pixels")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        ice = Ice(at.scale, like)
        return lambda image, stream: at.image_weight * image + at.frost_weight * ice(stream, image)
