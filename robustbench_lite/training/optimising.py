"""Optimisers and schedules of the learning rate, from PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from robustbench_lite.training.options import TrainingOptions


def make_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimiser of all weights that are to be trained."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(weights, lr=options.lr, weight_decay=options.weight_decay)


def make_schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate of every step."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        options.lr,
        total_steps=max(options.epochs * steps_per_epoch, 11),  # of 10 steps the warm-up would take zero
        pct_start=0.1,
        cycle_momentum=False,
    )
