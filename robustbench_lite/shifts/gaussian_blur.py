"""Risk: the lens. A softer one, or one that is a little out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_SIGMA_PX = {
    32: (0, 0.4, 0.6, 0.7, 0.8, 1.0),
    64: (0, 0.5, 0.75, 1.0, 1.25, 1.5),
    224: (0, 1.0, 2.0, 3.0, 4.0, 6.0),
}


@dataclass(frozen=True)
class GaussianBlur(ScaledShift):
    """Blur by a lens that is a little out of focus: a Gaussian point spread function.

    Scale: the extra corruption gaussian_blur of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224
    px; Hendrycks & Dietterich, ICLR 2019), between them by image size. Beyond the edge the edge pixel is
    repeated. Differentiable. Not modelled: the disk of a real defocus (``defocus_blur``), aberrations,
    motion, change over the field.

    Args:
        severity: 0 to 5.
        sigma_px: standard deviation of the point spread, in pixels; None takes it from the scale.
        linear_light: whether the light is blurred, as a lens does, or the stored values, as in the
            published sets. Bright spots spread further in light.
    """

    smooth = ("sigma_px",)

    sigma_px: float | None = scaled(_SIGMA_PX, 0, 100, "standard deviation in pixels")
    linear_light: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.sigma_px == 0:
            return lambda image, _: image
        blur = Blur(at.sigma_px, like)
        if self.linear_light:
            return lambda image, _: to_srgb(blur(to_linear(image)))
        return lambda image, _: blur(image)
