"""Standard training of a classifier: deterministic, with early stopping on the validation split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training.loop import TrainingOptions, fit, seeded
from robustbench_lite.weights import CheckpointInfo

MEMORY_BUDGET = 8 * 2**30  # bytes of images per split


class Epoch(NamedTuple):
    """What one epoch came to. Losses are cross-entropy in nats per image."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float


class Trained(NamedTuple):
    """The network of the best epoch, and its description."""

    network: nn.Module
    info: CheckpointInfo


class Tensors(NamedTuple):
    """Images (N, C, H, W) and labels (N,), all in memory."""

    images: Tensor
    labels: Tensor


def train(
    architecture: str,
    train_set: Dataset,
    val_set: Dataset,
    options: TrainingOptions | None = None,
    *,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train a network from scratch and keep the epoch with the smallest validation loss.

    The same seed gives the same weights on the same machine with one thread; no global generator is touched.
    Images are kept in memory as float32.

    Args:
        architecture: a built-in network such as ``cnn(width=16)``, ``torchvision:resnet18``, ``file.py:factory``.
        train_set, val_set: labelled images of one shape.
        options: how to train.
        device: a torch device.
        on_epoch: called after every epoch.

    Raises:
        InputError: too few images or classes, or the loss is not finite from the first epoch on.
    """
    options = options or TrainingOptions()
    train_data, val_data = in_memory(train_set, device), in_memory(val_set, device)
    seen = torch.bincount(train_data.labels, minlength=len(train_set.class_names))
    if int((seen > 0).sum()) < 2:
        raise InputError(
            f"the training split of {train_set.spec} holds one class only.", "A classifier needs two or more."
        )
    shape = train_set.image_shape
    mean, std = _statistics(train_data.images)
    for data in (train_data, val_data):
        _normalise(data.images, mean, std)
    with seeded(options.seed, torch.device(device)):  # dropout draws while it trains
        network = build_network(architecture, num_classes=len(train_set.class_names), input_shape=shape).to(device)
        best, history = _fit(network, train_data, val_data, options, on_epoch)
    network.load_state_dict(best)
    network.eval()
    info = CheckpointInfo(
        architecture=architecture,
        class_names=list(train_set.class_names),
        input_shape=shape,
        mean=mean,
        std=std,
        history={
            "options": asdict(options),
            "data": train_set.spec,
            "train_images": len(train_data.labels),
            "train_manifest_sha256": train_set.manifest_hash,
            "val_images": len(val_data.labels),
            "torch": torch.__version__,
            "epochs": [epoch._asdict() for epoch in history],
            "best_epoch": min(history, key=lambda e: e.val_loss).epoch,
        },
    )
    return Trained(network, info)


def _fit(
    network: nn.Module,
    train_data: Tensors,
    val_data: Tensors,
    options: TrainingOptions,
    on_epoch: Callable[[Epoch], None],
) -> tuple[dict[str, Tensor], list[Epoch]]:
    def loss(chunk: Tensor) -> Tensor:
        return F.cross_entropy(network(train_data.images[chunk]), train_data.labels[chunk])

    def finished(epoch: int, train_loss: float, lr: float) -> Epoch:
        return Epoch(epoch, train_loss, *_validate(network, val_data, options.batch_size), lr)

    return fit(network, len(train_data.labels), loss, finished, options, on_epoch)


@torch.no_grad()
def _validate(network: nn.Module, data: Tensors, batch_size: int) -> tuple[float, float]:
    network.eval()
    loss, right = 0.0, 0
    for start in range(0, len(data.labels), 4 * batch_size):
        images, labels = (t[start : start + 4 * batch_size] for t in data)
        logits = network(images)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
    return loss / len(data.labels), right / len(data.labels)


def in_memory(dataset: Dataset, device: str) -> Tensors:
    """All images of a split that can be read, on a device.

    Raises:
        InputError: there are none, or too many for the memory.
    """
    needed = 4 * len(dataset) * math.prod(dataset.image_shape)
    if needed > MEMORY_BUDGET:
        raise InputError(
            f"the {len(dataset)} images of the {dataset.split} split need {needed / 2**30:.0f} GiB in memory; "
            f"the limit is {MEMORY_BUDGET / 2**30:.0f}.",
            "Give a smaller --input-size, or --limit.",
        )
    batches = [b for b in dataset.batches(256) if len(b.labels)]
    if not batches:
        raise InputError(f"the {dataset.split} split of {dataset.spec} holds no image.", "Check the data.")
    return Tensors(
        torch.cat([b.images for b in batches]).to(device), torch.cat([b.labels for b in batches]).to(device)
    )


def _statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel."""
    mean = images.mean((0, 2, 3))
    std = images.std((0, 2, 3)).clamp_min(1e-3)
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()]


def _normalise(images: Tensor, mean: list[float], std: list[float]) -> None:
    """In place: a second copy of the training images could be one too many."""
    images.sub_(torch.tensor(mean, device=images.device).view(1, -1, 1, 1))
    images.div_(torch.tensor(std, device=images.device).view(1, -1, 1, 1))
