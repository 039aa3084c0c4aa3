"""The search for the worst case of single images: along the gradient, or by an evolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustbench_lite.applying import shifted
from robustbench_lite.attacks.losses import margin
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.rng import Streams
from robustbench_lite.search_space import Space, singles

GRADIENT, EVOLUTION = "gradient", "evolution"
_STEP = 0.25  # share of the range
_WIDER, _NARROWER, _HALF = 1.5, 0.85, 0.5
_PIECE = 2**20  # values of the images whose graphs are kept at a time


class Known(Protocol):
    """What a step reads and writes: the worst points (N, D) so far."""

    points: npt.NDArray[np.float64]

    def offer(
        self, places: Sequence[int], points: npt.NDArray[np.float64], loss: Tensor, wrong: Tensor
    ) -> npt.NDArray[np.bool_]:
        """Keep what is worse; (M,) where that is so."""


def judged(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """How far the label is behind the largest other logit, (N,), and whether it is lost; not finite is lost."""
    finite = logits.isfinite().all(1)
    loss = torch.where(finite, margin(logits, labels), math.inf)
    return loss, ~finite | (logits.argmax(1) != labels)


def method(classifier: Classifier, space: Space) -> str:
    """How single images are refined: along the gradient where there is one, by an evolution elsewhere."""
    return GRADIENT if space.smooth and classifier.has_gradient else EVOLUTION


class Refiner:
    """Steps of single images, with the length of step and the gradient of each."""

    def __init__(self, classifier: Classifier, space: Space, n: int, seed: int) -> None:
        self.method = method(classifier, space)
        self._classifier, self._space, self._seed = classifier, space, seed
        self._length = np.full(n, _STEP)
        self._slope = np.zeros((n, len(space.axes)))
        self._known = np.zeros(n, bool)  # whether the slope is that of the worst point

    def forget(self, places: npt.NDArray[np.int64]) -> None:
        """The worst points of these images have moved."""
        self._known[places] = False
        self._length[places] = np.maximum(self._length[places], _STEP / 2)

    def step(
        self, state: Known, places: Sequence[int], images: Tensor, labels: Tensor, names: tuple[str, ...], k: int
    ) -> None:
        """One try of every image, the k-th of the search.

        Args:
            state: of all images.
            places: of these in it.
            images: (M, C, H, W).
            labels: (M,).
            names: sample ids.
            k: keys the draws.
        """
        (self._climb if self.method == GRADIENT else self._evolve)(state, places, images, labels, names, k)

    def _evolve(
        self, state: Known, places: Sequence[int], images: Tensor, labels: Tensor, names: tuple[str, ...], k: int
    ) -> None:
        """Gaussian steps, longer after a success and shorter after a failure."""
        at = np.asarray(places)
        streams = Streams(self._seed, f"search {self._space.text}", names)
        draws = streams.normal((len(self._space.axes),), k, like=torch.zeros(1)).double().numpy()
        points = (state.points[at] + self._length[at, None] * draws).clip(0, 1)
        each = zip(points.tolist(), singles(images), names, strict=True)
        changed = torch.cat([shifted(self._space.condition(p), x, (name,), self._seed) for p, x, name in each])
        better = state.offer(places, points, *judged(self._classifier(changed), labels))
        self._length[at] = np.minimum(0.5, self._length[at] * np.where(better, _WIDER, _NARROWER))

    def _climb(
        self, state: Known, places: Sequence[int], images: Tensor, labels: Tensor, names: tuple[str, ...], k: int
    ) -> None:
        """Along the sign of the gradient, projected; half the step where that was no success.

        A try tells the gradient at the point that it looks at. Where the worst point was found otherwise, the
        first try asks for its gradient.
        """
        at = np.asarray(places)
        known = self._known[at]
        way = np.where(known[:, None], np.sign(self._slope[at]), 0)
        points = (state.points[at] + self._length[at, None] * way).clip(0, 1)
        logits, slopes = self._slopes(points, images, labels, names)
        better = state.offer(places, points, *judged(logits, labels)) | ~known
        self._slope[at[better]] = slopes[better]
        self._known[at] = True
        self._length[at[~better]] *= _HALF

    def _slopes(
        self, points: npt.NDArray[np.float64], images: Tensor, labels: Tensor, names: tuple[str, ...]
    ) -> tuple[Tensor, npt.NDArray[np.float64]]:
        """Logits (M, K) at the points, and the gradient of the loss there, (M, D)."""
        logits, slopes = [], []
        size = max(1, _PIECE // images[0].numel())
        for start in range(0, len(images), size):
            few = slice(start, start + size)
            each = zip(points[few].tolist(), singles(images[few]), names[few], strict=True)
            made = [self._space.changed(point, image, name, self._seed) for point, image, name in each]
            changed = torch.cat([image for image, _ in made])
            here = labels[few]
            seen = self._classifier.gradient(changed.detach(), lambda out, here=here: margin(out, here))  # type: ignore[misc]
            values = [value for _, found in made for value in found]
            gradients = torch.autograd.grad(changed, values, seen.gradient, allow_unused=True)
            flat = [0.0 if gradient is None else gradient.item() for gradient in gradients]
            logits.append(seen.logits)
            slopes.append(np.nan_to_num(np.array(flat).reshape(-1, points.shape[1])))
        return torch.cat(logits), np.concatenate(slopes)
