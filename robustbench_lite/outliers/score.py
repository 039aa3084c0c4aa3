"""What an outlier score is: something that is fitted to normal images, and what it becomes then."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from robustbench_lite.types import Cost

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier
    from robustbench_lite.generative.latent import LatentModel

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Parts:
    """The networks that scores may ask. A score says in ``needs`` which one it cannot do without.

    Args:
        classifier: the network whose predictions are to be guarded.
        generator: a model of the normal images, such as a variational autoencoder, in eval mode and frozen.
    """

    classifier: Classifier | None = None
    generator: LatentModel | None = None


@dataclass(frozen=True)
class Normals:
    """The images that a score is fitted to.

    Args:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64 classes, or None.
        groups: one group per image (pictures of one part), or None.
        seed: of everything random in fitting.
        on_progress: for fitting that takes long to call with the share that is done, 0 to 1.
    """

    images: Tensor
    labels: Tensor | None = None
    groups: tuple[str, ...] | None = None
    seed: int = 0
    on_progress: Callable[[float], None] = field(default=lambda done: None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def select(self, indices: list[int]) -> Normals:
        """Some of the images."""
        return Normals(
            self.images[indices],
            None if self.labels is None else self.labels[indices],
            None if self.groups is None else tuple(self.groups[i] for i in indices),
            self.seed,
            self.on_progress,
        )


class Scorer(Protocol):
    """A fitted score: images (N, C, H, W) in [0, 1] → (N,) float32, higher is more outlying.

    What it says of an image does not depend on the others of the batch, nor on a global generator. Gradients flow
    to the images unless its score says that it is not ``differentiable``.
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (N,)."""

    def state(self) -> dict[str, Tensor]:
        """All that was found out in fitting, for ``Score.restore``."""


@runtime_checkable
class Maps(Protocol):
    """A fitted score that also tells where an image is outlying."""

    def maps(self, images: Tensor) -> Tensor:
        """Score per pixel, (N, H, W), at the resolution of the images; higher is more outlying."""


class Score(Protocol):
    """An outlier score to be fitted: a frozen dataclass; its fields are the arguments of its spec.

    One of one's own need not inherit from this class: it must have these members, and ``kind = "score"``.
    """

    kind: ClassVar[str] = "score"
    needs: ClassVar[Literal["", "classifier", "generator"]] = ""
    """Which of the ``Parts`` it asks; without it the score cannot be fitted."""
    differentiable: ClassVar[bool] = True
    """Whether gradients flow from the score to the images."""

    def cost(self) -> Cost:
        """Passes through the network that it asks, or its own, per image. More than one is said before it runs."""
        return Cost(1, 0)

    @abstractmethod
    def fit(self, normals: Normals, parts: Parts) -> Scorer:
        """Fit to normal images.

        Raises:
            InputError: too few images, or of a shape that it cannot do.
        """

    @abstractmethod
    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Scorer:
        """The scorer whose ``state`` this is, for images of that shape (C, H, W)."""


class TensorState:
    """For scorers that are dataclasses: the state is those fields that are tensors."""

    def state(self) -> dict[str, Tensor]:
        """The tensors among the fields, by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


@torch.no_grad()
def in_batches(scorer: Scorer, images: Tensor, batch_size: int = 64) -> Tensor:
    """Scores (N,) of many images, on the CPU, a batch at a time, without a graph."""
    return torch.cat([scorer(batch).float().cpu() for batch in torch.split(images, batch_size)])
