"""Risk: the weather. Fog in patches, as the published corruption sets make it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.fields import Plasma
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_AMOUNT = {
    32: (0, 0.2, 0.5, 0.75, 1.0, 1.5),
    64: (0, 0.4, 0.7, 1.0, 1.5, 2.0),
    224: (0, 0.4, 0.8, 1.3, 2.0, 3.0),
}
_DECAY = {
    32: (3, 3, 3, 2.5, 2, 1.75),
    64: (3, 3, 3, 2.5, 2, 1.75),
    224: (2, 2, 2, 1.7, 1.5, 1.4),
}


@dataclass(frozen=True)
class Fog(ScaledShift):
    """Patches of grey fog on the image: a fractal field is added, then everything is scaled back.

    The fog of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C (Hendrycks & Dietterich, ICLR 2019): plasma from
    the diamond-square algorithm on the stored values. Scale: theirs at 32 and 64 px. At 224 px their first
    level is as strong as the last one elsewhere (amount 1.5, 2, 2.5, 2.5, 3); ours begins lower.
    Differentiable. Not modelled: distance, which decides how much fog lies before a thing, and light;
    ``haze`` has both. Where the field is low the image gets darker, which fog does not do.

    Args:
        severity: 0 to 5.
        amount: of fog that is added, where the field is highest; images are in [0, 1].
        decay: roughness. From one level of detail to the next, the field's random numbers shrink by its
            square, as in the published code.
        legacy: always show the same corner of the field, where its first point lies, as the published code does.
    """

    random = True
    smooth = ("amount",)

    amount: float | None = scaled(_AMOUNT, 0, 100, "fog added before the image is scaled back")
    decay: float | None = scaled(_DECAY, 1, 10, "its square divides the finer detail, from level to level")
    legacy: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        plasma = Plasma(at.decay**2, like)

        def fog(image: Tensor, stream: Streams) -> Tensor:
            brightest = image.max()
            field = plasma(stream, image, corner=self.legacy)
            fogged: Tensor = image + at.amount * field
            scale: Tensor = brightest / (brightest + at.amount).clamp_min(1e-12)
            return fogged * scale

        return fog
