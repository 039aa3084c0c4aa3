"""What simple methods reach on the validation images: a network that does not beat them is not worth its cost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import Groups, Interval, paired_interval, proportion_interval
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.on_demand import OnDemand
from robustbench_lite.training.tensors import Images, Tensors, statistics, tensors_of
from robustbench_lite.training.validating import shares

MOST_IMAGES = 10_000  # learnt from; with these limits all three take some five seconds on MNIST
MOST_SIDE = 16  # pixels
MOST_FEATURES = 1024
MOST_STEPS = 200  # of the logistic regression
WORK = 4e10  # multiplications of the logistic regression; with many classes it gets fewer steps


class Baseline(NamedTuple):
    """A simple classifier: which validation images (N,) it gets right, and what it learnt from."""

    name: str
    right: npt.NDArray[np.bool_]
    learnt_from: str
    groups: Groups = None

    @property
    def accuracy(self) -> float:
        """Share of the validation images."""
        return float(self.right.mean())

    @property
    def interval(self) -> Interval:
        """Of the accuracy, 95 %: Wilson's, and for groups where the images come in such."""
        return proportion_interval(self.right, self.groups)


def baselines(train_set: Dataset, val_set: Dataset, seed: int = 0) -> tuple[Baseline, ...]:
    """Majority class, nearest neighbour and logistic regression, learnt from training images.

    Nearest neighbour (in l2) and logistic regression see pixels, normalised per channel and averaged over squares
    so that no side is longer than 16, and learn from at most 10,000 images, all classes in their proportions.

    Args:
        train_set, val_set: labelled images of one shape.
        seed: of the choice among more than 10,000 images.

    Raises:
        InputError: no images, or one class only.
    """
    return baselines_in(tensors_of(train_set, "cpu"), tensors_of(val_set, "cpu"), seed)


def baselines_in(train: Tensors, val: Tensors, seed: int) -> tuple[Baseline, ...]:
    """The same for images that have been looked through."""
    labels, truth = train.labels.cpu().numpy(), val.labels.cpu().numpy()
    if len(np.unique(labels)) < 2:
        raise InputError("the training images are of one class only.", "A classifier needs two or more.")
    chosen = proportional(labels, MOST_IMAGES, seed)
    side = pooled_shape(tuple(train.images.shape[1:]))
    mean, std = (torch.tensor(v, device=train.images.device).view(1, -1, 1, 1) for v in statistics(train.images))
    known = _pixels(train.images, mean, std, side, torch.from_numpy(chosen))
    asked = _pixels(val.images, mean, std, side)
    of = f"{len(chosen):,} of {len(labels):,} images" if len(chosen) < len(labels) else f"{len(labels):,} images"
    learnt_from = f"{of} at {side[0]}×{side[1]}"
    majority = np.bincount(labels).argmax()
    return (
        Baseline("majority class", truth == majority, f"{len(labels):,} labels", val.groups),
        Baseline("nearest neighbour", _nearest(known, labels[chosen], asked) == truth, learnt_from, val.groups),
        Baseline("logistic regression", _logistic(known, labels[chosen], asked) == truth, learnt_from, val.groups),
    )


def told(found: Sequence[Baseline], network: npt.NDArray[np.bool_] | None = None) -> list[dict[str, Any]]:
    """What a history says of them; with the network's answers on the same images also how much better it is."""
    return [
        {
            "name": one.name,
            "learnt_from": one.learnt_from,
            **shares(one.right, one.groups),
            **({} if network is None else _gain(one, network)),
        }
        for one in found
    ]


def _gain(baseline: Baseline, network: npt.NDArray[np.bool_]) -> dict[str, float]:
    fall = paired_interval(network, baseline.right, baseline.groups)  # from the network down to the baseline
    return {"gain": float(network.mean()) - baseline.accuracy, "gain_low": fall.low, "gain_high": fall.high}


def proportional(labels: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of at most so many images, in order: of every class the same share, and at least one."""
    random = torch.Generator().manual_seed(stable_hash(seed, "baselines"))
    order = torch.randperm(len(labels), generator=random).numpy()
    share = np.empty(len(labels))
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        share[mine] = np.arange(len(mine)) / len(mine)
    # The smallest shares: the first of every class has 0, and so none is left out.
    return np.sort(order[np.argsort(share[order], kind="stable")[:most]])


def pooled_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the squares' means, for images (C, H, W)."""
    channels, height, width = shape
    most = max(1, min(MOST_SIDE, math.isqrt(MOST_FEATURES // min(channels, MOST_FEATURES))))
    size = math.ceil(max(height, width) / most)
    return math.ceil(height / size), math.ceil(width / size)


def _pixels(
    images: Images, mean: Tensor, std: Tensor, side: tuple[int, int], chosen: Tensor | None = None
) -> npt.NDArray[np.float32]:
    places = torch.arange(len(images)) if chosen is None else chosen
    if isinstance(images, OnDemand):
        images.expect(places.tolist())
    parts = [
        F.adaptive_avg_pool2d((images[part] - mean) / std, side).flatten(1).cpu()
        for part in torch.split(places, 256)
    ]
    return torch.cat(parts).numpy()


def _nearest(known: npt.NDArray[Any], labels: npt.NDArray[Any], asked: npt.NDArray[Any]) -> npt.NDArray[Any]:
    from sklearn.neighbors import KNeighborsClassifier

    return np.asarray(KNeighborsClassifier(1, algorithm="brute").fit(known, labels).predict(asked))


def _logistic(known: npt.NDArray[Any], labels: npt.NDArray[Any], asked: npt.NDArray[Any]) -> npt.NDArray[Any]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    steps = int(min(MOST_STEPS, max(20, WORK / (2 * known.size * len(np.unique(labels))))))
    with warnings.catch_warnings():
        # Where it stops early it is as good, within a few tenths of a point.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(LogisticRegression(max_iter=steps).fit(known, labels).predict(asked))
