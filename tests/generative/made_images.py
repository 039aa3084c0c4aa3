"""Small images with a known structure."""

from __future__ import annotations

import numpy as np


def correlated(count, shape, seed=0, spread=0.04):
    """Images around 0.5 with correlated values, none near 0 or 1: nothing is clipped."""
    random = np.random.default_rng(seed)
    dimensions = int(np.prod(shape))
    mix = random.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    values = 0.5 + spread * random.standard_normal((count, dimensions)) @ mix
    return values.clip(0, 1).reshape(count, *shape)
