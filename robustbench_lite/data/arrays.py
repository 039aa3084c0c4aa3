"""Data sets in one file of NumPy arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.source import RawPixels, Source
from robustbench_lite.errors import InputError

_MAKE = "Write it with numpy.savez(path, images=…, labels=…)."


def npz(path: str) -> Source:
    """NumPy arrays ``images`` and ``labels`` in one .npz file.

    ``images`` is (N, H, W), (N, H, W, C) or (N, C, H, W); uint8, uint16, or floats in [0, 1]. The shorter of
    the first and the last axis is the channels'. ``labels`` is (N,), integers 0 to K-1. Optional:
    ``class_names`` (K,), ``groups`` (N,), and further (N,) arrays that ``--group column:NAME`` names. Arrays
    stay as they are; each image is converted when it is read.

    Args:
        path: the file.

    Raises:
        InputError: the file or an array is missing or not as above.
    """
    arrays = _load(path)
    missing = [name for name in ("images", "labels") if name not in arrays]
    if missing:
        raise InputError(f"{path} holds no array {missing[0]!r}, but {', '.join(arrays) or 'none'}.", _MAKE)
    images = _channels_last(arrays.pop("images"), path)
    _check_values(images, path)
    class_names = arrays.pop("class_names", None)
    labels = _labels(arrays.pop("labels"), len(images), class_names, path)
    if class_names is None:
        class_names = np.arange(labels.max() + 1)
    columns = {name: _texts(array) for name, array in arrays.items() if array.shape == labels.shape}
    if "groups" in arrays and "groups" not in columns:
        raise InputError(
            f"groups of {path} have the shape {arrays['groups'].shape}.", f"They must be ({len(labels)},)."
        )

    def read(i: int) -> RawPixels:
        image: RawPixels = images[i]
        return image

    return Source(
        labels=labels,
        class_names=_texts(class_names),
        files=tuple(str(i) for i in range(len(labels))),
        read=read,
        groups=columns.get("groups"),
        columns=columns,
    )


def _load(path: str) -> dict[str, npt.NDArray[Any]]:
    where = Path(path).expanduser()
    if not where.is_file():
        raise InputError(f"no such file: {path}.", f"Check the path; it was looked for at {where.absolute()}.")
    try:
        # Without pickle: loading data must not run code.
        with where.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (AttributeError, TypeError):  # a lone .npy array is neither a context nor a collection
        raise InputError(f"{path} is no .npz file.", _MAKE) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise InputError(f"{path} holds Python objects, or is no .npz file.", _MAKE) from None
        raise InputError(f"{path} cannot be read: {error}", _MAKE) from error


def _channels_last(images: npt.NDArray[Any], path: str) -> npt.NDArray[Any]:
    """The images as (N, H, W, C), without a copy."""
    if images.ndim == 3:
        return images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"images of {path} have the shape {images.shape}.",
            "They must be (N, H, W), (N, H, W, C) or (N, C, H, W).",
        )
    first, last = images.shape[1], images.shape[3]
    if first == last:
        raise InputError(
            f"images of {path} have the shape {images.shape}, where the channels cannot be told.",
            "Crop or pad them, so that height, width and channels differ.",
        )
    return images if last < first else images.transpose(0, 2, 3, 1)


def _check_values(images: npt.NDArray[Any], path: str) -> None:
    if any(np.issubdtype(images.dtype, kind) for kind in (np.uint8, np.uint16)):  # of any byte order
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"images of {path} are {images.dtype}.", "Save uint8, uint16, or floats in [0, 1].")
    low, high = images.min(), images.max()  # NaN if any is
    if 0 <= low <= high <= 1:
        return
    remedy = "Scale them to [0, 1]."
    if np.isnan(low):
        remedy = "Find out where they come from."
    elif low >= 0 and high <= 255:
        remedy = "Divide by 255, or save them as uint8."
    elif low >= 0 and high <= 65535:
        remedy = "Divide by 65535, or save them as uint16."
    raise InputError(f"images of {path} run from {low:g} to {high:g}, not from 0 to 1.", remedy)


def _labels(
    labels: npt.NDArray[Any], count: int, class_names: npt.NDArray[Any] | None, path: str
) -> npt.NDArray[np.int64]:
    if labels.shape != (count,) or count == 0:
        raise InputError(f"labels of {path} have the shape {labels.shape} for {count} images.", _MAKE)
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels of {path} are {labels.dtype}.", "They must be integers 0 to K-1.")
    known = np.unique(labels)
    top = len(class_names) - 1 if class_names is not None and class_names.ndim == 1 else len(known) - 1
    if known[0] < 0 or known[-1] > top:
        raise InputError(
            f"labels of {path} are {len(known)} numbers from {known[0]} to {known[-1]}.",
            f"They must be 0 to {top}: number the classes from 0, or give an array class_names.",
        )
    return labels.astype(np.int64)


def _texts(array: npt.NDArray[Any]) -> tuple[str, ...]:
    if np.issubdtype(array.dtype, np.bytes_):
        array = np.char.decode(array, "utf-8")
    return tuple(map(str, array.tolist()))
