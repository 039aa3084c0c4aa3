"""Risk: the light. One lamp on one side, where there was even light."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import falloff, places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_CORNER_LOSS = (0, 0.2, 0.4, 0.6, 0.8, 0.93)


@dataclass(frozen=True)
class Uneven(ScaledShift):
    """Uneven light: one lamp over some place of the image, and less light the farther from it.

    Linear light is multiplied by the cosine-fourth law of a flat lamp that hangs over a flat scene; how high it
    hangs follows from the loss. Each sample has its lamp somewhere over the image, so that some have a bright
    middle and most a bright side. The exposure is right under the lamp. The levels are our choice: 0.93 is a lamp
    at 0.6 of its distance to the farthest corner. Differentiable.

    Not modelled: the relief of the scene and its shadows, several lamps, light that walls give back, and a camera
    that meters for the mean.

    Args:
        severity: 0 to 5.
        corner_loss: share of the light that is missing in the pixel farthest from the lamp, 0 to 0.99; None takes
            it from the scale.
    """

    random = True
    smooth = ("corner_loss",)

    corner_loss: float | None = scaled(_CORNER_LOSS, 0, 0.99, "share of the light that is missing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)

        def light_up(image: Tensor, stream: Streams) -> Tensor:
            lamp = stream.uniform((2,), "lamp", like=image)[0].tolist()
            return to_srgb(to_linear(image) * falloff(down, across, lamp, at.corner_loss))

        return light_up
