"""What a decoder says of images: families of distributions per value, in nats. Each is a law over its own values.

Numbers of different families do not compare: a density of continuous values may exceed 1, a probability of one of
256 grey levels may not, and a probability of black or white is of another image altogether.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_lite.generative.pixels import Shape

Family = Literal["logistic", "gaussian", "bernoulli", "continuous_bernoulli"]
Binarise = Literal["none", "stochastic", "static", "threshold"]

_MEANING = {
    "logistic": "log probabilities of images of 256 grey levels",
    "gaussian": "log densities of continuous values",
    "bernoulli": "log probabilities of images of black and white",
    "continuous_bernoulli": "log densities of continuous values",
}

GREY_LEVEL = 1 / 255
FLOOR = GREY_LEVEL / 2
"""Least standard deviation of ``gaussian``, least scale of ``logistic``: half a grey level. A value that is
the same in every image would otherwise have a density without limit."""

_MARGIN = 0.01  # of means from 0 and 1 where a decoder begins, so that no logit is infinite


class Likelihood(nn.Module):
    """One family over the values of an image.

    Args:
        family: which.
        shape: (C, H, W) of an image.
        bounded: means are squeezed into (0, 1) by a sigmoid; otherwise (a linear decoder) they are taken as they
            are. The Bernoulli families are always bounded.
    """

    start: Tensor
    contrast: Tensor

    def __init__(self, family: Family, shape: Shape, *, bounded: bool = True) -> None:
        super().__init__()
        self.family = family
        self.bounded = bounded or family not in ("gaussian", "logistic")
        self.register_buffer("start", torch.zeros(shape))
        self.register_buffer("contrast", torch.ones(()))
        if family in ("gaussian", "logistic"):
            self.log_spread = nn.Parameter(torch.full(shape, math.log(0.1)))

    @torch.no_grad()
    def begin_at(self, images: Tensor) -> None:
        """Begin where a decoder that says nothing is right: at mean and spread of the training images."""
        mean = images.mean(0)
        self.start.copy_(mean.clamp(_MARGIN, 1 - _MARGIN).logit() if self.bounded else mean)
        if not self.bounded:
            self.contrast.copy_((images - mean).square().mean().sqrt().clamp_min(GREY_LEVEL))
        if self.family in ("gaussian", "logistic"):
            unit = math.sqrt(3) / math.pi if self.family == "logistic" else 1.0
            spread = images.std(0) if len(images) > 1 else torch.zeros_like(mean)
            self.log_spread.copy_((unit * spread).clamp_min(GREY_LEVEL).log())

    @property
    def spread(self) -> Tensor:
        """(C, H, W): the standard deviation of ``gaussian``, the scale of ``logistic``; never below the floor."""
        return FLOOR + self.log_spread.exp()

    def _location(self, outputs: Tensor) -> Tensor:
        moved = outputs * self.contrast + self.start
        return moved.sigmoid() if self.bounded else moved

    def mean(self, outputs: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] of the outputs of a decoder: the mean of what they describe.

        Of ``logistic`` it is the location of the distribution before it is cut into grey levels.
        """
        if self.family == "continuous_bernoulli":
            return _mean_of_continuous(outputs + self.start)
        return self._location(outputs).clamp(0, 1)

    def log_prob(self, images: Tensor, outputs: Tensor) -> Tensor:
        """Nats (N,) of images (N, C, H, W) in [0, 1], the sum over the values, given the outputs of a decoder."""
        if self.family == "gaussian":
            standard = (images - self._location(outputs)) / self.spread
            each = -0.5 * (standard.square() + math.log(2 * math.pi)) - self.spread.log()
        elif self.family == "logistic":
            each = _log_grey_level(images, self._location(outputs), self.spread)
        else:
            logits = outputs + self.start
            each = -F.binary_cross_entropy_with_logits(logits, images.expand_as(logits), reduction="none")
            if self.family == "continuous_bernoulli":
                each = each + _log_normaliser(logits)
        return each.flatten(1).sum(1)


def _log_grey_level(images: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Log probability that a logistic variable falls into the bin of a grey level.

    Salimans et al., *PixelCNN++*, ICLR 2017, section 2.1: the outer bins reach to infinity, so that the 256
    probabilities add up to 1. Values between two levels get a bin of the same width around them, so that gradients
    flow to the images.
    """
    upper = (images - location + GREY_LEVEL / 2) / scale
    lower = (images - location - GREY_LEVEL / 2) / scale
    width = GREY_LEVEL / scale
    # log(sigmoid(u) - sigmoid(l)) = log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)): exact in both tails.
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    black, white = images <= GREY_LEVEL / 2, images >= 1 - GREY_LEVEL / 2
    return torch.where(black, F.logsigmoid(upper), torch.where(white, F.logsigmoid(-lower), inside))


def _log_normaliser(logits: Tensor) -> Tensor:
    """Log of the constant that makes a Bernoulli's p^x (1-p)^(1-x) integrate to 1 over [0, 1].

    Loaiza-Ganem & Cunningham, *The continuous Bernoulli*, NeurIPS 2019, eq. 8: log(2 artanh(1-2p) / (1-2p)), which
    in logits l is log(l / tanh(l/2)); a series about l = 0.
    """
    small = logits.abs() < 0.1
    safe = torch.where(small, torch.ones_like(logits), logits).abs()
    away = safe.log() - torch.log(torch.tanh(safe / 2))
    squared = torch.where(small, logits, torch.zeros_like(logits)).square()
    return torch.where(small, math.log(2) + squared / 12 - 7 * squared.square() / 1440, away)


def _mean_of_continuous(logits: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli, in logits l: 1 / (1 - exp(-l)) - 1 / l; a series about l = 0."""
    small = logits.abs() < 0.1
    safe = torch.where(small, torch.ones_like(logits), logits)
    return torch.where(small, 0.5 + logits / 12 - logits**3 / 720, -1 / torch.expm1(-safe) - 1 / safe)


def binarised(images: Tensor, how: Binarise, draw: Callable[[], Tensor]) -> Tensor:
    """Images of zeros and ones: by chance with the grey value as probability, or by the threshold 0.5.

    Published figures of ``stochastic`` and ``static`` (drawn once, before training) and of ``threshold`` are of
    different images and do not compare. Salakhutdinov & Murray, *On the quantitative analysis of deep belief
    networks*, ICML 2008.

    Args:
        images: (N, C, H, W) in [0, 1].
        how: ``none`` leaves them grey.
        draw: uniform numbers in [0, 1), as many as there are values; asked only if something is drawn.
    """
    if how == "none":
        return images
    return ((0.5 if how == "threshold" else draw()) < images).to(images)


def meaning(family: str, how: Binarise = "none", *, binary: bool = False) -> str:
    """What a number of nats is of, in words. Numbers that differ in it do not compare.

    Args:
        family: of the likelihood.
        how: the images were binarised.
        binary: the images hold only zeros and ones.
    """
    if family == "bernoulli" and not binary:
        return "cross-entropies with grey values, which are no likelihoods"
    if family == "bernoulli" and how != "none":
        return f"log probabilities of images of black and white ({how} binarisation)"
    return _MEANING.get(family, f"of the family {family}")
