"""How unlikely a variational autoencoder finds an image, by a tighter bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite.generative import bounds
from robustbench_lite.generative.latent import VariationalModel
from robustbench_lite.outliers.asking import at_least_one, fixed_noise, reduced, variational_model
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState
from robustbench_lite.types import Cost


@dataclass(frozen=True, eq=False)
class WeightedBound(TensorState):
    """Minus the importance-weighted bound of a generator, with k draws of a fixed noise."""

    seed: Tensor
    model: VariationalModel
    k: int

    def __call__(self, images: Tensor) -> Tensor:
        """Nats (N,)."""
        images = reduced(images, self.model)
        noise = fixed_noise(self.seed, "importance", self.k, self.model, images)
        return -bounds.importance(self.model, images, noise).nats


@dataclass(frozen=True)
class Importance(Score):
    """Minus the importance-weighted bound, in nats: from −ELBO towards minus the log likelihood as k grows.

    Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016.

    Args:
        k: draws from the posterior, each a pass through the decoder.
    """

    k: int = 50
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"

    def __post_init__(self) -> None:
        at_least_one("importance", "k", self.k)

    def cost(self) -> Cost:
        """One pass through the decoder per draw."""
        return Cost(self.k, 0)

    def fit(self, normals: Normals, parts: Parts) -> WeightedBound:
        """Nothing is found out: the generator knows the normal images (N, C, H, W)."""
        return self.restore({"seed": torch.tensor(normals.seed)}, normals.shape, parts)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> WeightedBound:
        """The scorer whose state this is."""
        return WeightedBound(model=variational_model(parts, shape), k=self.k, **state)
