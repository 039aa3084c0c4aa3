"""Dropout before the last linear layer of any network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.features import last_layer
from robustbench_lite.errors import InputError


@contextmanager
def dropping(share: float, classifier: Classifier, images: Tensor) -> Iterator[None]:
    """In train mode the network drops a share of what enters its last linear layer (Srivastava et al., 2014).

    The network's weights, their names and its eval mode stay as they are.

    Args:
        share: of the features, in [0, 1); 0 changes nothing.
        classifier: the network.
        images: (N, C, H, W) in [0, 1]; one of them shows which layer is called last.

    Raises:
        InputError: the network does not end in a linear layer, or does not take the images.
    """
    if not share:
        yield
        return
    try:
        last = last_layer(classifier, images)
    except InputError as error:
        if "linear layer" not in error.what:  # it cannot take the images at all
            raise
        raise InputError(
            "the network does not end in a linear layer, before which --dropout drops features.",
            "Leave --dropout out, or name a network with dropout of its own.",
        ) from None

    def drop(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (F.dropout(given[0], share, layer.training), *given[1:])

    hook = last.register_forward_pre_hook(drop)
    try:
        yield
    finally:
        hook.remove()
