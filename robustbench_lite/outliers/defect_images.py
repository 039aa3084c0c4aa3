"""Normal images with made-up defects in them, and the variation that a camera adds to both.

Images are standardised: their unit is the standard deviation of the whole image. As with the masks, kinds and
shares were chosen on photographs of magnetic tiles. Pasting from other normal images follows CutPaste (Li et al.,
CVPR 2021) and DRAEM (Zavrtanik, Kristan & Skočaj, ICCV 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from robustbench_lite.outliers.defect_masks import Array, Random, random_mask, smooth_noise

Whole = npt.NDArray[np.int64]

_TRIES = 5
_LEAST_CHANGE = 0.4  # mean change inside the mask; less is no defect
_PLACES = 300  # tried until one has something that can be removed
_UNEVEN = 0.35  # deviation inside a box that is more than texture
_REMOVED = 0.2  # share of defects where something is missing
_EDGES = (0.0, 0.5, 0.8, 1.5)  # standard deviations of the blur of masks


def with_defects(images: Array, others: Array, random: Random) -> tuple[Array, Array]:
    """Images (N, S, S), 60 % of them with a defect, 30 % of those with a second; and what that added to them.

    A fifth of the defects is something missing, where there is anything that can be.

    Args:
        images: standardised normal images.
        others: (M, S, S), normal images to paste from.
        random: of all draws.
    """
    changed = images.copy()
    for image in changed:
        if random.random() < 0.6:
            for _ in range(1 + int(random.random() < 0.3)):
                missing = removed(image, random) if random.random() < _REMOVED else np.zeros_like(image)
                other = others[random.integers(len(others))]
                image += missing if missing.any() else _defect(image, other, random)
    return changed, changed - images


def _defect(image: Array, other: Array, random: Random) -> Array:
    """What one defect adds to the image; nothing, if none was found that is large enough to see."""
    side = len(image)
    for _ in range(_TRIES):
        mask = random_mask(side, random)
        blur = _EDGES[random.integers(len(_EDGES))]
        if blur:
            mask = gaussian_filter(mask, blur * max(side / 128, 0.5))
        area = float(mask.sum())
        if area < max(2.0, 4 * side / 128):
            continue
        change = mask * _fill(image, mask, other, random)
        if float(np.abs(change).sum()) > _LEAST_CHANGE * area:
            return change
    return np.zeros_like(image)


def _fill(image: Array, mask: Array, other: Array, random: Random) -> Array:
    """What the defect would add where the mask is 1."""
    kind = random.random()
    if kind < 0.42:  # another place of a normal image
        return _moved(other, random) - image
    sign = -1 if random.random() < 0.6 else 1  # more defects are dark than bright
    if kind < 0.78:
        return np.full_like(image, sign * random.uniform(0.5, 3.5))
    if kind < 0.86:  # one grey level
        return random.uniform(-3, 3) - image
    if kind < 0.92:  # a texture of its own
        cells = int(random.integers(len(image) // 8, len(image) // 2 + 1))
        return sign * 0.5 + random.uniform(0.7, 2) * smooth_noise(len(image), cells, random)
    if kind < 0.96:  # a dent: bright where it faces the light, dark where it does not
        down, right = np.gradient(gaussian_filter(mask, 1.5 * max(len(image) / 128, 0.5)))
        angle = random.uniform(0, 2 * math.pi)
        slope = np.asarray(math.sin(angle) * down + math.cos(angle) * right, dtype=np.float32)
        shading: Array = slope * (random.uniform(1, 3.5) / max(float(np.abs(slope).max()), 1e-6))
        return shading
    centre = float((image * mask).sum() / mask.sum())
    factor = random.uniform(0, 0.5) if random.random() < 0.5 else random.uniform(1.6, 2.5)
    return (factor - 1) * (image - centre)


def removed(image: Array, random: Random) -> Array:
    """What is added where something is taken away: letters, a hole; nothing, if nothing stands out.

    In a box whose inside is uneven, what differs from an even box nearby, of the same level along the outline, is
    replaced by that. The surface that is left is normal in itself; only what belongs there is missing.
    """
    side = len(image)
    lengths = np.exp(random.uniform(np.log((5, 6)), np.log((24, 72)), (_PLACES, 2))) * side / 128
    lying = random.random((_PLACES, 1)) < 0.75
    sizes: Whole = np.where(lying, lengths, lengths[:, ::-1]).astype(np.int64).clip(3)
    here = random.integers(0, side - sizes + 1)
    there = (here + sizes * random.uniform(-2, 2, sizes.shape)).astype(int).clip(0, side - sizes)
    uneven, even = _deviations(image, here, sizes), _deviations(image, there, sizes)
    for i in np.flatnonzero((uneven > _UNEVEN) & (even < 0.5 * uneven)):
        box, other = (tuple(map(slice, start[i], start[i] + sizes[i])) for start in (here, there))
        difference = image[other] - image[box]
        outline = difference[0], difference[-1], difference[:, 0], difference[:, -1]
        level = np.median(np.concatenate(outline))
        if max(np.median(np.abs(line - level)) for line in outline) > 0.5 * uneven[i]:
            continue  # an edge of the part passes through: that would be a notch
        difference -= level
        seen = np.abs(gaussian_filter(difference, 0.8 * max(side / 128, 0.5)))
        change = np.zeros_like(image)
        change[box] = random.uniform(0.7, 1) * difference * np.clip((seen - 0.3) / 0.4, 0, 1)
        return change
    return np.zeros_like(image)


def _deviations(image: Array, starts: Whole, sizes: Whole) -> npt.NDArray[np.float64]:
    """Standard deviation within each box (N,), from sums over all boxes at the corner."""
    (top, left), (bottom, right) = starts.T, (starts + sizes).T
    moments = []
    for power in (1, 2):
        sums = np.pad(np.cumsum(np.cumsum(image.astype(np.float64) ** power, 0), 1), ((1, 0), (1, 0)))
        total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        moments.append(total / sizes.prod(1))
    found: npt.NDArray[np.float64] = np.sqrt(np.maximum(moments[1] - moments[0] ** 2, 0))
    return found


def _moved(image: Array, random: Random) -> Array:
    """Turned by quarters, mirrored, zoomed 0.5 to 2 times, shifted around."""
    side = len(image)
    image = np.rot90(image, int(random.integers(4)))
    if random.random() < 0.5:
        image = image[:, ::-1]
    zoom = math.exp(random.uniform(math.log(0.5), math.log(2)))
    scaled = max(8, round(zoom * side))
    picture = Image.fromarray(np.ascontiguousarray(image)).resize((scaled, scaled), Image.Resampling.BILINEAR)
    tiled = np.pad(np.asarray(picture), (0, max(0, side - scaled)), mode="symmetric")
    return np.roll(tiled, random.integers(0, scaled, 2), (0, 1))[:side, :side]


def flipped(images: Sequence[Array] | Array, signs: Whole) -> Array:
    """Images (N, …, S, S), each mirrored down and across where its signs (N, 2) are −1."""
    return np.stack([image[..., ::down, ::right] for image, (down, right) in zip(images, signs, strict=True)])


def with_nuisances(images: Array, random: Random) -> Array:
    """Images (N, S, S), half of them with gain, offset, uneven light, noise and blur: what is no defect."""
    made = images.copy()
    for image in made:
        if random.random() < 0.5:
            image *= random.uniform(0.85, 1.18)
            image += random.uniform(-0.2, 0.2)
            if random.random() < 0.5:
                image += _uneven_light(len(image), random)
            if random.random() < 0.3:
                image += random.uniform(0, 0.12) * random.standard_normal(image.shape, dtype=np.float32)
            if random.random() < 0.12:
                image[:] = gaussian_filter(image, random.uniform(0.2, 0.8))
    return made


def _uneven_light(side: int, random: Random) -> npt.NDArray[np.floating]:
    """A parabola in both directions, at most 0.3 at nine places."""
    place = np.linspace(-1, 1, side)
    basis = np.stack([place * (place - 1) / 2, 1 - place**2, place * (place + 1) / 2], 1)
    return basis @ random.uniform(-0.3, 0.3, (3, 3)) @ basis.T
