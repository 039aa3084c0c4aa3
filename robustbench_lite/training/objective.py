"""The loss of a batch: clean, shifted and attacked images, in one pass through the network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.outputs import logits_of
from robustbench_lite.rng import Streams
from robustbench_lite.training.augmenting import augmented, mixed
from robustbench_lite.training.loop import Step
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.shifting import under_shifts
from robustbench_lite.training.tensors import Tensors
from robustbench_lite.training.tuning import train_mode

_CLEAN, _SHIFT, _ATTACK = range(3)


class Drawn(NamedTuple):
    """Places in a batch: of the images that are not attacked, of the shifted ones among them, of the attacked."""

    others: Tensor
    shifted: Tensor
    attacked: Tensor


class Objective:
    """The loss that is minimised, and how many images were right while it was.

    Args:
        network: takes normalised images; it is trained in place.
        mean, std: of the normalisation, per channel.
        data: the training images in [0, 1].
        recipe: what is learnt from; its eps is filled in.
        options: label smoothing, augmentation and seed.
        num_classes: K.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: list[float],
        std: list[float],
        data: Tensors,
        recipe: Recipe,
        options: TrainingOptions,
        num_classes: int,
    ) -> None:
        device = data.labels.device
        self.network, self.data, self.recipe, self.options = network, data, recipe, options
        self.mean, self.std = mean, std
        self.num_classes = num_classes
        self.classifier = Classifier(network, mean=mean, std=std, device=device)
        self._shift = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._scale = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self._right, self._seen = torch.zeros((), dtype=torch.int64, device=device), 0

    def __call__(self, chunk: Tensor, step: Step) -> Tensor:
        """Mean loss of the images with these indices."""
        images, labels = self.data.images[chunk], self.data.labels[chunk]
        draw, ids = f"training, epoch {step.epoch}", [self.data.ids[i] for i in chunk.tolist()]
        if self.options.balanced:  # an image that comes twice in an epoch is not twice the same
            draw, ids = f"{draw}, step {step.number}", [f"{place}: {name}" for place, name in enumerate(ids)]
        streams = Streams(self.options.seed, draw, tuple(ids))
        images = augmented(images, streams, self.options.augment)
        drawn = self._drawn(streams, images)
        if len(drawn.shifted):
            changed = under_shifts(self.recipe.shifts, images[drawn.shifted], streams[drawn.shifted])
            images = images.index_copy(0, drawn.shifted, changed)
        if len(drawn.attacked):
            return self._with_attack(images, labels, streams, drawn, step)
        if "mixup" in self.options.augment:
            images, labels = mixed(images, labels, self.num_classes)
        logits = self.forward(images)
        self._count(logits, labels)
        return self.criterion(logits, labels).mean()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images in [0, 1], with a graph, in the mode that the network is in."""
        return logits_of(self.network((images - self._shift) / self._scale), len(images))

    def criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each image, (N,)."""
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.options.label_smoothing)

    def take_accuracy(self) -> float:
        """Share of the images shown since the last call that were right in the form in which they were shown."""
        share = int(self._right) / max(self._seen, 1)
        self._right.zero_()
        self._seen = 0
        return share

    def eps(self, step: Step) -> float:
        """The budget at a step: never 0, and full from the end of the warm-up on."""
        return self.recipe.eps_at((step.number + 1) / step.total)

    def _with_attack(self, images: Tensor, labels: Tensor, streams: Streams, drawn: Drawn, step: Step) -> Tensor:
        defence = self.recipe.adversarial
        assert defence is not None
        attacked, others = drawn.attacked, drawn.others
        clean, goals = images[attacked], labels[attacked]
        adversarial = defence.attacked(self.classifier, clean, goals, streams[attacked], self.eps(step))
        train_mode(self.network)
        # In one pass, so that batch norm sees what the network will see.
        shown = [images[others], *([clean] if defence.sees_clean else []), adversarial]
        logits = torch.split(self.forward(torch.cat(shown)), [len(part) for part in shown])
        losses = [
            self.criterion(logits[0], labels[others]),
            defence.loss(logits[1] if defence.sees_clean else None, logits[-1], goals, self.criterion),
        ]
        self._count(torch.cat([logits[0], logits[-1]]), torch.cat([labels[others], goals]))
        return torch.cat(losses).mean()

    def _drawn(self, streams: Streams, images: Tensor) -> Drawn:
        """Which image is what in this epoch."""
        everything = torch.arange(len(images), device=images.device)
        weights = torch.tensor(self.recipe.weights, device=images.device)
        part = torch.full_like(everything, int(weights.argmax()))
        if (weights > 0).sum() > 1:
            bounds = weights.cumsum(0)
            draw = streams.uniform((), "part", like=images)
            part = torch.searchsorted(bounds / bounds[-1], draw, right=True)
        return Drawn(everything[part != _ATTACK], everything[part == _SHIFT], everything[part == _ATTACK])

    @torch.no_grad()
    def _count(self, logits: Tensor, labels: Tensor) -> None:
        truth = labels if labels.ndim == 1 else labels.argmax(1)
        self._right += (logits.argmax(1) == truth).sum()
        self._seen += len(labels)
