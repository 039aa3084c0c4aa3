"""How unusually likely, or unlikely, a variational autoencoder finds an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robustbench_lite.outliers.asking import at_least_one
from robustbench_lite.outliers.elbo import ELBO, Bound
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, in_batches
from robustbench_lite.types import Cost


@dataclass(frozen=True, eq=False)
class Distance:
    """The mean of a bound on normal images, and the bound."""

    bound: Bound
    mean: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Nats (N,) away from the mean."""
        found = self.bound(images)
        return (found - self.mean.to(found)).abs()

    def state(self) -> dict[str, Tensor]:
        """The mean, and the seed of the bound."""
        return {"mean": self.mean, **self.bound.state()}


@dataclass(frozen=True)
class Typicality(Score):
    """|−ELBO − its mean on normal images|, in nats: likelier than usual is as odd as less likely.

    Nalisnick, Matsukawa, Teh & Lakshminarayanan, *Detecting out-of-distribution inputs to deep generative models
    using typicality*, 2019 (arXiv 1906.02994), for one image.

    Args:
        samples: draws from the posterior, each a pass through the decoder.
    """

    samples: int = 1
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"

    def __post_init__(self) -> None:
        at_least_one("typicality", "samples", self.samples)

    def cost(self) -> Cost:
        """One pass through the decoder per draw."""
        return Cost(self.samples, 0)

    def fit(self, normals: Normals, parts: Parts) -> Distance:
        """The mean over normal images (N, C, H, W)."""
        bound = ELBO(self.samples).fit(normals, parts)
        return Distance(bound, in_batches(bound, normals.images).double().mean().float())

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Distance:
        """The scorer whose state this is."""
        return Distance(ELBO(self.samples).restore({"seed": state["seed"]}, shape, parts), state["mean"])
