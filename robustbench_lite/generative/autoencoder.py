"""Autoencoders: an image through a few numbers and back, as near as can be in squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_lite.errors import InputError
from robustbench_lite.generative import bodies
from robustbench_lite.generative.pixels import Shape


class AutoencoderNetwork(nn.Module):
    """A deterministic autoencoder: a LatentModel.

    Args:
        shape: (C, H, W) of an image.
        description: the spec, as an object.
    """

    def __init__(self, shape: Shape, description: Autoencoder) -> None:
        super().__init__()
        self.shape, self.latents, self.noise = shape, description.latents, description.noise
        body, width = description.body, description.width
        self.encoder = bodies.encoder(body, shape, width, self.latents)
        if description.tied:
            self.decoder = nn.Sequential(bodies.tied(self.encoder), nn.Unflatten(1, shape))
        else:
            self.decoder = bodies.decoder(body, shape, width, self.latents)
        self.standard = bodies.Standardised(shape)

    def begin_at(self, images: Tensor) -> None:
        """Learn mean and deviation of the training images (N, C, H, W), before the training proper."""
        self.standard.begin_at(images)

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, L) of images."""
        return self.encoder(self.standard(images))  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] of latents (N, L)."""
        return self._outputs(latents).clamp(0, 1)

    def _outputs(self, latents: Tensor) -> Tensor:
        return self.standard.back(self.decoder(latents))

    def loss(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Squared error (N,), the mean of the values; in training of images under noise against clean ones."""
        seen = images
        if self.training and self.noise:
            seen = images + self.noise * torch.empty_like(images).normal_(generator=random)
        # Not clamped, or a value outside [0, 1] would have no gradient back.
        return (self._outputs(self.encode(seen)) - images).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder: deep and convolutional, fully connected or linear; tied weights; denoising.

    Hinton & Salakhutdinov, *Reducing the dimensionality of data with neural networks*, Science 313, 2006. A linear
    one spans the subspace of the principal components: Baldi & Hornik, *Neural networks and principal component
    analysis*, Neural Networks 2(1), 1989.

    Args:
        latents: numbers that describe an image.
        body: ``conv``, ``mlp`` (two hidden layers) or ``linear``.
        width: channels of the first convolution (16), or hidden units (400).
        tied: the decoder uses the weights of the encoder, transposed; not with ``conv``.
        noise: standard deviation of the noise under which it learns to find the clean image (Vincent et al.,
            *Extracting and composing robust features with denoising autoencoders*, ICML 2008).
    """

    latents: int = 32
    body: bodies.Body = "conv"
    width: int | None = None
    tied: bool = False
    noise: float = 0.0
    kind: ClassVar[str] = "generator"

    def __post_init__(self) -> None:
        bodies.check_body("autoencoder", self.body, self.width, self.latents)
        if self.tied and self.body == "conv":
            raise InputError(
                "autoencoder: tied weights are those of linear layers.", "Give body=linear or body=mlp with it."
            )
        if not 0 <= self.noise <= 1:
            raise InputError(f"autoencoder: noise={self.noise} is out of range.", "It is 0 to 1.")

    def check(self, count: int, shape: Shape) -> None:
        """Raise InputError if it cannot be trained on so many images (C, H, W)."""
        bodies.check_images("autoencoder", count, shape)

    def network(self, shape: Shape) -> AutoencoderNetwork:
        """The untrained network for images (C, H, W); its weights are drawn from the global generator."""
        return AutoencoderNetwork(shape, self)
