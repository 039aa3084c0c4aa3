"""How unlikely a variational autoencoder finds an image."""

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
class Bound(TensorState):
    """Minus the evidence lower bound of a generator, with so many draws of a fixed noise."""

    seed: Tensor
    model: VariationalModel
    samples: int

    def __call__(self, images: Tensor) -> Tensor:
        """Nats (N,)."""
        images = reduced(images, self.model)
        noise = fixed_noise(self.seed, "elbo", self.samples, self.model, images)
        return -bounds.elbo(self.model, images, noise).nats


@dataclass(frozen=True)
class ELBO(Score):
    """Minus the evidence lower bound, in nats: above minus the log likelihood. Bishop's novelty score.

    Bishop, *Novelty detection and neural network validation*, IEE Proceedings 141(4), 1994; the bound: Kingma &
    Welling, *Auto-encoding variational Bayes*, ICLR 2014. Simple images can be likelier than normal ones:
    Nalisnick et al., *Do deep generative models know what they don't know?*, ICLR 2019.

    Args:
        samples: draws from the posterior, each a pass through the decoder.
    """

    samples: int = 1
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"

    def __post_init__(self) -> None:
        at_least_one("elbo", "samples", self.samples)

    def cost(self) -> Cost:
        """One pass through the decoder per draw."""
        return Cost(self.samples, 0)

    def fit(self, normals: Normals, parts: Parts) -> Bound:
        """Nothing is found out: the generator knows the normal images (N, C, H, W)."""
        return self.restore({"seed": torch.tensor(normals.seed)}, normals.shape, parts)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Bound:
        """The scorer whose state this is."""
        return Bound(model=variational_model(parts, shape), samples=self.samples, **state)
