"""A classifier as a module of PyTorch, for attacks that want one; what they spend is counted all the same."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ImageModule(nn.Module):
    """Images (N, C, H, W) in [0, 1] → logits (N, K), with a graph where gradients are asked for.

    Args:
        network: for its parameters, which show the device; it is called by ``forward`` only.
        forward: images → logits; frozen, so that no gradient reaches the parameters.
        seen: told of every gradient with respect to images that passes, (N, C, H, W); what it returns goes on.
    """

    def __init__(
        self, network: nn.Module, forward: Callable[[Tensor], Tensor], seen: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.network = network
        self.training = False
        self._images_to_logits, self._seen = forward, seen

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled() and images.requires_grad:
            images = images.view_as(images)
            images.register_hook(self._seen)  # type: ignore[no-untyped-call]
        return self._images_to_logits(images)
