"""Risk: the object. It is soft, bent or crumpled, and its parts are not quite where they were."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import scaled
from robustbench_lite.shifts.warp import Fill, Places, Warp, grid, pixels

# 4 % of the side, and up to an rms of 1.9 % of it in each direction, by the rule of the docstring.
_SIGMA_PX = {side: (0.04 * side,) * 6 for side in (32, 64, 224, 512)}
_ALPHA_PX = {
    side: tuple(6.14 * 0.04 * share * side**2 for share in (0, 0.003, 0.006, 0.01, 0.014, 0.019))
    for side in (32, 64, 224, 512)
}
_NO_AFFINE = (0,) * 6


@dataclass(frozen=True)
class Elastic(Warp):
    """A soft object: every place of the image moves a little, and its neighbours with it.

    Simard et al., Best Practices for Convolutional Neural Networks (ICDAR 2003), as in ImageNet-C: two fields of
    uniform random numbers, smoothed by a Gaussian and multiplied by ``alpha_px``, say how far each place
    moves. The root mean square of each is about alpha / (6.14 sigma). After that, three points at a third of
    the shorter side from the centre may move by up to ``affine_px`` each way, and take the whole image with
    them. The published elastic_transform is mostly such a move at its levels 1 and 2, and only the fields at 3
    to 5; the scale here, our choice, is the fields alone, in shares of the side. Bilinear, as
    theirs; looked up once, not twice. Differentiable. Not modelled: folds that hide something, and shading.

    Args:
        severity: 0 to 5.
        alpha_px: how far places move, before smoothing, in pixels.
        sigma_px: of the Gaussian, in pixels: how far neighbours move together.
        affine_px: how far the three points may move in pixels; 0 on the scale.
        fill: what is shown beyond the edge of the image: reflect, edge or constant (black).
    """

    interpolation = "bilinear"
    random = True
    smooth = ("alpha_px",)

    alpha_px: float | None = scaled(_ALPHA_PX, 0, 1e5, "how far places move, in pixels, before smoothing")
    sigma_px: float | None = scaled(_SIGMA_PX, 0, 1e4, "of the smoothing Gaussian, in pixels")
    affine_px: float | None = scaled(_NO_AFFINE, 0, 1e4, "how far three points of the image move, in pixels")
    fill: Fill = "reflect"

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        x, y = pixels(like)
        moves = isinstance(at.alpha_px, Tensor) or at.alpha_px > 0
        down, across = (_smoothing(size, at.sigma_px, like) for size in like.shape[-2:])

        def bent(stream: Streams) -> Tensor:
            to_x, to_y = x, y
            if moves:
                noise = 2 * stream.uniform((2, *like.shape[-2:]), "bend", like=like)[0] - 1
                dx, dy = at.alpha_px * (down @ noise @ across.T)
                to_x, to_y = x + dx, y + dy
            if at.affine_px:
                jitter = at.affine_px * (2 * stream.uniform((3, 2), "affine", like=like)[0] - 1)
                (a, b, c), (d, e, f) = _affine(min(like.shape[-2:]) // 3, jitter)
                to_x, to_y = a * to_x + b * to_y + c, d * to_x + e * to_y + f
            return grid(to_x, to_y, like)

        return bent


def _smoothing(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size, size) weights of a Gaussian along one axis, mirrored at the ends, cut off at 3 sigma."""
    if sigma == 0:
        return torch.eye(size).to(like)
    radius = int(3 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-((offsets.double() / sigma) ** 2) / 2)
    seen = (torch.arange(size)[:, None] + offsets) % (2 * size)
    seen = torch.minimum(seen, 2 * size - 1 - seen)
    full = torch.zeros(size, size, dtype=torch.float64).scatter_add(1, seen, weights.repeat(size, 1))
    return (full / weights.sum()).to(like)


def _affine(reach: int, jitter: Tensor) -> Tensor:
    """(2, 3): where (x, y, 1) comes from when three points at ``reach`` from the centre moved by ``jitter``."""
    before = reach * torch.tensor([[1.0, 1], [1, -1], [-1, -1]]).to(jitter)
    after = torch.cat((before + jitter, torch.ones_like(jitter[:, :1])), 1).double()
    # Three points in one line have no affine map; the pseudoinverse then makes the least of it.
    moved: Tensor = torch.linalg.pinv(after) @ before.double()
    return moved.T.to(jitter)
