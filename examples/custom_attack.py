"""An attack of one's own: blind tries at the corners of the linf ball, without gradients."""

from dataclasses import dataclass

import torch

from robustbench_lite.attacks.losses import reached
from robustbench_lite.types import Attack, Cost


@dataclass(frozen=True)
class Blind(Attack):
    """Random corners of the linf ball. Where it finds more than PGD does, PGD is blind."""

    eps: float | None = None  # None: the data's usual budget is filled in
    tries: int = 20
    norm = "linf"
    needs_gradient = False

    def max_cost(self):
        return Cost(forwards=self.tries, gradients=0)

    def __call__(self, model, images, labels, streams):
        result, active = images.clone(), torch.arange(len(images), device=images.device)
        for k in range(self.tries):
            if len(active) == 0:
                break
            sign = streams[active].uniform(images.shape[1:], k, like=images).round() * 2 - 1
            result[active] = (images[active] + self.eps * sign).clamp(0, 1)
            active = active[~reached(model(result[active]), labels[active], targeted=False)]
        return result
