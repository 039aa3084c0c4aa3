"""A shift of one's own: dead columns, as in an ageing line camera."""

from dataclasses import dataclass

from robustbench_lite.types import Shift


@dataclass(frozen=True)
class DeadColumns(Shift):
    """Each column of the image is black with a probability of 2 % per level of severity."""

    severity: float = 3

    def __call__(self, images, streams):
        dead = streams.uniform((1, 1, images.shape[-1]), "columns", like=images) < 0.02 * self.severity
        return images.masked_fill(dead, 0)
