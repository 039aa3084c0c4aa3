"""Size, projection, steepest direction and random start for the norms linf, l2 and l1; size and projection for l0.

l0 is no norm, but is called one: the number of values that change, channels counted apart. All functions work on
perturbations of shape (N, ...) and per sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams

NORMS = ("linf", "l2", "l1")
_SLACK = 1e-6  # of sums in float32


def check_norm(norm: str, allowed: tuple[str, ...] = NORMS) -> None:
    """Raise UnknownNameError unless ``norm`` is one of ``allowed``."""
    if norm not in allowed:
        raise UnknownNameError("norm", norm, allowed)


def check_eps(eps: float | None, norm: str) -> float:
    """The budget, if it can be one: finite, not negative, and for linf at most 1 (images are in [0, 1]).

    Raises:
        InputError: eps is missing, negative, not finite, or was given on the scale 0–255.
    """
    if eps is None:
        raise InputError("eps is not set.", "Give eps on the [0, 1] scale, for example eps=8/255.")
    if not 0 <= eps < float("inf"):
        raise InputError(f"eps={eps:g} is out of range.", "It must be a number that is not negative.")
    if norm == "linf" and eps > 1:
        raise InputError(
            f"eps={eps:g} is out of range: images are in [0, 1].",
            f"Did you mean eps={eps:g}/255?" if eps <= 255 else "Give eps on the [0, 1] scale.",
        )
    return float(eps)


def flat(x: Tensor) -> Tensor:
    """Shape (N, ...) to (N, D)."""
    return x.reshape(len(x), -1)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Shape (N,) to (N, 1, ..., 1), to multiply with ``like``."""
    return values.view(-1, *[1] * (like.dim() - 1))


def size(delta: Tensor, norm: str) -> Tensor:
    """Norm of every sample's perturbation, shape (N,)."""
    d = flat(delta)
    if norm == "linf":
        return d.abs().amax(1)
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(d, dim=1)
        return length
    if norm == "l0":
        return (d != 0).sum(1).to(d.dtype)
    check_norm(norm)
    return d.abs().sum(1)


def project(delta: Tensor, eps: float | Tensor, norm: str) -> Tensor:
    """The nearest perturbation (in l2) of at most the given size. A perturbation inside stays as it is.

    Args:
        delta: (N, ...).
        eps: the size, one for all or (N,).
        norm: ``linf``, ``l2`` or ``l1``; for l0 see ``project_l0``.
    """
    if norm == "linf":
        if isinstance(eps, Tensor):
            most = per_sample(eps, delta)
            return delta.clamp(-most, most)
        return delta.clamp(-eps, eps)
    if norm == "l2":
        return delta * per_sample((eps / size(delta, "l2").clamp_min(1e-12)).clamp_max(1.0), delta)
    check_norm(norm)
    return _project_l1(delta, eps[:, None] if isinstance(eps, Tensor) else eps)


def project_l0(delta: Tensor, count: Tensor, images: Tensor) -> Tensor:
    """The nearest perturbation (in l2) that changes at most so many values and keeps the image in [0, 1].

    What is gained by changing a value, instead of leaving it, is d² - (d - clipped d)²; the largest gains are
    kept (Croce & Hein, *Sparse and imperceivable adversarial attacks*, ICCV 2019).

    Args:
        delta: (N, ...).
        count: (N,) whole numbers.
        images: (N, ...) in [0, 1], to which delta is added.
    """
    d, x = flat(delta), flat(images)
    clipped = (x + d).clamp(0, 1) - x
    # d² - (d - c)² as c (2d - c), which does not cancel where d is large.
    order = (clipped * (2 * d - clipped)).argsort(dim=1, descending=True, stable=True)
    kept = torch.arange(d.shape[1], device=d.device) < count[:, None]
    return (clipped * torch.zeros_like(d).scatter_(1, order, kept.to(d.dtype))).view_as(delta)


def _project_l1(delta: Tensor, eps: float | Tensor) -> Tensor:
    """Soft threshold at the level that makes the l1 norm eps (Duchi et al., ICML 2008)."""
    d = flat(delta)
    magnitude, _ = d.abs().sort(dim=1, descending=True)
    ranks = torch.arange(1, d.shape[1] + 1, device=d.device, dtype=d.dtype)
    levels = (magnitude.cumsum(1) - eps) / ranks
    last = (magnitude > levels).sum(1, keepdim=True).clamp_min(1) - 1
    threshold = levels.gather(1, last).clamp_min(0)
    return (d.sign() * (d.abs() - threshold).clamp_min(0)).view_as(delta)


def round_8bit(images: Tensor, clean: Tensor, eps: float | None, norm: str) -> Tensor:
    """The images as a file of 8 bits holds them: every value k/255, and the change within the budget.

    linf: the nearest k/255 inside [clean - eps, clean + eps]; where none is inside, the clean value rounded. l2,
    l1 and l0: the nearest; for an image whose change is then too large, every value is rounded towards the clean
    one instead, but not past what that is rounded to. So the budget holds where the clean images are of 8 bits
    themselves; of others, scaled ones for example, no file need lie within it.

    Args:
        images: (N, ...) in [0, 1].
        clean: (N, ...), where the change is measured from.
        eps: the budget; None: there is none, and every value goes to the nearest.
        norm: ``linf``, ``l2``, ``l1`` or ``l0``.
    """
    levels, start = images * 255, clean * 255
    nearest, saved = levels.round(), start.round()
    slack = _SLACK * max(1.0, eps or 0)
    on_grid = (start - saved).abs() <= slack * 255

    def image(level: Tensor) -> Tensor:
        # A value that stays must keep its bits, or it would count as changed: k/255 differs between devices.
        return torch.where((level == saved) & on_grid, clean, level / 255)

    if eps is None:
        return image(nearest)
    if norm == "linf":
        low, high = ((clean - eps - slack) * 255).ceil(), ((clean + eps + slack) * 255).floor()
        inside = nearest.maximum(low).minimum(high)
        return image(torch.where(low <= high, inside, saved).clamp(0, 255))
    outwards = levels > start
    down, up = (levels + slack * 255).floor(), (levels - slack * 255).ceil()
    inwards = torch.where(outwards, down.maximum(saved), up.minimum(saved))
    fits = size(image(nearest) - clean, norm) <= eps + slack
    return image(torch.where(per_sample(fits, images), nearest, inwards))


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """The direction of unit size that raises a linear function with this gradient most.

    linf: the sign. l2: the gradient, scaled. l1: all of it on the coordinate with the largest slope. A zero
    gradient gives a zero direction.
    """
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        # First to a largest entry of 1: the squares of a tiny gradient would underflow.
        scaled = gradient / per_sample(size(gradient, "linf").clamp_min(1e-37), gradient)
        return scaled / per_sample(size(scaled, "l2").clamp_min(1e-12), scaled)
    check_norm(norm)
    g = flat(gradient)
    top = g.abs().argmax(1, keepdim=True)
    return torch.zeros_like(g).scatter_(1, top, g.gather(1, top).sign()).view_as(gradient)


def random_start(streams: Streams, like: Tensor, eps: float, norm: str, *key: object) -> Tensor:
    """A perturbation drawn uniformly from the ball of radius eps, in the shape of ``like`` (N, ...)."""
    shape = like.shape[1:]
    if norm == "linf":
        return (2 * streams.uniform(shape, *key, like=like) - 1) * eps
    check_norm(norm)
    radius = streams.uniform((), *key, "radius", like=like) ** (1 / shape.numel()) * eps
    if norm == "l2":
        direction = steepest(streams.normal(shape, *key, like=like), "l2")
    else:  # l1: signed exponentials, scaled to the sphere, are uniform on it
        uniform = streams.uniform(shape, *key, like=like)
        exponential = -torch.log1p(-uniform) * (streams.uniform(shape, *key, "sign", like=like) - 0.5).sign()
        direction = exponential / per_sample(size(exponential, "l1"), exponential)
    return direction * per_sample(radius, like)
