"""Risk: the lens. It does not bend all colours alike."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Convolution
from robustbench_lite.shifts.defocus import disk
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled
from robustbench_lite.shifts.warp import grid, pixels

_LATERAL = (0, 0.004, 0.008, 0.014, 0.022, 0.035)


@dataclass(frozen=True)
class ChromaticAberration(ScaledShift):
    """A lens that magnifies red, green and blue differently: coloured fringes that grow towards the corners.

    Primary lateral colour: red is larger than green by the share ``lateral`` and blue smaller by the same,
    about the image's centre, so an edge is split by an amount that grows with its distance from there.
    ``longitudinal_px`` is the other kind: with green in focus, red and blue are not, everywhere alike; that
    blur is in linear light. Bicubic. Differentiable.

    The levels are our choice, for the same share at every image size: good lenses stay below 0.001, and
    level 5 moves the corner of an image of 224 pixels by 5.5 pixels. Not modelled: higher orders, fringes
    within a channel (each of the three is a whole band of the spectrum), and the correction by the camera.
    At the edge, blue is filled with its mirror image; ``filled`` counts these pixels.

    Args:
        severity: 0 to 5.
        lateral: by what share red is enlarged and blue reduced; negative turns it over; None takes it from
            the scale.
        longitudinal_px: radius of the disk that points of red and blue become, in pixels.
    """

    needs_colour = True
    smooth = ("lateral",)

    lateral: float | None = scaled(_LATERAL, -0.5, 0.5, "share by which red is enlarged and blue reduced")
    longitudinal_px: float = fixed(0, 0, 200, "radius in pixels")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        places = _places(at.lateral, like)
        kernel = disk(at.longitudinal_px)
        blur = Convolution(kernel, like) if kernel.numel() > 1 else None

        def split(image: Tensor, _: Streams) -> Tensor:
            red_blue = grid_sample(image[0, [0, 2], None], places, "bicubic", "reflection", align_corners=False)
            red_blue = red_blue.transpose(0, 1)
            if blur:
                red_blue = to_srgb(blur(to_linear(red_blue)))
            return torch.stack((red_blue[:, 0], image[:, 1], red_blue[:, 1]), 1)

        return split

    def filled(self, images: Tensor, streams: Streams) -> Tensor:
        """Share of the pixels with an invented channel, (N,)."""
        beyond = (_places(self.values(images).lateral, images).abs() > 1).any(-1).any(0)
        return beyond.to(images).mean().expand(len(images))


def _places(lateral: float | Tensor, like: Tensor) -> Tensor:
    """(2, H, W, 2): where red and blue come from."""
    here = grid(*pixels(like), like)
    return torch.cat((here / (1 + lateral), here / (1 - lateral)))
