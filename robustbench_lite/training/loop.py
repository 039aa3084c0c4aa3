"""What all trainings share: options, seeds, and the loop that keeps the best epoch."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from robustbench_lite.errors import InputError
from robustbench_lite.rng import stable_hash

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Args:
        epochs: at the most.
        lr: peak learning rate of AdamW, which falls to zero along a cosine after a short warm-up.
        weight_decay: of AdamW (Loshchilov & Hutter, ICLR 2019).
        batch_size: images per step.
        patience: epochs without a better validation loss before it stops.
        seed: of initialisation and order.
    """

    epochs: int = 30
    lr: float = 3e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} is out of range.", "It must be at least 1.")
        if not 0 < self.lr < math.inf or not 0 <= self.weight_decay < math.inf:
            raise InputError(
                f"lr={self.lr}, weight_decay={self.weight_decay}: out of range.", "They are positive numbers."
            )


class Judged(Protocol):
    """What is said of an epoch, whatever else it says."""

    @property
    def epoch(self) -> int:
        """From 1."""

    @property
    def train_loss(self) -> float:
        """Mean over the epoch."""

    @property
    def val_loss(self) -> float:
        """What the best epoch is chosen by."""


_Epoch = TypeVar("_Epoch", bound=Judged)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and of the device begin at the seed, and are handed back as they were."""
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every other device as well
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def fit(
    network: nn.Module,
    count: int,
    loss: Callable[[Tensor], Tensor],
    finished: Callable[[int, float, float], _Epoch],
    options: TrainingOptions,
    on_epoch: Callable[[_Epoch], None],
) -> tuple[dict[str, Tensor], list[_Epoch]]:
    """Train a network; the weights of the best epoch, and all epochs.

    Args:
        network: on its device.
        count: number of training images.
        loss: mean loss of some of them, by their indices.
        finished: from (epoch, train loss, learning rate) to what is said of the epoch.
        options: how to train.
        on_epoch: called after every epoch.

    Raises:
        InputError: the loss is not finite in the first epoch.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    steps_per_epoch = math.ceil(count / options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        options.lr,
        total_steps=max(options.epochs * steps_per_epoch, 11),  # of 10 steps the warm-up would take zero
        pct_start=0.1,
        cycle_momentum=False,
    )
    best: dict[str, Tensor] = {}
    history: list[_Epoch] = []
    for epoch in range(1, options.epochs + 1):
        lr = optimizer.param_groups[0]["lr"]
        network.train()
        total = torch.zeros((), device=device)
        for chunk in _order(count, epoch, options):
            value = loss(chunk.to(device))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += value.detach() * len(chunk)
        judged = finished(epoch, float(total) / count, lr)
        if not math.isfinite(judged.train_loss + judged.val_loss):
            if not best:
                raise InputError(
                    f"training diverged in epoch {epoch}: the loss is not finite.",
                    f"Give a smaller --lr than {options.lr:g}.",
                )
            _log.warning("warning: training diverged in epoch %d; the best epoch before is kept.", epoch)
            break
        if not history or judged.val_loss < min(e.val_loss for e in history):
            best = copy.deepcopy(network.state_dict())
        history.append(judged)
        on_epoch(judged)
        if epoch - min(history, key=lambda e: e.val_loss).epoch >= options.patience:
            break
    return best, history


def _order(count: int, epoch: int, options: TrainingOptions) -> list[Tensor]:
    """All indices, shuffled, a batch at a time."""
    order = torch.randperm(
        count, generator=torch.Generator().manual_seed(stable_hash("order", options.seed, epoch))
    )
    chunks = list(torch.split(order, options.batch_size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:  # batch norm cannot train on one image
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks
