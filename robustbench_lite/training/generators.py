"""Training of models of images that are networks. No labels are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import Trainable
from robustbench_lite.generative.likelihoods import Binarise, binarised
from robustbench_lite.generative.pixels import times
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.loop import Hooks, Step, fit, seeded
from robustbench_lite.training.options import TrainingOptions, check_for_generator
from robustbench_lite.training.resuming import StateFile, fingerprint, identity_of

GeneratorOptions = TrainingOptions
"""The same choices as for a classifier."""


class GeneratorEpoch(NamedTuple):
    """What one epoch came to: means per image of the network's own loss."""

    epoch: int
    train_loss: float
    val_loss: float
    lr: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Best is the smallest validation loss."""
        return (self.val_loss,)


class TrainedGenerator(NamedTuple):
    """The network of the best epoch, in eval mode and frozen, its spec, and the record of the training."""

    network: Any
    spec: str
    history: dict[str, Any]


def train_generator(
    spec: str,
    train: Tensor,
    val: Tensor,
    options: GeneratorOptions | None = None,
    *,
    device: str = "cpu",
    on_epoch: Callable[[GeneratorEpoch], None] = lambda epoch: None,
    resume: Path | None = None,
) -> TrainedGenerator:
    """Train a model of images and keep the epoch with the smallest validation loss.

    The same seed gives the same weights on the same machine with one thread; no global generator is touched.

    Args:
        spec: ``vae``, ``"autoencoder(latents=16)"``, ``file.py:Class``.
        train, val: images (N, C, H, W) float32 in [0, 1] of one shape.
        options: how to train.
        device: a torch device.
        on_epoch: called after every epoch.
        resume: a file for the state of the training, as for ``train``.

    Raises:
        InputError: something that is no such model, images that do not do, or a loss that is not finite from the
            first epoch on.
    """
    options = options or GeneratorOptions()
    check_for_generator(options)
    maker = registry.make_one("generator", spec)
    if not hasattr(maker, "network"):
        raise InputError(f"{registry.spec(maker)} is no network: there is nothing to train.", "Call its fit().")
    shape = _checked(train, val)
    maker.check(len(train), shape)
    random = _random(options, "train", device)
    train, val = train.to(device), val.to(device)
    with seeded(options.seed, torch.device(device)):
        network = cast("Trainable", maker.network(shape).to(device))
        how: Binarise = getattr(network, "binarise", "none")
        # What is validated on is drawn once, so that epochs compare.
        val = binarised(val, how, lambda: _uniform(val, _random(options, "val", device)))
        network.begin_at(train)
        if how != "stochastic":
            train = binarised(train, how, lambda: _uniform(train, random))

        def loss(chunk: Tensor, step: Step) -> Tensor:
            images = train[chunk]
            if how == "stochastic":
                images = binarised(images, how, lambda: _uniform(images, random))
            return network.loss(images, random).mean()

        def finished(epoch: int, train_loss: float, lr: float) -> GeneratorEpoch:
            return GeneratorEpoch(epoch, train_loss, _validate(network, val, options), lr)

        state = None
        if resume is not None:
            images = {"training images": fingerprint(train), "validation images": fingerprint(val)}
            state = StateFile(
                resume, identity_of(registry.spec(maker), cast("nn.Module", network), options, images)
            )
        hooks = Hooks(
            finished,
            on_epoch,
            keep=None if state is None else state.keep,
            begin=None if state is None else state.begin,
            restored=lambda entry: GeneratorEpoch(**entry),
            random=(random,),
        )
        fitted = fit(cast("nn.Module", network), len(train), loss, options, hooks)
    network.load_state_dict(fitted.best)
    network.eval().requires_grad_(False)
    history = {
        "options": {**asdict(options), "augment": list(options.augment)},
        "train_images": len(train),
        "val_images": len(val),
        "torch": torch.__version__,
        "epochs": [epoch._asdict() for epoch in fitted.epochs],
        "best_epoch": min(fitted.epochs, key=lambda e: e.rank).epoch,
        "interrupted": fitted.interrupted,
        "diverged": fitted.diverged,
    }
    return TrainedGenerator(network, registry.spec(maker), history)


@torch.no_grad()
def _validate(network: Trainable, images: Tensor, options: GeneratorOptions) -> float:
    """Mean loss, with the same noise in every epoch."""
    network.eval()
    random = _random(options, "validate", images.device)
    losses = [network.loss(batch, random).sum() for batch in torch.split(images, 4 * options.batch_size)]
    return float(torch.stack(losses).sum()) / len(images)


def _random(options: GeneratorOptions, use: str, device: torch.device | str) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(stable_hash(options.seed, use))


def _uniform(like: Tensor, random: torch.Generator) -> Tensor:
    return torch.empty_like(like).uniform_(generator=random)


def _checked(train: Tensor, val: Tensor) -> tuple[int, int, int]:
    for name, images in (("training", train), ("validation", val)):
        if images.ndim != 4 or len(images) == 0:
            raise InputError(
                f"{name} images of shape {tuple(images.shape)} are refused.", "Give one or more, as N×C×H×W."
            )
        if not (images.min() >= 0 and images.max() <= 1):  # so that NaN is refused as well
            raise InputError(f"the {name} images hold values outside [0, 1], or none at all.", "Scale them.")
    if train.shape[1:] != val.shape[1:]:
        raise InputError(
            f"training images of {times(train.shape[1:])} and validation images of {times(val.shape[1:])} differ.",
            "Bring them to one shape.",
        )
    channels, height, width = train.shape[1:]
    return channels, height, width
