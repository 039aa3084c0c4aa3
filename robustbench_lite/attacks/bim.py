"""The basic iterative method."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# The paper takes min(eps + 4, 1.25 eps) steps of 1, in units of 1/255: together 1.25 eps, up to eps = 16.
_WAY = 1.25


@dataclass(frozen=True)
class BIM(Attack):
    """Basic iterative method, or iterative FGSM: PGD in linf with equal steps, from the image itself.

    Kurakin, Goodfellow & Bengio, *Adversarial examples in the physical world*, ICLR workshop 2017. With
    ``target=least-likely`` it is the paper's iterative least-likely class method.

    Args:
        eps: size of the budget on the [0, 1] scale.
        steps: gradient steps.
        step_size: length of every step; by default 1.25 · eps / steps, the paper's way in all.
        target: a class index, ``least-likely``, or a probability per class; None leaves the label.
    """

    eps: float | None = None
    steps: int = 10
    step_size: float | None = None
    target: Target = None

    def __post_init__(self) -> None:
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target)
        if self.steps < 1:
            raise InputError(f"bim: steps={self.steps} is out of range.", "It must be at least 1.")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise InputError(f"bim: step_size={self.step_size} is out of range.", "It must be positive.")

    @property
    def norm(self) -> str:
        return "linf"

    def max_cost(self) -> Cost:
        return PGD(steps=self.steps, target=self.target).max_cost()

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, "linf")
        step_size = self.step_size or _WAY * eps / self.steps or None  # None where eps is 0: there are no steps
        pgd = PGD(eps, steps=self.steps, step_size=step_size, random_start=False, target=self.target)
        return pgd(model, images, labels, streams)
