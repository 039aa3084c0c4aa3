"""The latents of any model of images, seen alike: arrays in, arrays out, a standard deviation per latent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robustbench_lite.errors import InputError
from robustbench_lite.generative.fitted import Axes
from robustbench_lite.generative.latent import LatentModel, VariationalModel
from robustbench_lite.generative.pixels import Array, Shape, as_images, draws, rows

BATCH = 64
"""Latents that a network decodes at a time. The last batch is filled up, so that what becomes of the i-th does not
depend on how many there are: networks round otherwise in batches of another size."""


class LatentSpace(Protocol):
    """Where a model describes an image by L numbers, in units of their spread: 0 is the middle, 1 a deviation."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""

    @property
    def latents(self) -> int:
        """L."""

    @property
    def path(self) -> str:
        """``linear`` or ``spherical``: how to go from one image to another, unless another way is asked for."""

    @property
    def measure(self) -> str:
        """What ``importance`` is: ``variance``, ``KL`` (nats) or ``change`` (mean squared, of a pixel)."""

    def encode(self, images: npt.NDArray[np.floating]) -> Array:
        """Latents (N, L) of images (N, C, H, W)."""

    def decode(self, latents: Array) -> Array:
        """Images (N, C, H, W) in [0, 1] of latents (N, L)."""

    def importance(self) -> Array:
        """How much each of the latents (L,) tells; comparable among the latents of one model only."""


def latent_space(model: Any, images: npt.NDArray[np.floating] | None = None) -> LatentSpace:
    """The latents of a density (generative/density.py) or of a network (generative/latent.py).

    Args:
        model: what was fitted.
        images: (N, C, H, W) for which a network's latents are weighed. Autoencoders without a prior need them: the
            spread of their latents is that of the codes of these images.

    Raises:
        InputError: a model without latents, images of another shape, or no images where they are needed.
    """
    if isinstance(getattr(model, "axes", None), Axes):
        return PrincipalAxes(model.shape, model.axes)
    if not isinstance(model, LatentModel):
        raise InputError(
            "this model has no latents: it does not describe an image by a few numbers.",
            "Take pca, gaussian, mixture or an autoencoder.",
        )
    if images is not None:
        rows(images, model.shape)  # says what does not fit
    if isinstance(model, VariationalModel):
        return NetworkLatents(model, np.zeros(model.latents), np.ones(model.latents), "spherical", images)
    if images is None:
        raise InputError(
            "an autoencoder has no prior: how far its latents go is known from images only.", "Give --data."
        )
    codes = _in_batches(model.encode, images, model)
    spread = codes.std(axis=0)
    return NetworkLatents(model, codes.mean(axis=0), np.where(spread > 0, spread, 1.0), "linear", images)


def draw_samples(model: Any, n: int, seed: int = 0) -> Array:
    """Images (n, C, H, W) in [0, 1] from a density or from the prior of a variational autoencoder.

    Of the latter it is the mean of what the decoder describes: its noise per pixel is not added. The i-th depends
    on the seed and on i only.

    Raises:
        InputError: a model that is no distribution, or less than one image.
    """
    if isinstance(model, VariationalModel):
        latents = draws(n, seed, "prior", lambda random: random.standard_normal(model.latents))
        return _in_batches(model.decode, latents, model)
    if not hasattr(model, "sample"):
        raise InputError(
            "an autoencoder is no distribution: there is nothing to draw from.",
            "Give --reconstruct, --traverse or --interpolate, or train a vae.",
        )
    images: Array = model.sample(n, seed)
    return images


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Coordinates along principal axes, in standard deviations of the images along them."""

    shape: Shape
    axes: Axes
    path: str = field(default="linear", init=False)
    measure: str = field(default="variance", init=False)

    @property
    def latents(self) -> int:
        """Number of axes."""
        return len(self.axes.variances)

    def encode(self, images: npt.NDArray[np.floating]) -> Array:
        """Latents (N, L) of images."""
        return self.axes.split(rows(images, self.shape))[0] / np.sqrt(self.axes.variances)

    def decode(self, latents: Array) -> Array:
        """Images of latents, clipped to [0, 1]."""
        values = self.axes.mean + (latents * np.sqrt(self.axes.variances)) @ self.axes.directions
        return as_images(values, self.shape)

    def importance(self) -> Array:
        """Variance (L,) of the images along the axes."""
        return self.axes.variances


@dataclass(frozen=True, eq=False)
class NetworkLatents:
    """The latents of a network.

    Args:
        model: in eval mode.
        centre: (L,) the middle of the prior, or of the codes.
        spread: (L,) the standard deviation of either.
        path: ``linear`` or ``spherical``.
        images: for which the latents of a variational one are weighed, or None.
    """

    model: LatentModel
    centre: Array
    spread: Array
    path: str
    images: npt.NDArray[np.floating] | None

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        return self.model.shape

    @property
    def latents(self) -> int:
        """Number of latents."""
        return self.model.latents

    @property
    def measure(self) -> str:
        """``KL`` where there is a posterior and images to ask it about."""
        return "KL" if self.images is not None and isinstance(self.model, VariationalModel) else "change"

    def encode(self, images: npt.NDArray[np.floating]) -> Array:
        """Latents (N, L) of images."""
        rows(images, self.shape)
        return (_in_batches(self.model.encode, images, self.model) - self.centre) / self.spread

    def decode(self, latents: Array) -> Array:
        """Images of latents."""
        return _in_batches(self.model.decode, self.centre + latents * self.spread, self.model)

    def importance(self) -> Array:
        """Mean KL divergence (L,) from the prior; or the change of a pixel from one deviation down to one up."""
        weights: Array
        if self.images is not None and isinstance(self.model, VariationalModel):
            posterior = self.model.posterior
            weights = _in_batches(lambda images: posterior(images).kl(), self.images, self.model).mean(axis=0)
        else:
            up, down = self.decode(np.eye(self.latents)), self.decode(-np.eye(self.latents))
            weights = ((up - down) ** 2).reshape(self.latents, -1).mean(axis=1)
        return weights


@torch.no_grad()
def _in_batches(call: Any, values: npt.NDArray[np.floating], model: LatentModel) -> Array:
    """What a network makes of rows of values, in full batches."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    device = torch.device("cpu") if parameter is None else parameter.device
    found = []
    for batch in torch.split(torch.from_numpy(np.asarray(values, dtype=np.float32)), BATCH):
        full = torch.cat([batch, batch[:1].expand(BATCH - len(batch), *batch.shape[1:])])
        found.append(call(full.to(device))[: len(batch)].double().cpu())
    images: Array = torch.cat(found).numpy()
    return images
