"""The worst case inside a range: for all images together, and for each image by itself."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.stats import qmc
from torch import Tensor

from robustbench_lite.applying import check_fits, shifted
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.pieces import default_batch
from robustbench_lite.data.dataset import Batch, Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import spec
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.search_refining import GRADIENT, Refiner, judged, method
from robustbench_lite.search_space import Space, read_space, singles
from robustbench_lite.types import Condition, Cost, Shift

TRIES = 64
# A round: points for all images, points near the worst of these, and points near the worst of every image. All of
# a round is the past of the next one, so that more tries never find less.
SHARED, TOGETHER, ALONE = "shared", "together", "alone"
_ROUND = (SHARED,) * 8 + (TOGETHER,) * 4 + (ALONE,) * 4
_STEP = 0.25  # first step of an evolution, as a share of the range
_WIDER, _NARROWER = 1.5, 0.85  # after a success and a failure: steady at a success in 3.5
_MOST_VALUES = 2**27  # of all images: up to half a gigabyte they are kept, beyond it read again

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WorstOfEach(Shift):
    """Every image under the values that were worst for it: what ``search`` has found, as a condition.

    Args:
        ranges: the spec with ranges that was searched.
        tries: points that were looked at, per image.
    """

    severity = 0.0  # it has no scale
    ranges: str | None = None
    tries: int = TRIES
    chosen: Mapping[str, Condition] | None = field(default=None, compare=False, repr=False)

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Changed images, each under the chain that was chosen for its sample id."""
        if self.chosen is None:
            raise InputError("nothing has been searched yet.", "Search: rb shift --search.")
        each = zip(singles(images), streams.sample_ids, strict=True)
        return torch.cat([shifted(self.chosen[name], image, (name,), streams.seed) for image, name in each])


class Found(NamedTuple):
    """What a search has come to, and what it has cost."""

    space: Space
    tries: int
    method: str  # how single images were refined: gradient or evolution
    together: Condition  # the worst combination for all images
    each: WorstOfEach  # the worst of every image
    table: pd.DataFrame  # one row per image: index, sample_id, condition, and the values
    forwards: int
    gradients: int
    seconds: float
    interrupted: bool  # by Ctrl-C: fewer tries than were asked for


@dataclass
class State:
    """What is known of every image: its worst point so far, and how bad that is."""

    points: Points  # (N, D)
    loss: npt.NDArray[np.float64]  # (N,) largest other logit minus that of the label
    fooled: npt.NDArray[np.bool_]  # (N,)

    def offer(self, places: Sequence[int], points: Points, loss: Tensor, wrong: Tensor) -> npt.NDArray[np.bool_]:
        """Keep what is worse than what is known; (M,) where that is so. An image that fell stays fallen."""
        at = np.asarray(places)
        lost, hit = loss.double().cpu().numpy(), wrong.cpu().numpy()
        worse = np.where(self.fooled[at] == hit, lost > self.loss[at], hit)
        self.points[at[worse]], self.loss[at[worse]] = points[worse], lost[worse]
        self.fooled[at] |= hit
        return np.asarray(worse)


def search(
    classifier: Classifier,
    dataset: Dataset,
    ranges: str,
    *,
    tries: int = TRIES,
    seed: int = 0,
    batch_size: int | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Found:
    """The values inside the ranges under which the network errs most.

    Quasi-random points (scrambled Sobol, and the corners where there are up to eight) are shared by all images;
    an evolution goes on from the worst of them for the whole set; and every image that still is right is looked
    after by itself, along the gradient where there is one, by an evolution elsewhere. The random draws of a shift
    are the same at every point. After Ctrl-C it is what was found by then, if that is anything. The accuracy
    under ``Found.each`` is an upper bound of the share of images that are right everywhere in the ranges.

    Args:
        classifier: the network.
        dataset: labelled images.
        ranges: a chain of shifts whose arguments may be ranges, such as ``night(exposure_ev=-4..-1)``.
        tries: points per image.
        seed: of the points, the evolutions, and the shifts.
        batch_size: images at a time.
        on_progress: called with how many tries are done, of how many, and a word.

    Raises:
        InputError: no such space, or shifts that do not fit the images.
    """
    (space,) = check_ranges([ranges], tries)
    check_fits(
        [Condition(space.parts)], dataset.spec, dataset.labels, len(dataset.class_names), dataset.image_shape
    )
    if batch_size is None:
        batch_size = default_batch(dataset.image_shape, pieces=classifier.in_pieces)
    start = time.perf_counter()
    classifier.take_counts()
    with classifier.frozen():
        looking = _Search(classifier, dataset, space, tries, seed, batch_size)
        try:
            looking.run(on_progress)
        except KeyboardInterrupt:
            if not looking.done:
                raise
    counts = classifier.take_counts()
    table, chosen = looking.found()
    return Found(
        space=space,
        tries=looking.done,
        method=looking.refiner.method,
        together=space.condition(looking.worst[2].tolist()),
        each=WorstOfEach(ranges, looking.done, chosen),
        table=table,
        forwards=counts.forwards,
        gradients=counts.gradients,
        seconds=time.perf_counter() - start,
        interrupted=looking.done < tries,
    )


def check_ranges(ranges: Sequence[str], tries: int) -> list[Space]:
    """The spaces that the specs describe.

    Raises:
        InputError: one that is no such spec, or fewer than one try.
    """
    if tries < 1:
        raise InputError(f"tries={tries} is out of range.", "Give at least 1.")
    return [read_space(text) for text in ranges]


def most_spent(classifier: Classifier, ranges: str, tries: int) -> Cost:
    """The most that a search costs per image; every gradient comes with a forward pass."""
    alone = _kinds(tries).count(ALONE)
    return Cost(tries, alone if method(classifier, read_space(ranges)) == GRADIENT else 0)


def _kinds(tries: int) -> list[str]:
    return [kind for kind, _ in zip(itertools.cycle(_ROUND), range(tries), strict=False)]


class _Search:
    """One search: the state of all images, and the worst point for all of them together."""

    def __init__(
        self, classifier: Classifier, dataset: Dataset, space: Space, tries: int, seed: int, batch_size: int
    ) -> None:
        self.classifier, self.dataset, self.space = classifier, dataset, space
        self.seed, self.batch_size = seed, batch_size
        n, axes = len(dataset), len(space.axes)
        self.state = State(np.zeros((n, axes)), np.full(n, -np.inf), np.zeros(n, bool))
        self.refiner = Refiner(classifier, space, n, seed)
        self.kinds = _kinds(tries)
        self.waiting = iter(
            _spread(axes, max(1, self.kinds.count(SHARED)), stable_hash(seed, "search", space.text))
        )
        self.worst: tuple[int, float, Points] = (n + 1, math.inf, np.zeros(axes))  # right, mean margin, point
        self.step, self.done = _STEP, 0
        self._kept: list[Batch] | None = None
        if n * math.prod(dataset.image_shape) <= _MOST_VALUES:
            self._kept = list(dataset.batches(batch_size))

    def run(self, on_progress: Callable[[int, int, str], None]) -> None:
        for kind, group in itertools.groupby(self.kinds):
            count = len(list(group))
            on_progress(self.done, len(self.kinds), f"search: {kind}")
            if kind == SHARED:
                self._shared(np.array([next(self.waiting) for _ in range(count)]))
            elif kind == TOGETHER:
                for k in range(self.done, self.done + count):
                    self._together(k)
            else:
                self._alone(range(self.done, self.done + count))
            self.done += count

    def _batches(self) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        for batch in self._kept if self._kept is not None else self.dataset.batches(self.batch_size):
            if len(batch.labels):
                yield batch, batch.images.to(self.classifier.device), batch.labels.to(self.classifier.device)

    def _shared(self, points: Points) -> bool:
        """Look at points (P, D) with all images; whether one is worse for all than what is known."""
        right, margins, n = np.zeros(len(points), int), np.zeros(len(points)), 0
        for batch, images, labels in self._batches():
            n += len(labels)
            for i, point in enumerate(points):
                changed = shifted(self.space.condition(point.tolist()), images, batch.sample_ids, self.seed)
                loss, wrong = judged(self.classifier(changed), labels)
                improved = self.state.offer(batch.indices, np.tile(point, (len(labels), 1)), loss, wrong)
                self.refiner.forget(np.asarray(batch.indices)[improved])
                right[i] += int((~wrong).sum())
                margins[i] -= float(loss.double().sum())
        before = self.worst
        for point, count, margin in zip(points, right.tolist(), margins.tolist(), strict=True):
            self.worst = min(self.worst, (count, margin / max(1, n), point), key=lambda found: found[:2])
        return self.worst is not before

    def _together(self, k: int) -> None:
        """One step of the evolution for all images, from the worst point of all."""
        streams = Streams(self.seed, f"search {self.space.text}", ("all images",))
        draw = streams.normal((len(self.space.axes),), k, like=torch.zeros(1))[0].double().numpy()
        better = self._shared((self.worst[2] + self.step * draw).clip(0, 1)[None])
        self.step = min(0.5, self.step * (_WIDER if better else _NARROWER))

    def _alone(self, tries: range) -> None:
        """Steps of every image that is still right, from its own worst point."""
        for batch, images, labels in self._batches():
            for k in tries:
                left = [i for i, place in enumerate(batch.indices) if not self.state.fooled[place]]
                if not left:
                    break
                names = tuple(batch.sample_ids[i] for i in left)
                places = [batch.indices[i] for i in left]
                self.refiner.step(self.state, places, images[left], labels[left], names, k)

    def found(self) -> tuple[pd.DataFrame, dict[str, Condition]]:
        """A row per image, in data order, and the conditions by sample id."""
        rows, chosen = [], {}
        for batch, _, _ in self._batches():
            for place, name in zip(batch.indices, batch.sample_ids, strict=True):
                point = self.state.points[place].tolist()
                chosen[name] = self.space.condition(point)
                rows.append(
                    {
                        "index": place,
                        "sample_id": name,
                        "condition": spec(chosen[name]),
                        **self.space.values(point),
                    }
                )
        return pd.DataFrame(rows), chosen


def _spread(axes: int, count: int, seed: int) -> list[Points]:
    """Points (D,) that cover the space: its corners where they are few, then scrambled Sobol points."""
    corners = [np.array(ends, float) for ends in itertools.product((0, 1), repeat=axes)] if axes <= 3 else []
    sobol = qmc.Sobol(axes, scramble=True, seed=seed % 2**32).random_base2(max(1, (count - 1).bit_length()))
    return [*corners, *sobol][:count]
