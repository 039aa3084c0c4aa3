"""What networks that describe an image by a few numbers look like to those who use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents: mean and log of the variance, (N, L) each."""

    mean: Tensor
    log_variance: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Latents (N, L) of standard normal noise, (N, L) or (1, L) for all images: mean + deviation · noise."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """Divergence (N, L) of each latent from a standard normal distribution, in nats and closed form."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)


@runtime_checkable
class LatentModel(Protocol):
    """An autoencoder of any kind. Images are (N, C, H, W) in [0, 1]; all methods carry gradients."""

    shape: tuple[int, int, int]
    """(C, H, W) of an image."""
    latents: int
    """L, how many numbers describe an image."""

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, L) of images; of a variational one the mean of the posterior."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] of latents (N, L): the mean of what the decoder describes."""


@runtime_checkable
class VariationalModel(LatentModel, Protocol):
    """A variational autoencoder, with a standard normal prior over its latents."""

    likelihood: str
    """The family of the decoder, without which a number of nats means nothing: ``bernoulli``, ``logistic``, …"""

    def posterior(self, images: Tensor) -> Posterior:
        """What the encoder says of the latents."""

    def log_likelihood(self, images: Tensor, latents: Tensor) -> Tensor:
        """Nats (N,) of each image given its latents (N, L)."""


class Trainable(Protocol):
    """A network of this folder while it trains. It is a torch.nn.Module as well."""

    def begin_at(self, images: Tensor) -> None:
        """Learn mean and spread of the training images (N, C, H, W), before the training proper."""

    def loss(self, images: Tensor, random: torch.Generator) -> Tensor:
        """What is to become small, (N,), by images; noise comes from the generator, which is on their device."""

    def eval(self) -> torch.nn.Module:
        """Of torch.nn.Module."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> object:
        """Of torch.nn.Module."""
