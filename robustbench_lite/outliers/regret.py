"""How much better a variational autoencoder could have described an image than its encoder did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite.generative import bounds
from robustbench_lite.generative.latent import Posterior, VariationalModel
from robustbench_lite.outliers.asking import at_least_one, fixed_noise, reduced, variational_model
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState
from robustbench_lite.types import Cost

_JUDGES = 8
"""Draws that both posteriors are compared with: others than those of the search, which it has adapted to."""
_STEP_SIZE = 0.1
"""Of Adam at first; it falls to 0. Latents of a VAE are of the order of 1."""


@dataclass(frozen=True, eq=False)
class PosteriorSearch(TensorState):
    """A generator, and how long a better posterior is looked for."""

    seed: Tensor
    model: VariationalModel
    steps: int

    def __call__(self, images: Tensor) -> Tensor:
        """Nats (N,), not below 0: what the encoder says is one of the candidates."""
        images = reduced(images.detach(), self.model)
        with torch.no_grad():
            start = self.model.posterior(images)
            found = self._searched(images, start)
            noise = fixed_noise(self.seed, "regret judges", _JUDGES // 2, self.model, images)
            noise = noise / noise.square().mean(0).sqrt()  # with a variance of 1 and, both signs, a mean of 0
            noise = torch.cat([noise, -noise])
            before, after = (bounds.elbo(self.model, images, noise, q).nats for q in (start, found))
            return (after - before).clamp_min(0)

    def _searched(self, images: Tensor, start: Posterior) -> Posterior:
        noise = fixed_noise(self.seed, "regret", self.steps, self.model, images)
        with torch.enable_grad():
            variables = [value.detach().clone().requires_grad_() for value in start]
            optimiser = torch.optim.Adam(variables, _STEP_SIZE)
            for step, draw in enumerate(noise):
                optimiser.param_groups[0]["lr"] = _STEP_SIZE * (1 - step / self.steps)
                loss = -bounds.elbo(self.model, images, draw[None], Posterior(*variables)).nats.sum()
                for variable, gradient in zip(variables, torch.autograd.grad(loss, variables), strict=True):
                    variable.grad = gradient
                optimiser.step()
        return Posterior(*(value.detach() for value in variables))


@dataclass(frozen=True)
class Regret(Score):
    """Likelihood regret, in nats: the ELBO of the best posterior for this image, less that of the encoder's.

    Xiao, Yan & Amit, *Likelihood regret: an out-of-distribution detection score for variational auto-encoder*,
    NeurIPS 2020, in the variant that optimises mean and variance of the latents of each image. The search carries
    no gradient.

    Args:
        steps: of Adam, each a pass through the decoder and back.
    """

    steps: int = 40
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"
    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least_one("regret", "steps", self.steps)

    def cost(self) -> Cost:
        """One pass through the decoder and back per step, and those that judge the two posteriors."""
        return Cost(self.steps + 2 * _JUDGES, self.steps)

    def fit(self, normals: Normals, parts: Parts) -> PosteriorSearch:
        """Nothing is found out: the generator knows the normal images (N, C, H, W)."""
        return self.restore({"seed": torch.tensor(normals.seed)}, normals.shape, parts)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> PosteriorSearch:
        """The scorer whose state this is."""
        return PosteriorSearch(model=variational_model(parts, shape), steps=self.steps, **state)
