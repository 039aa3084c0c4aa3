"""The learning-rate range test: which rate to train with, from one short look."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.training.dropout import dropping
from robustbench_lite.training.loop import Step, batches, seeded
from robustbench_lite.training.optimising import l1_norm, make_optimizer
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.preparing import ready, recipe_for
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.sampling import make_order
from robustbench_lite.training.starting import Start
from robustbench_lite.training.tensors import tensors_of
from robustbench_lite.training.tuning import train_mode

STEPS = 140
LOWEST, HIGHEST = 1e-6, 10.0  # 20 steps for every power of ten
EXPLODED = 4.0  # times the smallest loss so far, as in fast.ai's
_MEMORY = 0.9  # of the running mean that is watched for an explosion
_WIDTH = 3.0  # steps, of the smoothing of the whole curve


@dataclass(frozen=True)
class LearningRates:
    """What a range test found. All losses are means over a batch, in nats for a classifier.

    Args:
        rates: the learning rate of each step.
        losses: before that step.
        smoothed: the same, smoothed.
        suggestion: a tenth of ``minimum``; None if the loss did not fall by more than it scatters.
        steepest: where the smoothed loss falls fastest; None likewise.
        minimum: where it is smallest; None likewise.
        exploded: the rate at which it was stopped, or None if the loss stayed small up to the highest.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    steepest: float | None
    minimum: float | None
    exploded: float | None


def find_lr(
    architecture: str,
    train_set: Dataset,
    options: TrainingOptions | None = None,
    *,
    recipe: Recipe | None = None,
    start: Start | None = None,
    device: str = "cpu",
) -> LearningRates:
    """Look for a learning rate: it grows at every step until the loss explodes (Smith, WACV 2017).

    The arguments are those of ``train``; nothing is kept of the network. The rate of ``options`` does not count.
    Attacks have the eps of a training whose tenth is over, which is where one-cycle has its highest rate.

    Raises:
        InputError: as ``train``.
    """
    options = options or TrainingOptions()
    recipe = recipe_for(train_set, options, recipe)
    data = tensors_of(train_set, device)
    with seeded(options.seed, torch.device(device)):
        _, objective = ready(architecture, start, train_set, data, recipe, options, device)
        with dropping(options.dropout, objective.classifier, data.images[:1]):
            return range_test(objective.network, objective, options, make_order(data, options))


def range_test(
    network: nn.Module,
    loss: Callable[[Tensor, Step], Tensor],
    options: TrainingOptions,
    order: Callable[[int], Tensor],
) -> LearningRates:
    """The test on any loss, inside ``seeded``. The network is spent afterwards.

    Args:
        network: on its device.
        loss: mean loss of some images, by their indices.
        options: optimiser, batch size and regularisation.
        order: the indices of an epoch.
    """
    train_mode(network)
    growth = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    optimizer = make_optimizer(network, replace(options, lr=LOWEST))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, growth)
    rates, losses, running, smallest, exploded = list[float](), list[float](), 0.0, math.inf, None
    for number, (epoch, chunk) in zip(range(STEPS), _chunks(order, options.batch_size), strict=False):
        value = loss(chunk, Step(epoch, STEPS // 10, STEPS))
        told, rate = value.item(), float(schedule.get_last_lr()[0])
        running = _MEMORY * running + (1 - _MEMORY) * told
        mean = running / (1 - _MEMORY ** (number + 1))
        if not math.isfinite(told) or mean > EXPLODED * smallest:
            exploded = rate
            break
        smallest = min(smallest, mean)
        rates.append(rate)
        losses.append(told)
        optimizer.zero_grad()
        goal = value + options.l1 * l1_norm(network) if options.l1 else value
        goal.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return _judged(rates, losses, exploded)


def _chunks(order: Callable[[int], Tensor], size: int) -> Iterator[tuple[int, Tensor]]:
    for epoch in count(1):
        for chunk in batches(order(epoch), size):
            yield epoch, chunk


def _judged(rates: list[float], losses: list[float], exploded: float | None) -> LearningRates:
    if not losses:
        return LearningRates(rates, losses, [], None, None, None, exploded)
    smoothed = gaussian_filter1d(np.asarray(losses), _WIDTH, mode="nearest")
    lowest = int(smoothed.argmin())
    scatter = float(np.std(losses[: STEPS // 10]))  # at rates that change next to nothing
    if lowest == 0 or smoothed[0] - smoothed[lowest] <= scatter:
        return LearningRates(rates, losses, smoothed.tolist(), None, None, None, exploded)
    steepest = int(np.gradient(smoothed)[: lowest + 1].argmin())
    minimum = rates[lowest]
    return LearningRates(rates, losses, smoothed.tolist(), minimum / 10, rates[steepest], minimum, exploded)
