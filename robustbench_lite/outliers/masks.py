"""Masks of defects: found by the names of the images, brought to their shape; and how well maps match them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng
from scipy import ndimage

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.decoding import SUFFIXES, decode
from robustbench_lite.data.pixels import Fit
from robustbench_lite.data.surfaces import surfaces_masks
from robustbench_lite.errors import InputError

Mask = npt.NDArray[np.bool_]

_LOSSY = (".jpg", ".jpeg", ".webp")
_MOST_FALSE = 0.3
_BINS, _RESAMPLES = 1000, 1000
_AT_ONCE = 2**22  # pixels that are sorted together


class PixelMeasures(NamedTuple):
    """How well maps tell the pixels of defects from all others; 95 % intervals, of images (or groups) drawn again.

    Args:
        auroc, auroc_low, auroc_high: over all pixels together.
        aupro, aupro_low, aupro_high: per-region overlap, up to a false-positive rate of 0.3; a small defect counts
            as much as a large one.
        regions: connected defects.
    """

    auroc: float
    auroc_low: float
    auroc_high: float
    aupro: float
    aupro_low: float
    aupro_high: float
    regions: int


def masks_for(
    dataset: Dataset, folder: Path | None, normal: Sequence[bool], *, resize: int | None = None
) -> list[Mask]:
    """The mask of every image of a data set: from a folder, or, of ``surfaces``, drawn.

    Args:
        dataset: the images, at the size that they are scored at.
        folder: of the masks; None: only ``surfaces`` has some of its own.
        normal: for every image whether it is normal.
        resize: as the data set was loaded with.

    Raises:
        InputError: as ``load_masks``; or no folder, and the data set has no masks of its own.
    """
    shape = dataset.image_shape[1:]
    if folder is not None:
        return [mask for mask in load_masks(folder, dataset.files, shape, normal, resize) if mask is not None]
    fit = Fit(input_size=shape, resize=resize)
    drawn = surfaces_masks(dataset.spec, dataset.files)
    return [fit.mask(mask, file) for mask, file in zip(drawn, dataset.files, strict=True)]


def load_masks(
    folder: Path,
    files: Sequence[str],
    shape: tuple[int, int],
    normal: Sequence[bool] | None = None,
    resize: int | None = None,
) -> list[Mask | None]:
    """Masks (H, W) by the names of the images.

    The mask of ``scratch/000.png`` is ``scratch/000.png`` or ``scratch/000_mask.png``, of any format, below the
    folder; a folder of the split before it may be missing, and where no two images are called ``000``, so may
    ``scratch``. A pixel is marked if it is not 0; in a JPEG or WebP, if it is above half.

    Args:
        folder: of the masks.
        files: names of the images, with folders.
        shape: (H, W) of the images; masks of another size are scaled (nearest pixel) and cut as they were.
        normal: for every image whether it is normal; None: unknown.
        resize: the images' shorter side before the cut, if they had one.

    Returns:
        A mask per image. Without one, a normal image has an empty one, and one of unknown kind None.

    Raises:
        InputError: no such folder, no mask in it, none for a defect, two for an image, one that may belong to
            several images, or a mask that marks a normal image.
    """
    found = _listed(folder)
    fit = Fit(input_size=shape, resize=resize)
    stems = [PurePosixPath(file.replace("\\", "/")).with_suffix("") for file in files]
    same = {stem.name: sum(other.name == stem.name for other in stems) for stem in set(stems)} if stems else {}
    masks: list[Mask | None] = []
    missing: list[str] = []
    for i, (file, stem) in enumerate(zip(files, stems, strict=True)):
        path = _mask_path(found, stem, alone=same[stem.name] == 1)
        is_normal = normal[i] if normal is not None else None
        if path is None:
            masks.append(None if is_normal is None else np.zeros(shape, bool))
            if is_normal is False:
                missing.append(file)
            continue
        mask = fit.mask(_read(path), path.name)
        if is_normal and mask.any():
            raise InputError(f"{path} marks a defect in {file}, which is normal.", "Check --normal and the masks.")
        masks.append(mask)
    if missing:
        stem = PurePosixPath(missing[0]).with_suffix("")
        raise InputError(
            f"{len(missing)} outliers have no mask in {folder}, the first: {missing[0]}.",
            f"Call its mask {stem.parent / stem.name}_mask.png below that folder, or leave --masks out.",
        )
    return masks


def _listed(folder: Path) -> dict[str, list[Path]]:
    """All masks below a folder, by their path without the ending and without ``_mask``."""
    if not folder.is_dir():
        raise InputError(f"no such folder of masks: {folder}.", "Check --masks.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            key = path.relative_to(folder).with_suffix("").as_posix()
            found.setdefault(key, []).append(path)
            if key.endswith("_mask"):
                found.setdefault(key.removesuffix("_mask"), []).append(path)
    if not found:
        raise InputError(f"{folder} holds no mask.", f"Masks are images ({' '.join(sorted(SUFFIXES))}).")
    return found


def _mask_path(found: dict[str, list[Path]], stem: PurePosixPath, *, alone: bool) -> Path | None:
    """With all folders, then without the first ones; without the class's only if that name is the only one."""
    parts = [part for part in stem.parts if part not in ("/", "..", ".")]
    for k in range(len(parts)):
        if k == len(parts) - 1 and k > 0 and not alone:
            if found.get(parts[-1]):
                raise InputError(
                    f"several images are called {parts[-1]}, so it is not known whose mask "
                    f"{found[parts[-1]][0]} is.",
                    "Put the masks into one folder per class.",
                )
            return None
        paths = found.get("/".join(parts[k:]), [])
        named = [path for path in paths if path.stem.endswith("_mask")]
        if len(named or paths) > 1:
            both = " and ".join(path.name for path in (named or paths)[:2])
            raise InputError(f"{stem} has two masks: {both}.", "Keep one of them.")
        if paths:
            return (named or paths)[0]
    return None


def _read(path: Path) -> Mask:
    pixels = decode(str(path), str(path)).max(axis=2)
    limit = np.iinfo(pixels.dtype).max // 2 if path.suffix.lower() in _LOSSY else 0
    return np.asarray(pixels > limit)


def pixel_auroc(
    maps: Sequence[npt.ArrayLike],
    masks: Sequence[Mask | None],
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> PixelMeasures:
    """AUROC over pixels, and the per-region overlap, with bootstrap intervals by image, or by group.

    The figures are exact, ties count half, and what is held are the values of marked pixels and some maps.
    The intervals come from 1,000 bins at ranks of the marked pixels, which is exact to 0.0005.

    Per-region overlap: Bergmann et al., *The MVTec Anomaly Detection Dataset*, IJCV 129, 2021, section 5.2;
    regions are connected with their eight neighbours.

    Args:
        maps: one (H, W) per image, higher is more outlying; an array (N, H, W) or a tensor will do.
        masks: one (H, W) per image; an image without one (None) is left out.
        groups: one per image, of pictures of one part.
        seed: of the draws.
        resamples: how many; 0: the intervals are NaN.

    Raises:
        InputError: shapes that differ, values that are not finite, no marked pixel, or none that is not.
    """
    if len(maps) != len(masks):
        raise InputError(f"there are {len(maps)} maps for {len(masks)} masks.", "Give one each.")
    pairs = [(i, np.asarray(mask, bool)) for i, mask in enumerate(masks) if mask is not None]
    marked, shares, regions = [], [], 0
    for i, mask in pairs:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        marked.append(_values(maps[i], mask, i)[mask])
        shares.append(1 / np.bincount(labels.ravel())[labels[mask]])
        regions += count
    if not regions:
        raise InputError("no pixel is marked in any mask.", "Give masks of outliers.")
    levels, places = np.unique(np.concatenate(marked), return_inverse=True)
    exact = np.zeros(
        (3, 2 * len(levels) + 1)
    )  # in cells: below the first level, on it, between it and the second …
    exact[1, 1::2] = np.bincount(places)
    exact[2, 1::2] = np.bincount(places, np.concatenate(shares))
    edges = np.unique(levels[np.arange(1, _BINS) * len(levels) // _BINS])
    binned = np.zeros((3, len(pairs), len(edges) + 1))
    waiting: list[npt.NDArray[np.float32]] = []
    for k, (i, mask) in enumerate(pairs):
        clean = _values(maps[i], mask, i)[~mask]
        for row, values, weights in ((0, clean, None), (1, marked[k], None), (2, marked[k], shares[k])):
            found = np.searchsorted(edges, values, "right")
            binned[row, k] = np.bincount(found, weights, minlength=len(edges) + 1)
        waiting.append(clean)
        if k == len(pairs) - 1 or sum(map(len, waiting)) > _AT_ONCE:
            exact[0] += _in_cells(np.concatenate(waiting), levels)
            waiting = []
    if not exact[0].any():
        raise InputError("every pixel is marked in all masks.", "Give masks that leave something out.")
    auroc, aupro = (float(value[0]) for value in _areas(*exact[:, None]))
    kept = None if groups is None else [groups[i] for i, _ in pairs]
    low, high = _intervals(binned, kept, seed, resamples)
    return PixelMeasures(auroc, low[0], high[0], aupro, low[1], high[1], regions)


def _in_cells(values: npt.NDArray[np.float32], levels: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """How many values are below the first level, on it, between it and the second, …, above the last."""
    values = np.sort(values)
    up_to = np.zeros(2 * len(levels) + 2, np.intp)
    up_to[1:-1:2] = np.searchsorted(values, levels, "left")
    up_to[2:-1:2] = np.searchsorted(values, levels, "right")
    up_to[-1] = len(values)
    return np.diff(up_to)


def _values(found: npt.ArrayLike, mask: Mask, i: int) -> npt.NDArray[np.float32]:
    values = np.asarray(found, np.float32)
    if values.shape != mask.shape:
        raise InputError(f"map {i} has the shape {values.shape}, its mask {mask.shape}.", "They must be equal.")
    if not np.isfinite(values).all():
        raise InputError(f"map {i} holds NaN or infinity.", "Check the image.")
    return values


def _areas(
    beside: npt.NDArray[np.float64], marked: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """AUROC and AUPRO of counts per cell, in rising order of the value, (B, cells) each."""
    fpr, tpr, pro = (_from_top(counts) for counts in (beside, marked, shares))
    auroc = (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(1)
    cut = np.minimum(fpr, _MOST_FALSE)
    width, whole = np.diff(cut), np.diff(fpr)
    part = np.divide(width, whole, out=np.zeros_like(width), where=whole > 0)  # of the last step only a part
    aupro = (width * (pro[:, :-1] + np.diff(pro) * part / 2)).sum(1) / _MOST_FALSE
    return auroc, aupro


def _from_top(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of all that lies in the last k cells, (B, cells + 1)."""
    summed = np.cumsum(counts[:, ::-1], axis=1)
    return np.concatenate([np.zeros((len(counts), 1)), summed], axis=1) / summed[:, -1:]


def _intervals(
    binned: npt.NDArray[np.float64], groups: Sequence[str] | None, seed: int, resamples: int
) -> tuple[list[float], list[float]]:
    """95 % of the draws of images; those without a defect are left out."""
    images = binned.shape[1]
    _, unit = np.unique(np.arange(images) if groups is None else np.asarray(groups), return_inverse=True)
    units = int(unit.max()) + 1
    rng = default_rng(seed)
    found: list[npt.NDArray[np.float64]] = []
    for start in range(0, resamples, 100):
        count = min(100, resamples - start)
        weights = rng.multinomial(units, np.full(units, 1 / units), count)[:, unit].astype(float)
        sums = [weights @ part for part in binned]
        usable = (sums[0].sum(1) > 0) & (sums[1].sum(1) > 0)
        found.append(np.stack(_areas(*(part[usable] for part in sums)), 1))
    drawn = np.concatenate(found) if found else np.empty((0, 2))
    if not len(drawn):
        return [float("nan")] * 2, [float("nan")] * 2
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return low.tolist(), high.tolist()
