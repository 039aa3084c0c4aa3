"""Many tests at once: Holm's step-down procedure."""

from __future__ import annotations

from collections.abc import Sequence


def holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """The level that each of several tests is held to, so that any false rejection has a probability of alpha.

    Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 1979. In
    the order of their p the tests are held to alpha / m, alpha / (m - 1), …; from the first that is not rejected
    all are held to its level. A test is rejected exactly if its p is at most its level.

    Args:
        p: of each test, in any order.
        alpha: of all together.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    levels, left = [alpha] * len(p), len(p)
    for place in order:
        levels[place] = alpha / left
        left -= p[place] <= alpha / left
    return levels
