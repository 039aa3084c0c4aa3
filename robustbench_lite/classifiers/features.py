"""What a network has made of an image when it decides: the input of its last linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from robustbench_lite.classifiers.pieces import in_pieces
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier


def features_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Features (N, D) of images (N, C, H, W) in [0, 1]: ``Classifier.features``.

    Raises:
        InputError: the network does not end in a linear layer, or is a function.
    """
    pieces = in_pieces(images) if classifier.in_pieces else (images,)
    return torch.cat([_watched(classifier, piece)[0] for piece in pieces]).float()


def last_layer(classifier: Classifier, images: Tensor) -> nn.Linear:
    """The layer (D → K) that takes the features to the logits; one image is enough to find it.

    Raises:
        InputError: as ``features_of``.
    """
    return _watched(classifier, images[:1])[1]


def _watched(classifier: Classifier, images: Tensor) -> tuple[Tensor, nn.Linear]:
    """What entered the linear layer that was called last, and that layer.

    The order of the calls counts, not that in which a network lists its layers.
    """
    if not classifier.has_gradient:
        raise InputError(
            f"{classifier.spec} is a function that returns scores, and shows no features.",
            "Give the network itself, or take a score of the logits: energy.",
        )
    last: list[tuple[nn.Linear, Tensor]] = []

    def seen(layer: nn.Linear, given: tuple[Tensor, ...], out: Any) -> None:
        last[:] = [(layer, given[0])]

    layers = [layer for layer in classifier.network.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(seen) for layer in layers]
    try:
        logits = classifier.module(watch_zeros=False)(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not last or last[0][1].shape[:-1] != logits.shape[:1] or last[0][0].out_features != logits.shape[1]:
        raise InputError(
            f"{classifier.spec} does not end in a linear layer, whose input would be its features.",
            "Take a score of the logits: energy.",
        )
    return last[0][1], last[0][0]
