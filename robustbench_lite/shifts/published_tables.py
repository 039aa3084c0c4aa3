"""The parameters of ImageNet-C, Tiny-ImageNet-C and CIFAR-10-C, as their code has them.

Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019;
``make_imagenet_c.py``, ``make_tinyimagenet_c.py`` and ``make_cifar_c.py`` of github.com/hendrycks/robustness.
"""

from __future__ import annotations

from typing import NamedTuple

Level = float | tuple[float, ...]


class Corruption(NamedTuple):
    """One corruption: the shift that does it, its arguments, and their values at the severities 1 to 5 per set."""

    shift: str
    arguments: tuple[str, ...]
    levels: dict[str, tuple[Level, ...]]

    def at(self, published: str, severity: int) -> dict[str, float]:
        """The arguments of the shift.

        Args:
            published: ``imagenet_c``, ``tiny_imagenet_c`` or ``cifar10_c``.
            severity: 1 to 5.
        """
        level = self.levels[published][severity - 1]
        values = level if isinstance(level, tuple) else (level,)
        return dict(zip(self.arguments, values, strict=True))


def _corruption(
    shift: str,
    arguments: str,
    *,
    imagenet_c: tuple[Level, ...],
    tiny: tuple[Level, ...],
    cifar10_c: tuple[Level, ...],
) -> Corruption:
    levels = {"imagenet_c": imagenet_c, "tiny_imagenet_c": tiny, "cifar10_c": cifar10_c}
    return Corruption(shift, tuple(arguments.split()), levels)


_TINY_ZOOM = ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01))


def _side(pixels: int, *levels: tuple[float, float, float]) -> tuple[Level, ...]:
    """Shares of a side, in pixels, rounded so that a spec of them is short."""
    return tuple(tuple(round(pixels * share, 3) for share in level) for level in levels)


_NOISE = {
    "gaussian_noise": _corruption(
        "gaussian_noise",
        "sigma",
        imagenet_c=(0.08, 0.12, 0.18, 0.26, 0.38),
        tiny=(0.04, 0.08, 0.12, 0.15, 0.18),
        cifar10_c=(0.04, 0.06, 0.08, 0.09, 0.10),
    ),
    "shot_noise": _corruption(
        "shot_noise",
        "photons",
        imagenet_c=(60, 25, 12, 5, 3),
        tiny=(250, 100, 50, 30, 15),
        cifar10_c=(500, 250, 100, 75, 50),
    ),
    "impulse_noise": _corruption(
        "impulse_noise",
        "amount",
        imagenet_c=(0.03, 0.06, 0.09, 0.17, 0.27),
        tiny=(0.01, 0.02, 0.05, 0.08, 0.14),
        cifar10_c=(0.01, 0.02, 0.03, 0.05, 0.07),
    ),
}
_BLUR = {
    "defocus_blur": _corruption(
        "defocus_blur",
        "radius_px alias_sigma_px",
        imagenet_c=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        tiny=((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        cifar10_c=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    "glass_blur": _corruption(
        "glass_blur",
        "sigma_px max_delta_px iterations",
        imagenet_c=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        tiny=((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        cifar10_c=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": _corruption(
        "motion_blur",
        "radius_px sigma_px",
        imagenet_c=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        tiny=((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        cifar10_c=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ),
    # As for numpy.arange: the end is not reached.
    "zoom_blur": _corruption(
        "zoom_blur",
        "max_zoom step",
        imagenet_c=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        tiny=_TINY_ZOOM,
        cifar10_c=_TINY_ZOOM,
    ),
}
_WEATHER = {
    "snow": _corruption(
        "snow",
        "mean spread zoom threshold radius_px sigma_px blend",
        imagenet_c=(
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        tiny=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        cifar10_c=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": _corruption(
        "frost",
        "image_weight frost_weight scale",
        imagenet_c=((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
        tiny=((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
        cifar10_c=((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
    ),
    "fog": _corruption(
        "fog",
        "amount decay",
        imagenet_c=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        tiny=((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        cifar10_c=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    "brightness": _corruption(
        "brightness",
        "add",
        imagenet_c=(0.1, 0.2, 0.3, 0.4, 0.5),
        tiny=(0.1, 0.2, 0.3, 0.4, 0.5),
        cifar10_c=(0.05, 0.1, 0.15, 0.2, 0.3),
    ),
}
_DIGITAL = {
    "contrast": _corruption(
        "contrast",
        "factor",
        imagenet_c=(0.4, 0.3, 0.2, 0.1, 0.05),
        tiny=(0.4, 0.3, 0.2, 0.1, 0.05),
        cifar10_c=(0.75, 0.5, 0.4, 0.3, 0.15),
    ),
    "elastic_transform": _corruption(
        "elastic",
        "alpha_px sigma_px affine_px",
        # 244, not 224: as the code that made the published files has it.
        imagenet_c=_side(
            244, (2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)
        ),
        tiny=_side(64, (0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
        cifar10_c=_side(
            32, (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)
        ),
    ),
    "pixelate": _corruption(
        "pixelate",
        "scale",
        imagenet_c=(0.6, 0.5, 0.4, 0.3, 0.25),
        tiny=(0.9, 0.8, 0.7, 0.6, 0.5),
        cifar10_c=(0.95, 0.9, 0.85, 0.75, 0.65),
    ),
    "jpeg_compression": _corruption(
        "jpeg",
        "quality",
        imagenet_c=(25, 18, 15, 10, 7),
        tiny=(65, 58, 50, 40, 25),
        cifar10_c=(80, 65, 58, 50, 40),
    ),
}
_EXTRA = {
    "speckle_noise": _corruption(
        "speckle_noise",
        "sigma",
        imagenet_c=(0.15, 0.2, 0.35, 0.45, 0.6),
        tiny=(0.15, 0.2, 0.25, 0.3, 0.35),
        cifar10_c=(0.06, 0.1, 0.12, 0.16, 0.2),
    ),
    "gaussian_blur": _corruption(
        "gaussian_blur",
        "sigma_px",
        imagenet_c=(1, 2, 3, 4, 6),
        tiny=(0.5, 0.75, 1, 1.25, 1.5),
        cifar10_c=(0.4, 0.6, 0.7, 0.8, 1),
    ),
    "spatter": _corruption(
        "spatter",
        "mean spread sigma_px threshold intensity mud",
        imagenet_c=(
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        tiny=(
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        cifar10_c=(
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
    ),
    "saturate": _corruption(
        "saturation",
        "factor offset",
        imagenet_c=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        tiny=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        cifar10_c=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    ),
}

MAIN = {**_NOISE, **_BLUR, **_WEATHER, **_DIGITAL}
"""The 15 corruptions of the published means, in their order: noise, blur, weather, digital."""
CORRUPTIONS = {**MAIN, **_EXTRA}
"""All 19."""
