"""What an autoencoder cannot draw of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite.generative.latent import LatentModel
from robustbench_lite.outliers.asking import enlarged, latent_model, reduced
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState

Measure = Literal["mse", "ssim", "max"]
_SIGMA, _RADIUS = 1.5, 5
"""Of the Gaussian window, in pixels (Wang et al. 2004): 11×11."""
_C1, _C2 = 0.01**2, 0.03**2
"""Keep the ratios finite (Wang et al. 2004, for values in [0, 1])."""


def smoothed(images: Tensor) -> Tensor:
    """Means over the Gaussian window, (…, H, W); at the edge over what of the window lies within the image."""

    def weights(size: int) -> Tensor:
        at = torch.arange(size, device=images.device, dtype=images.dtype)
        apart = at[:, None] - at
        near: Tensor = torch.exp(-0.5 * (apart / _SIGMA).square()) * (apart.abs() <= _RADIUS)
        return near / near.sum(1, keepdim=True)

    height, width = images.shape[-2:]
    return weights(height) @ images @ weights(width).T


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (N, C, H, W) of images in [0, 1], per pixel; 1 where they are equal.

    Wang, Bovik, Sheikh & Simoncelli, *Image quality assessment: from error visibility to structural similarity*,
    IEEE Transactions on Image Processing 13(4), 2004. The windows at the edge are cut, not left out.
    """
    mean_a, mean_b, square_a, square_b, product = smoothed(torch.stack([a, b, a * a, b * b, a * b])).unbind()
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    covariance = product - mean_a * mean_b
    means = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    return means * (2 * covariance + _C2) / (variances + _C2)


@dataclass(frozen=True, eq=False)
class Residual(TensorState):
    """A generator, and how its drawing is compared with the image."""

    model: LatentModel
    measure: Measure

    def _map(self, images: Tensor) -> Tensor:
        seen = reduced(images, self.model)
        drawn = self.model.decode(self.model.encode(seen))
        if self.measure == "ssim":
            return (1 - ssim(seen, drawn)).mean(1)
        squared = (seen - drawn).square().mean(1)
        return smoothed(squared) if self.measure == "max" else squared

    def __call__(self, images: Tensor) -> Tensor:
        """The mean (N,) of the map, or its highest value."""
        found = self._map(images).flatten(1)
        return found.amax(1) if self.measure == "max" else found.mean(1)

    def maps(self, images: Tensor) -> Tensor:
        """Squared or structural difference (N, H, W), the mean of the channels."""
        return enlarged(self._map(images), images)


@dataclass(frozen=True)
class Reconstruction(Score):
    """How far an image is from what an autoencoder makes of it.

    Japkowicz, Myers & Gluck, *A novelty detection approach to classification*, IJCAI 1995; with structural
    similarity: Bergmann et al., *Improving unsupervised defect segmentation by applying structural similarity to
    autoencoders*, VISAPP 2019.

    Args:
        measure: ``mse``, mean squared error; ``ssim``, 1 − the mean structural similarity; ``max``, the highest
            squared error in a Gaussian window (σ 1.5 pixels), for defects that are small.
    """

    measure: Measure = "mse"
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"

    def fit(self, normals: Normals, parts: Parts) -> Residual:
        """Nothing is found out: the generator knows the normal images (N, C, H, W)."""
        return self.restore({}, normals.shape, parts)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Residual:
        """The scorer whose state this is."""
        return Residual(latent_model(parts, shape), self.measure, **state)
