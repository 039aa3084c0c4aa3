"""What attacks, shifts, networks and conditions look like to each other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_lite.rng import Streams

SPLITS = ("train", "val", "test", "all")  # of the images of a data set


class LogitsAndGradient(NamedTuple):
    """Logits (N, K) and the gradient of the summed loss with respect to the images (N, C, H, W)."""

    logits: Tensor
    gradient: Tensor


class Model(Protocol):
    """What an attack sees of a classifier. Images are in [0, 1], shape (N, C, H, W); logits are (N, K)."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, without a graph."""

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> LogitsAndGradient:
        """Logits, and the gradient of ``loss(logits)`` (one value per image) with respect to the images."""


@runtime_checkable
class HasDraft(Protocol):
    """A model that may have a cheaper copy beside it."""

    def draft(self, images: Tensor) -> Model | None:
        """A copy whose gradients are good enough to propose images, which the model itself must confirm.

        None: there is none. The images, (N, C, H, W), are what the copy is tried on.
        """


class OutliersAndGradient(NamedTuple):
    """Outlier scores (N,) and the gradient of their sum with respect to the images (N, C, H, W)."""

    scores: Tensor
    gradient: Tensor


@runtime_checkable
class Guarded(Protocol):
    """A model beside which an outlier detector stands, for an attack that means both."""

    @property
    def threshold(self) -> float:
        """Above it an outlier score is an alarm."""

    def outliers(self, images: Tensor) -> Tensor:
        """Outlier scores (N,), without a graph; higher is more outlying."""

    def outlier_gradient(self, images: Tensor) -> OutliersAndGradient:
        """Outlier scores, and their gradient through those parts of the detector that have one."""


class Cost(NamedTuple):
    """The most that a condition may spend on one image."""

    forwards: int
    gradients: int


class Trace(NamedTuple):
    """What a portfolio did: the images (N, C, H, W), and per image the attack that fooled the network, or None."""

    images: Tensor
    by: list[str | None]


class Attack(Protocol):
    """Changes images so that the classifier errs. Sees the classifier and the labels.

    An attack of one's own is a frozen dataclass; its fields are the arguments of its spec string. It need not
    inherit from this class: it must have these members, and ``kind = "attack"``.
    """

    kind: ClassVar[str] = "attack"
    minimal: ClassVar[bool] = False
    """True if the attack looks for the smallest perturbation; such an attack has no ``eps``."""
    needs_gradient: ClassVar[bool] = True
    """False if the attack looks at scores only; such an attack works on anything that returns scores."""
    needs_detector: ClassVar[bool] = False
    """True if the attack has two goals, a wrong class and no alarm: it is given a model that is ``Guarded``."""

    @property
    def norm(self) -> str:
        """Norm that the perturbation is measured in."""

    @abstractmethod
    def max_cost(self) -> Cost:
        """The most that one image may cost."""

    @abstractmethod
    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        """Changed images, same shape, in [0, 1], within the budget.

        Args:
            model: the classifier.
            images: (N, C, H, W) in [0, 1], all classified as their label.
            labels: (N,) class indices.
            streams: the only source of randomness.
        """


@runtime_checkable
class StopsWithin(Protocol):
    """An attack for the smallest perturbation that can be content with one within a budget."""

    @abstractmethod
    def within(self, model: Model, images: Tensor, labels: Tensor, streams: Streams, eps: float) -> Tensor:
        """As a call, but an image is finished as soon as a perturbation of at most eps is found."""


@runtime_checkable
class Traced(Protocol):
    """An attack made of attacks, which tells which of them fooled the network."""

    @property
    def members(self) -> tuple[str, ...]:
        """The names that ``trace`` tells, in the order in which they are tried."""

    @abstractmethod
    def trace(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Trace:
        """What a call returns, and which attack fooled the network."""


@runtime_checkable
class Calibrating(Protocol):
    """An attack that looks at a sample of the data before it judges the first image."""

    @abstractmethod
    def calibrated(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Attack:
        """The attack with what the sample has shown, in fields that are not compared and so no part of its spec.

        Args:
            model: the classifier.
            images: (N, C, H, W) in [0, 1], all classified as their label.
            labels: (N,).
            streams: one per image.
        """


class Shift(Protocol):
    """Changes images as the world would: light, lens, camera, weather. Sees only the images.

    A shift of one's own is a frozen dataclass with a field ``severity``; it need not inherit from this class:
    it must have these members, and ``kind = "shift"``.
    """

    kind: ClassVar[str] = "shift"
    severity: float
    """0 is the identity, 5 the strongest of the usual levels; fractions are allowed."""

    @abstractmethod
    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Changed images, same shape, in [0, 1]. The streams are the only source of randomness."""


@runtime_checkable
class Fills(Protocol):
    """A shift that must invent some pixels, because the image does not hold what the camera would have seen."""

    @abstractmethod
    def filled(self, images: Tensor, streams: Streams) -> Tensor:
        """The share of invented pixels of each image, (N,), for the images and streams of a call."""


@dataclass(frozen=True)
class Condition:
    """What happens to the images before they are classified: nothing, an attack, a shift, or a chain."""

    parts: tuple[Attack | Shift, ...] = ()

    @property
    def kind(self) -> str:
        """``clean``, ``attack``, ``shift`` or ``chain``."""
        if not self.parts:
            return "clean"
        return self.parts[0].kind if len(self.parts) == 1 else "chain"

    @property
    def attacks(self) -> list[Attack]:
        """The parts that are attacks."""
        return [part for part in self.parts if is_attack(part)]


def is_attack(part: Attack | Shift) -> TypeGuard[Attack]:
    """Whether a part of a condition is an attack."""
    return part.kind == "attack"


def is_shift(part: Attack | Shift) -> TypeGuard[Shift]:
    """Whether a part of a condition is a shift."""
    return part.kind == "shift"
