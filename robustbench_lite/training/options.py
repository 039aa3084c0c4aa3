"""How to train, apart from what on."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from robustbench_lite.errors import InputError, UnknownNameError

OptimizerName = Literal["adamw", "adam", "sgd"]
ScheduleName = Literal["one-cycle", "cosine", "step", "constant"]
AUGMENTATIONS = ("flip", "flip-vertical", "crop", "trivialaugment", "augmix", "mixup")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Args:
        epochs: at the most.
        lr: peak learning rate.
        optimizer: ``adamw`` (Loshchilov & Hutter, ICLR 2019), ``adam`` or ``sgd`` with Nesterov's momentum.
        momentum: of ``sgd``.
        schedule: of the learning rate: ``one-cycle`` rises over the first tenth and falls to zero along a cosine,
            ``cosine`` only falls, ``step`` is a tenth from two thirds on and a hundredth from nine tenths on, and
            ``constant`` stays.
        weight_decay: L2 regularisation: decoupled in AdamW, added to the gradient in the others.
        l1: weight of the sum of the absolute weights in the loss.
        dropout: share of the features before the last linear layer that are dropped in training, beside what the
            network drops itself.
        label_smoothing: share of the label's probability that is spread over all classes.
        ema: decay of the exponential moving average of the weights, which is then what is validated and kept;
            None: no average.
        batch_size: images per step.
        patience: epochs without a better one before it stops.
        balanced: show all classes equally often in every epoch, images of rare ones repeatedly.
        augment: what is done to training images, of ``AUGMENTATIONS``.
        seed: of initialisation, order and everything drawn.
    """

    epochs: int = 30
    lr: float = 3e-3
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    schedule: ScheduleName = "one-cycle"
    weight_decay: float = 0.01
    l1: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    ema: float | None = None
    batch_size: int = 64
    patience: int = 10
    balanced: bool = False
    augment: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} is out of range.", "It must be at least 1.")
        if not 0 < self.lr < math.inf:
            raise InputError(f"lr={self.lr} is out of range.", "It must be positive.")
        for name in ("weight_decay", "l1"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}={getattr(self, name)} is out of range.", "It must be 0 or more.")
        for name in ("momentum", "label_smoothing", "dropout", "ema"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise InputError(f"{name}={value} is out of range.", "It must be at least 0 and below 1.")
        for name, known in (("optimizer", get_args(OptimizerName)), ("schedule", get_args(ScheduleName))):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        for augmentation in self.augment:
            if augmentation not in AUGMENTATIONS:
                raise UnknownNameError("augmentation", augmentation, AUGMENTATIONS)


OF_CLASSIFIERS = ("dropout", "label_smoothing", "balanced", "augment")
"""Options that mean nothing to a model of images."""


def check_for_generator(options: TrainingOptions) -> None:
    """Raise InputError if an option was given that only a classifier has."""
    defaults = {field.name: field.default for field in fields(TrainingOptions)}
    for name in OF_CLASSIFIERS:
        if getattr(options, name) != defaults[name]:
            raise InputError(
                f"{name}={getattr(options, name)} means nothing to a model of images.", "Leave it out."
            )
