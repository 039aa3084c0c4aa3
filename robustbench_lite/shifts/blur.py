"""Blurs as tools: a Gaussian of any width, and a convolution with any point spread function."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from robustbench_lite.shifts.scale import number


class Blur:
    """A Gaussian blur for images of one size. Beyond the edge the edge pixel is repeated.

    A matrix per axis takes any sigma on any image, where a padded convolution fails once the kernel is wider
    than the image, and it is as fast up to about 1,000 pixels a side. A narrow kernel on a large image is
    cheaper as a sum of shifted copies.

    Args:
        sigma: standard deviation in pixels; gradients reach it if it is a tensor.
        like: images of the size, device and dtype that will be blurred.
        reach: how many standard deviations away a pixel is left out; 3 keeps 99.7 % of the weight of each axis.
    """

    _TAPS_PER_SIDE = 1 / 9  # where the two ways take the same time on a CPU, at 224 pixels
    _FEW = 15
    _SMALL = 1 << 16

    def __init__(self, sigma: float | Tensor, like: Tensor, *, reach: float = 4) -> None:
        weights = gaussian_weights(sigma, reach)
        height, width = like.shape[-2:]
        self._taps: list[float] | None = None if isinstance(sigma, Tensor) else weights.tolist()
        self._few = self._taps is not None and len(weights) <= self._FEW and like.shape[1:].numel() <= self._SMALL
        self._shifted = self._taps is not None and len(weights) < self._TAPS_PER_SIDE * min(height, width)
        if not self._shifted:
            self._rows = band_matrix(weights, height).to(like)
            self._columns = band_matrix(weights, width).T.to(like)

    def __call__(self, images: Tensor) -> Tensor:
        if self._taps is None or not self._shifted:
            return self._rows @ images @ self._columns
        return _shifted_sum(images, self._taps)

    def each(self, images: Tensor) -> Tensor:
        """The same for many images at once, with the same bits for each in any company.

        Small images take less time so, and large ones no more.
        """
        if self._taps is not None and self._few:
            return _shifted_sum(images, self._taps, in_pairs=True)
        if len(images) == 1:
            return self(images)
        return torch.cat([self(images[i : i + 1].clone()) for i in range(len(images))])


class Convolution:
    """A convolution for images of one size. Beyond the edge the edge pixel is repeated.

    By Fourier transform; a small kernel on a small image as a sum of a few separable ones, which is cheaper there.

    Args:
        kernel: (K, L) weights of odd sides: the pixel (i - K // 2, j - L // 2) away has the weight (i, j), so
            what the light of one point becomes is the kernel turned by half a turn. Gradients reach it.
        like: images of the size, device and dtype that will be changed.
        small: False if the kernel is used once only; to take it apart would cost more than it saves.
    """

    _SMALL = 300  # rank × side, where the two ways take the same time on a CPU

    def __init__(self, kernel: Tensor, like: Tensor, *, small: bool = True) -> None:
        self._size = like.shape[-2:]
        self._margin = kernel.shape[0] // 2, kernel.shape[1] // 2
        height, width = self._size
        self._rows: Tensor | None = None
        side = max(height, width)
        if small and not kernel.requires_grad and min(kernel.shape) * side <= 4 * self._SMALL:
            left, sizes, right = torch.linalg.svd(kernel.double())
            rank = int((sizes > 1e-7 * sizes[0]).sum())
            if rank * side <= self._SMALL:
                rows = [band_matrix(left[:, k] * sizes[k], height) for k in range(rank)]
                self._rows = torch.cat(rows, 1).to(like)  # (H, rank H)
                self._columns = torch.stack([band_matrix(right[k], width).T for k in range(rank)]).to(like)
                return
        self._period = [_fast_length(n + 2 * m) for n, m in zip(self._size, self._margin, strict=True)]
        self._spectrum = torch.fft.rfft2(kernel.to(like), s=self._period).conj()

    def __call__(self, image: Tensor) -> Tensor:
        """The convolved image, (1, C, H, W)."""
        height, width = self._size
        if self._rows is not None:
            parts = image[0, :, None] @ self._columns  # (C, rank, H, W)
            return (self._rows @ parts.flatten(1, 2))[None]
        down, across = self._margin
        wide = pad(image, (across, across, down, down), mode="replicate")
        spectrum = torch.fft.rfft2(wide, s=self._period) * self._spectrum
        out: Tensor = torch.fft.irfft2(spectrum, s=self._period)
        return out[..., :height, :width]


def band_matrix(weights: Tensor, size: int) -> Tensor:
    """(size, size): row i holds what each pixel gives to pixel i, for weights (K,) of the pixels around it."""
    offsets = torch.arange(len(weights)) - len(weights) // 2
    seen = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    return torch.zeros(size, size, dtype=weights.dtype).scatter_add(1, seen, weights.repeat(size, 1))


def gaussian_weights(sigma: float | Tensor, reach: float = 4) -> Tensor:
    """Weights of the pixels within four sigma, as in the implementation that the published scales come from."""
    radius = int(reach * number(sigma) + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-((offsets / sigma) ** 2) / 2)
    return weights / weights.sum()


def _shifted_sum(images: Tensor, taps: list[float], *, in_pairs: bool = False) -> Tensor:
    """Images (N, C, H, W) blurred along both axes by symmetric taps.

    The sums run over the widened images as one long row, which the vector units like best; what they mix at the
    ends of the rows falls into the margin.

    Args:
        images: (N, C, H, W).
        taps: an odd number of weights, the same from both ends.
        in_pairs: in steps that give the same bits wherever in memory a pixel lies, which take longer.
    """
    margin = len(taps) // 2
    wide = pad(images, (margin,) * 4, mode="replicate")
    row = wide.flatten()
    for step in (1, wide.shape[-1]):
        shifted = [row.narrow(0, k * step, row.numel() - 2 * margin * step) for k in range(len(taps))]
        row = shifted[margin] * taps[margin]
        for k in range(margin):
            if in_pairs:
                row.add_((shifted[k] + shifted[-1 - k]).mul_(taps[k]))
            else:
                row.add_(shifted[k], alpha=taps[k]).add_(shifted[-1 - k], alpha=taps[k])
    return row.as_strided(images.shape, wide.stride())


def _fast_length(length: int) -> int:
    """The next multiple of 8 without a prime factor above 5, whose Fourier transform is fast."""
    length = -(-length // 8) * 8
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 8
