"""Well-known data sets, through torchvision. They come with train and test; val is carved out of train."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.source import RawPixels, Source
from robustbench_lite.errors import InputError

_DIGITS = tuple("0123456789")
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
_READ_ERRORS = (RuntimeError, OSError, ValueError, EOFError, KeyError, AssertionError, pickle.UnpicklingError)

# The usual budgets: MNIST linf from Madry et al., arXiv:1706.06083; CIFAR from RobustBench, arXiv:2010.09670.
# The others come from no single paper; they are what is often chosen.
_EPS_MNIST = {"linf": 0.3, "l2": 2.0}
_EPS_FASHION = {"linf": 0.1, "l2": 1.5}
_EPS_CIFAR = {"linf": 8 / 255, "l2": 0.5}


def mnist(*, root: Path, download: bool, split: str) -> Source:
    """70,000 handwritten digits, 28×28 grey."""
    return _source("MNIST", "MNIST/raw", root, download, split, _DIGITS, _EPS_MNIST)


def fashion_mnist(*, root: Path, download: bool, split: str) -> Source:
    """70,000 pictures of clothes, 28×28 grey."""
    return _source("FashionMNIST", "FashionMNIST/raw", root, download, split, _FASHION, _EPS_FASHION)


def cifar10(*, root: Path, download: bool, split: str) -> Source:
    """60,000 photographs in 10 classes, 32×32 colour."""
    return _source("CIFAR10", "cifar-10-batches-py", root, download, split, None, _EPS_CIFAR)


def cifar100(*, root: Path, download: bool, split: str) -> Source:
    """60,000 photographs in 100 classes, 32×32 colour."""
    return _source("CIFAR100", "cifar-100-python", root, download, split, None, _EPS_CIFAR)


def svhn(*, root: Path, download: bool, split: str) -> Source:
    """99,289 house numbers from street photographs, 32×32 colour."""
    return _source("SVHN", "*_32x32.mat", root, download, split, _DIGITS, _EPS_CIFAR)


def _source(
    name: str,
    place: str,
    root: Path,
    download: bool,
    split: str,
    class_names: tuple[str, ...] | None,
    eps: dict[str, float],
) -> Source:
    """The parts that the split needs.

    Args:
        name: torchvision's class.
        place: where it keeps its files below the root.
        root: folder of all data sets.
        download: fetch what is missing.
        split: ``train``, ``val``, ``test`` or ``all``.
        class_names: None for those that the files name.
        eps: the usual budget per norm.

    Raises:
        InputError: the files are missing or damaged, or cannot be fetched.
    """
    parts = {"all": ("train", "test"), "test": ("test",)}.get(split, ("train",))
    images, labels = [], []
    for part in parts:
        loaded = _load(name, place, root, download, part)
        images.append(_images(loaded))
        labels.append(_labels(loaded))
        class_names = class_names or tuple(loaded.classes)
    joined = images[0] if len(images) == 1 else np.concatenate(images)

    def read(i: int) -> RawPixels:
        image: RawPixels = joined[i]
        return image

    assert class_names is not None
    return Source(
        labels=np.concatenate(labels),
        class_names=class_names,
        files=tuple(f"{part}/{i}" for part, ys in zip(parts, labels, strict=True) for i in range(len(ys))),
        read=read,
        splits=tuple(part for part, ys in zip(parts, labels, strict=True) for _ in ys),
        eps=eps,
    )


def _load(name: str, place: str, root: Path, download: bool, part: str) -> Any:
    import torchvision

    make: Callable[..., Any] = getattr(torchvision.datasets, name)
    which: dict[str, Any] = {"split": part} if name == "SVHN" else {"train": part == "train"}
    try:
        return make(root=str(root), download=download, **which)
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split())
        if download:
            raise InputError(
                f"{name} could not be downloaded to {root.absolute()}: {reason}",
                "Check the network and the folder, or give --data-root.",
            ) from error
        state = "is not at" if "not found" in reason else f"cannot be read ({reason}) at"
        raise InputError(
            f"{name} {state} {(root / place).absolute()}.",
            "Give --data-root, the folder that holds it, or --download.",
        ) from error


def _images(loaded: Any) -> Images:
    """(N, H, W) or (N, H, W, C) uint8, without a copy."""
    data: Images = np.asarray(loaded.data)
    # SVHN is (N, C, H, W), the others are (N, H, W) or (N, H, W, C).
    return data.transpose(0, 2, 3, 1) if data.ndim == 4 and data.shape[1] == 3 else data


def _labels(loaded: Any) -> Labels:
    return np.asarray(loaded.labels if hasattr(loaded, "labels") else loaded.targets).astype(np.int64)
