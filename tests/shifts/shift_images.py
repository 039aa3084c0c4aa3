"""What tests of shifts change: images, and the random numbers of each."""

import torch

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.gaussian_blur import GaussianBlur


def streams(n=1, seed=0):
    return Streams(seed, "condition", tuple(str(i) for i in range(n)))


def random_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def smooth_images(n, height, width):
    return GaussianBlur(sigma_px=2)(random_images(n, 3, height, width), streams(n))
