"""What the scores share that ask a model of the normal images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import LatentModel, VariationalModel
from robustbench_lite.outliers.score import Parts, Shape
from robustbench_lite.rng import Streams


def at_least_one(score: str, argument: str, value: int) -> None:
    """Refuse a number of passes below 1."""
    if value < 1:
        raise InputError(f"{score}: {argument}={value} is out of range.", "It must be at least 1.")


def latent_model(parts: Parts, shape: Shape) -> LatentModel:
    """The generator, if it can be asked about images of that shape (C, H, W).

    Raises:
        InputError: there is none, it has no latents, other channels, or larger images.
    """
    model = parts.generator
    if not isinstance(model, LatentModel):
        raise InputError("the score asks a generator with latents.", "Give an autoencoder: rb train --model vae.")
    if model.shape[0] != shape[0]:
        raise InputError(
            f"the generator makes images of {model.shape[0]} channels; these have {shape[0]}.", "Give --channels."
        )
    if any(mine > theirs for mine, theirs in zip(model.shape[1:], shape[1:], strict=True)):
        raise InputError(
            f"the generator makes images of {model.shape[1]}×{model.shape[2]}; these are smaller: "
            f"{shape[1]}×{shape[2]}.",
            "Give larger images, or train a generator of their size.",
        )
    return model


def variational_model(parts: Parts, shape: Shape) -> VariationalModel:
    """The generator, if it can also tell how likely an image of that shape (C, H, W) is.

    Raises:
        InputError: as ``latent_model``, or it is no variational autoencoder.
    """
    model = latent_model(parts, shape)
    if not isinstance(model, VariationalModel):
        raise InputError(
            "the score asks a variational autoencoder; this generator has no likelihood.",
            "Train one: rb train --model vae.",
        )
    return model


def reduced(images: Tensor, model: LatentModel) -> Tensor:
    """Images (N, C, H, W) at the generator's size, means over the areas of its pixels, and on its device."""
    size = model.shape[1:]
    if isinstance(model, nn.Module) and (weight := next(model.parameters(), None)) is not None:
        images = images.to(weight.device)
    return images if images.shape[-2:] == size else F.interpolate(images, size, mode="area")


def enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Maps (N, h, w) at the size of the images, (N, H, W)."""
    size = images.shape[-2:]
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def fixed_noise(seed: Tensor, score: str, count: int, model: LatentModel, like: Tensor) -> Tensor:
    """Standard normal numbers (count, 1, L): the same for every image, so that its score depends on it alone."""
    return Streams(int(seed), score, ("score",)).normal((count, model.latents), like=like)[0, :, None]
