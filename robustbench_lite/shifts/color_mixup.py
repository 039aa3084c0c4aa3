"""Risk: what happens after the sensor. Programs that disagree about what the numbers of a pixel mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, check_choice

Mistake = Literal[
    "bt601_as_bt709",
    "bt709_as_bt601",
    "video_range_compressed",
    "video_range_expanded",
    "bgr",
    "cbcr_swapped",
    "blue_missing",
    "chroma_missing",
]
_Map = tuple[np.ndarray, np.ndarray]  # (3, 3) and (3,): colour -> matrix @ colour + offset


@dataclass(frozen=True)
class ColorMixup(ScaledShift):
    """Colours that are read otherwise than they were written: a mistake between two programs.

    Each is one that deployments make: channels in the order of OpenCV (bgr); video of full range taken for
    one of limited range, 16 to 235 for brightness and 16 to 240 for colour (video_range_expanded), or the other
    way round (video_range_compressed); YCbCr written by the matrix of ITU-R BT.601 and read by that of BT.709, or
    the other way round; Cb and Cr swapped, as by taking NV12 for NV21; planes that never arrived and are 0, the
    blue one, or both of colour, which makes the well-known green picture. Where the matrix is not the mistake
    it is that of BT.601.

    Not a matter of degree: every severity above 0 is the same, and ``rb shift`` runs it once. Differentiable.
    Not modelled: the lower resolution of colour in video, rounding to 8 bits, other primaries.

    Args:
        severity: 0 leaves the image alone; anything above makes the mistake.
        mistake: which one.
    """

    needs_colour = True
    switch = True

    mistake: Mistake = "bgr"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mistake", self.mistake, get_args(Mistake))

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        matrix, offset = (torch.from_numpy(part).to(like) for part in _map(self.mistake))
        return lambda image, _: (matrix @ image.flatten(2) + offset[:, None]).view_as(image)


def _map(mistake: Mistake) -> _Map:
    """What becomes of linear combinations of red, green and blue, in [0, 1]."""
    if mistake == "bgr":
        return np.eye(3)[:, ::-1].copy(), np.zeros(3)
    if mistake == "blue_missing":
        return np.diag((1.0, 1.0, 0.0)), np.zeros(3)
    if mistake == "bt601_as_bt709":
        return np.linalg.inv(_ycbcr(0.2126, 0.0722)) @ _BT601, np.zeros(3)
    if mistake == "bt709_as_bt601":
        return np.linalg.inv(_BT601) @ _ycbcr(0.2126, 0.0722), np.zeros(3)
    stretch = np.array((255 / 219, 255 / 224, 255 / 224))
    between: dict[str, tuple[np.ndarray, Sequence[float]]] = {  # in Y, Cb, Cr; colour runs from -0.5 to 0.5
        "video_range_expanded": (np.diag(stretch), (-16 / 219, 0, 0)),
        "video_range_compressed": (np.diag(1 / stretch), (16 / 255, 0, 0)),
        "cbcr_swapped": (np.eye(3)[[0, 2, 1]], (0, 0, 0)),
        "chroma_missing": (np.diag((1.0, 0.0, 0.0)), (0, -128 / 255, -128 / 255)),
    }
    matrix, offset = between[mistake]
    back = np.linalg.inv(_BT601)
    return back @ matrix @ _BT601, back @ np.array(offset)


def _ycbcr(red: float, blue: float) -> np.ndarray:
    """(3, 3) from red, green, blue to Y, Cb, Cr, given the shares of red and blue in the brightness Y."""
    y = np.array((red, 1 - red - blue, blue))
    return np.stack((y, (np.eye(3)[2] - y) / (2 - 2 * blue), (np.eye(3)[0] - y) / (2 - 2 * red)))


_BT601 = _ycbcr(0.299, 0.114)
