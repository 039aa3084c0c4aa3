"""Risk: a camera that misjudges what is white, from image to image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import channel_gains, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_ERROR_EV = (0, 0.17, 0.35, 0.55, 0.8, 1.1)


@dataclass(frozen=True)
class WhiteBalanceError(ScaledShift):
    """Automatic white balance that is wrong in any direction: gains of red and blue that do not fit the light.

    In linear light, red is multiplied by 2^(error_ev cos a) and blue by 2^(error_ev sin a), and cut off (von
    Kries; green stays, as in cameras). Each sample draws its direction a, because what a camera takes for white
    depends on the picture: casts are warm, cold, green or magenta. The first level is the spread of the gains
    among cameras, 1.9 to 2.4 for red and 1.5 to 1.9 for blue (Cui et al., ICCV 2021), which is 0.17 stops to
    either side; the others are our choice. A lamp of another colour temperature is ``color_temperature``.
    Differentiable.

    Not modelled: the noise that the gains amplify, the camera's colour matrix, which turns an error before it
    into an error of saturation, two lamps at once. Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        error_ev: size of the error, in stops; None takes it from the scale.
        degrees: direction of the error: 0 is more red, 90 more blue, 180 less red; None draws it.
    """

    random = True
    needs_colour = True
    smooth = ("error_ev",)

    error_ev: float | None = scaled(_ERROR_EV, 0, 5, "size of the error in stops")
    degrees: float | None = fixed(None, -360, 360, "direction of the error; 0 is more red, 90 more blue")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        def balance(image: Tensor, stream: Streams) -> Tensor:
            turn = self.degrees
            if turn is None:
                turn = 360 * stream.uniform((), "direction", like=image).item()
            red, blue = (2 ** (at.error_ev * part(math.radians(turn))) for part in (math.cos, math.sin))
            return to_srgb((to_linear(image) * channel_gains((red, 1, blue), like)).clamp_max(1))

        return balance
