"""Optimisers and schedules of the learning rate, from PyTorch, and what keeps weights small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

if TYPE_CHECKING:
    from robustbench_lite.training.options import TrainingOptions


def make_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimiser of all weights that are to be trained. L2 takes all of them, as PyTorch's does."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        momentum = options.momentum
        return torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
    if options.optimizer == "adam":
        return torch.optim.Adam(weights, lr=lr, weight_decay=decay)
    return torch.optim.AdamW(weights, lr=lr, weight_decay=decay)


def make_schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps_per_epoch: int
) -> lr_scheduler.LRScheduler:
    """The learning rate of every step; it is to be moved on after each."""
    total = options.epochs * steps_per_epoch
    if options.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    if options.schedule == "step":
        milestones = [_share(total, 2, 3), _share(total, 9, 10)]
        return lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    if options.schedule == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return lr_scheduler.OneCycleLR(
        optimizer,
        options.lr,
        total_steps=max(total, 11),  # of 10 steps the warm-up would take zero
        pct_start=0.1,
        cycle_momentum=False,
    )


def _share(total: int, parts: int, of: int) -> int:
    """The first step with that share of all behind it."""
    return -(-total * parts // of)


def l1_norm(network: nn.Module) -> Tensor:
    """Sum of the absolute weights that are trained, without biases and the scales of normalisations."""
    weights = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    return sum((weight.abs().sum() for weight in weights), torch.zeros(()))
