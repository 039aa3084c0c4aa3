"""In which order, and how often, images are shown in an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robustbench_lite.rng import stable_hash
from robustbench_lite.training.on_demand import OnDemand
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.tensors import Tensors


def make_order(data: Tensors, options: TrainingOptions) -> Callable[[int], Tensor]:
    """From an epoch, from 1, to the indices that it shows, on the CPU; its images are read ahead in that order."""
    images, labels = data.images, data.labels.cpu()

    def order(epoch: int) -> Tensor:
        if options.balanced:
            indices = balanced(labels, options.seed, epoch)
        else:
            indices = shuffled(len(labels), options.seed, epoch)
        if isinstance(images, OnDemand):
            images.expect(indices.tolist())
        return indices

    return order


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """All indices, in the order of an epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(stable_hash("order", seed, epoch)))


def balanced(labels: Tensor, seed: int, epoch: int) -> Tensor:
    """Indices of an epoch that shows every class equally often.

    An epoch is as long as without, but for a rest below the number of classes. Of a class with too many images
    others are drawn in every epoch; those of one with too few come again when all of them have been shown.

    Args:
        labels: (N,) on the CPU; classes without images are left out.
        seed, epoch: decide the draw.
    """
    random = torch.Generator().manual_seed(stable_hash("balanced", seed, epoch))
    classes = [(labels == label).nonzero().flatten() for label in torch.unique(labels)]
    each = len(labels) // len(classes)
    drawn = []
    for members in classes:
        rounds = [torch.randperm(len(members), generator=random) for _ in range(math.ceil(each / len(members)))]
        drawn.append(members[torch.cat(rounds)[:each]])
    order = torch.cat(drawn)
    return order[torch.randperm(len(order), generator=random)]
