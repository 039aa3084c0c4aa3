"""The likelihood of an image, less what any simple image would get."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from robustbench_lite.outliers.asking import at_least_one, reduced
from robustbench_lite.outliers.elbo import ELBO, Bound
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape
from robustbench_lite.types import Cost


def png_nats(images: Tensor) -> Tensor:
    """How long each image (N, C, H, W) is as a PNG of 8 bits: nats (N,), 8 ln 2 per byte."""
    grey = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return torch.tensor([8 * math.log(2) * _bytes(image) for image in grey]).to(images)


def _bytes(image: npt.NDArray[np.uint8]) -> int:
    # Colours as one picture; other numbers of channels, which a PNG cannot hold, one below the other.
    values = image.transpose(1, 2, 0) if len(image) == 3 else image.reshape(-1, image.shape[-1])
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(file, "PNG")
    return file.getbuffer().nbytes


@dataclass(frozen=True, eq=False)
class Surplus:
    """A bound, from which the length of a PNG is taken."""

    bound: Bound

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Nats (N,)."""
        return self.bound(images) - png_nats(reduced(images, self.bound.model))

    def state(self) -> dict[str, Tensor]:
        """The seed of the bound."""
        return self.bound.state()


@dataclass(frozen=True)
class Complexity(Score):
    """−ELBO less the length of the image as a PNG of 8 bits, in nats: a likelihood ratio against a universal code.

    Serrà et al., *Input complexity and out-of-distribution detection with likelihood-based generative models*,
    ICLR 2020. The length of a PNG has no gradient.

    Args:
        samples: draws from the posterior, each a pass through the decoder.
    """

    samples: int = 1
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"
    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least_one("complexity", "samples", self.samples)

    def cost(self) -> Cost:
        """One pass through the decoder per draw."""
        return Cost(self.samples, 0)

    def fit(self, normals: Normals, parts: Parts) -> Surplus:
        """Nothing is found out: the generator knows the normal images (N, C, H, W)."""
        return Surplus(ELBO(self.samples).fit(normals, parts))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Surplus:
        """The scorer whose state this is."""
        return Surplus(ELBO(self.samples).restore(state, shape, parts))
