"""A small network that marks places of an image: a U-Net of 149,000 weights, trained on made-up defects."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from numpy.random import default_rng
from torch import Tensor

from robustbench_lite.outliers.defect_images import flipped, with_defects, with_nuisances
from robustbench_lite.rng import stable_hash

Weights = dict[str, Tensor]
Layer = Callable[[str, Tensor], Tensor]

STRIDE = 4
"""Pixels per logit along each side."""
# name: channels in, channels out, kernel, stride
LAYERS: dict[str, tuple[int, int, int, int]] = {
    "down1": (4 + 2, 16, 3, 1),
    "down2": (16, 32, 3, 2),
    "same2": (32, 32, 3, 1),
    "down3": (32, 48, 3, 2),
    "same3": (48, 48, 3, 1),
    "down4": (48, 64, 3, 2),
    "same4": (64, 64, 3, 1),
    "narrow4": (64, 48, 1, 1),
    "up3": (48, 48, 3, 1),
    "narrow3": (48, 32, 1, 1),
    "up2": (32, 32, 3, 1),
    "logit": (32, 1, 3, 1),
}
_BATCH = 16
_LR, _DECAY, _CLIP = 2e-3, 1e-4, 2.0
_SEVERE = 1.5  # change in standard deviations that is a whole defect; less is part of one
_HIGHEST = 8  # logits whose mean should tell whether there is a defect anywhere


def reference_of(images: Tensor) -> Tensor:
    """What is usual where: mean and deviation of standardised images (N, 1, S, S) as (2, S/2, S/2)."""
    halves = F.avg_pool2d(images, 2)[:, 0]
    return torch.stack([halves.mean(0), halves.std(0, correction=0)])


def _logits(images: Tensor, reference: Tensor, layer: Layer) -> Tensor:
    """Logits (N, S/4, S/4) of images (N, 1, S, S), S a multiple of 16, with their references (N, 2, S/2, S/2).

    Ronneberger et al., MICCAI 2015; skips are added, not appended, which is quicker (Chaurasia & Culurciello,
    *LinkNet*, VCIP 2017).
    """
    inputs = torch.cat([F.pixel_unshuffle(images, 2), reference], 1)
    second = layer("same2", layer("down2", layer("down1", inputs.contiguous(memory_format=torch.channels_last))))
    third = layer("same3", layer("down3", second))
    fourth = layer("same4", layer("down4", third))
    up = layer("up3", F.interpolate(layer("narrow4", fourth), scale_factor=2.0) + third)
    up = layer("up2", F.interpolate(layer("narrow3", up), scale_factor=2.0) + second)
    return layer("logit", up)[:, 0]


def logits(images: Tensor, weights: Weights, flip: tuple[int, ...] = ()) -> Tensor:
    """Logits (N, S/4, S/4) of standardised images (N, 1, S, S), with weights of ``trained``.

    Args:
        images: as in training, upright.
        weights: of ``trained``.
        flip: dimensions along which the network sees them mirrored; the logits are upright again.
    """

    def layer(name: str, values: Tensor) -> Tensor:
        _, _, kernel, stride = LAYERS[name]
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        made = F.conv2d(values, weight.to(values), bias.to(values), stride, kernel // 2)
        return made if name == "logit" else made.relu()

    half = images.shape[-1] // 2
    reference = F.interpolate(weights["reference"].to(images)[None], (half, half)).expand(len(images), -1, -1, -1)
    found = _logits(images.flip(flip), reference.flip(flip), layer)
    return found.flip([dimension - 1 for dimension in flip])


def trained(
    images: Tensor, steps: int, seed: int, on_progress: Callable[[float], None] = lambda done: None
) -> Weights:
    """Train on normal images with made-up defects.

    The same seed gives the same weights on one machine with the same number of threads. Global generators are
    neither asked nor touched.

    Args:
        images: standardised normal images (N, 1, S, S), at least two, S a multiple of 16.
        steps: of 16 images each.
        seed: of weights, order, defects.
        on_progress: called with the share that is done.

    Returns:
        A weight and a bias per layer, batch norm folded in, and ``reference``, of ``reference_of``.
    """
    network = _Training(seed, images.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_DECAY)
    normals, random = images[:, 0].cpu().numpy(), default_rng(stable_hash("defects", seed))
    reference = reference_of(images)
    usual = reference.cpu().numpy()
    for step in range(steps):
        chosen = normals[random.integers(len(normals), size=_BATCH)]
        flips = random.choice((-1, 1), (_BATCH, 2))
        changed, change = with_defects(flipped(chosen, flips), normals, random)
        inputs = torch.from_numpy(with_nuisances(changed, random))[:, None].to(images)
        where = torch.from_numpy(flipped([usual] * _BATCH, flips)).to(images)
        target = _target(torch.from_numpy(change)[:, None].to(images))
        for group in optimizer.param_groups:
            group["lr"] = _LR * _rate(step, steps)
        optimizer.zero_grad()
        loss = _loss(_logits(inputs, where, network.layer), target)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        if step % 20 == 0:
            on_progress(step / steps)
    return {**network.folded(), "reference": reference}


def _rate(step: int, steps: int) -> float:
    """5 % warm-up, then a cosine to zero."""
    warm = 0.05 * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def _target(change: Tensor) -> Tensor:
    """How much of a defect is near each logit, (N, S/4, S/4) in [0, 1]: not whether, for faint ones are none."""
    weights = torch.exp(-0.5 * torch.arange(-3.0, 4.0, device=change.device).square())
    weights = (weights / weights.sum()).to(change)
    size = F.conv2d(
        F.conv2d(change.abs(), weights.view(1, 1, 1, 7), padding=(0, 3)), weights.view(1, 1, 7, 1), padding=(3, 0)
    )
    severity = (size / _SEVERE).clamp(max=1) * (change != 0)
    return F.max_pool2d(severity, STRIDE)[:, 0]


def _loss(found: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of every logit and of the mean of the highest, and the Dice loss."""
    each = F.binary_cross_entropy_with_logits(found, target, pos_weight=found.new_tensor(3.0))
    share = found.sigmoid()
    dice = 1 - (2 * (share * target).sum() + 1) / (share.sum() + target.sum() + 1)
    top = found.flatten(1).topk(min(_HIGHEST, found[0].numel())).values.mean(1)
    whole = F.binary_cross_entropy_with_logits(top, target.flatten(1).amax(1))
    return each + 0.5 * dice + 0.5 * whole


class _Training:
    """The weights while they are trained, with batch norm."""

    def __init__(self, seed: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(stable_hash("unet", seed))
        self._weights: Weights = {}
        self._norms: dict[str, tuple[Tensor, Tensor]] = {}  # running mean and variance
        for name, (channels, out, kernel, _) in LAYERS.items():
            spread = math.sqrt(2 / (channels * kernel**2))  # He et al., ICCV 2015
            weight = torch.empty(out, channels, kernel, kernel).normal_(0, spread, generator=generator)
            self._weights[f"{name}.weight"] = weight.to(device).contiguous(memory_format=torch.channels_last)
            self._weights[f"{name}.bias"] = torch.full((out,), -3.0 if name == "logit" else 0.0, device=device)
            if name != "logit":
                self._weights[f"{name}.scale"] = torch.ones(out, device=device)
                self._norms[name] = torch.zeros(out, device=device), torch.ones(out, device=device)
        for value in self._weights.values():
            value.requires_grad_()

    def parameters(self) -> list[Tensor]:
        return list(self._weights.values())

    def layer(self, name: str, values: Tensor) -> Tensor:
        _, _, kernel, stride = LAYERS[name]
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        if name == "logit":
            return F.conv2d(values, weight, bias, stride, kernel // 2)
        made = F.conv2d(values, weight, None, stride, kernel // 2)
        mean, variance = self._norms[name]
        return F.batch_norm(made, mean, variance, self._weights[f"{name}.scale"], bias, training=True).relu()

    @torch.no_grad()
    def folded(self) -> Weights:
        found: Weights = {}
        for name in LAYERS:
            weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
            if name in self._norms:
                mean, variance = self._norms[name]
                factor = self._weights[f"{name}.scale"] / (variance + 1e-5).sqrt()
                weight, bias = weight * factor.view(-1, 1, 1, 1), bias - mean * factor
            found[f"{name}.weight"], found[f"{name}.bias"] = weight.detach().contiguous(), bias.detach().clone()
        return found
