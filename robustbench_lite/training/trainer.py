"""Standard training of a classifier: deterministic, with early stopping on the validation split."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.rng import stable_hash
from robustbench_lite.weights import CheckpointInfo

MEMORY_BUDGET = 8 * 2**30  # bytes of images per split


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
    train_data, val_data = _load(train_set, device), _load(val_set, device)
    seen = torch.bincount(train_data.labels, minlength=len(train_set.class_names))
    if int((seen > 0).sum()) < 2:
        raise InputError(
            f"the training split of {train_set.spec} holds one class only.", "A classifier needs two or more."
        )
    shape = train_set.image_shape
    mean, std = _statistics(train_data.images)
    for data in (train_data, val_data):
        _normalise(data.images, mean, std)
    with _seeded(options.seed, torch.device(device)):  # dropout draws while it trains
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


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and of the device begin at the seed, and are handed back as they were."""
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every other device as well
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _fit(
    network: nn.Module,
    train_data: Tensors,
    val_data: Tensors,
    options: TrainingOptions,
    on_epoch: Callable[[Epoch], None],
) -> tuple[dict[str, Tensor], list[Epoch]]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    steps_per_epoch = math.ceil(len(train_data.labels) / options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        options.lr,
        total_steps=max(options.epochs * steps_per_epoch, 11),  # of 10 steps the warm-up would take zero
        pct_start=0.1,
        cycle_momentum=False,
    )
    best: dict[str, Tensor] = {}
    history: list[Epoch] = []
    for epoch in range(1, options.epochs + 1):
        lr = optimizer.param_groups[0]["lr"]
        train_loss = _one_epoch(network, train_data, options, optimizer, schedule, epoch)
        val_loss, val_accuracy = _validate(network, val_data, options.batch_size)
        if not math.isfinite(train_loss + val_loss):
            if not best:
                raise InputError(
                    f"training diverged in epoch {epoch}: the loss is not finite.",
                    f"Give a smaller --lr than {options.lr:g}.",
                )
            break
        if not history or val_loss < min(e.val_loss for e in history):
            best = copy.deepcopy(network.state_dict())
        history.append(Epoch(epoch, train_loss, val_loss, val_accuracy, lr))
        on_epoch(history[-1])
        if epoch - min(history, key=lambda e: e.val_loss).epoch >= options.patience:
            break
    return best, history


def _one_epoch(
    network: nn.Module,
    data: Tensors,
    options: TrainingOptions,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> float:
    network.train()
    order = torch.randperm(
        len(data.labels), generator=torch.Generator().manual_seed(stable_hash("order", options.seed, epoch))
    ).to(data.labels.device)
    total = torch.zeros((), device=data.labels.device)
    chunks = list(torch.split(order, options.batch_size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:  # batch norm cannot train on one image
        chunks[-2:] = [torch.cat(chunks[-2:])]
    for chunk in chunks:
        loss = F.cross_entropy(network(data.images[chunk]), data.labels[chunk])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(chunk)
    return float(total) / len(order)


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


def _load(dataset: Dataset, device: str) -> Tensors:
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
