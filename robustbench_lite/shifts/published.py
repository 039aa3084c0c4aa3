"""The published sets of corruptions: ImageNet-C, Tiny-ImageNet-C and CIFAR-10-C, by their own parameters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from robustbench_lite import registry
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.published_tables import CORRUPTIONS
from robustbench_lite.shifts.scale import STRONGEST, each_sample
from robustbench_lite.types import Shift


class Published(Shift):
    """A corruption of a published set: a shift of ours, with the parameters of the set's own table.

    A subclass is a frozen dataclass with the fields ``corruption``, ``severity`` and ``legacy``.
    """

    graded: ClassVar[bool] = False
    """Severities are the published five, whole, and not in every table does a higher one change more."""
    published: ClassVar[str]
    """Its column in the tables."""

    corruption: str
    legacy: bool

    def __post_init__(self) -> None:
        if self.corruption not in CORRUPTIONS:
            raise UnknownNameError("corruption", self.corruption, CORRUPTIONS)
        if self.severity not in range(STRONGEST + 1):
            name = CORRUPTIONS[self.corruption].shift
            raise InputError(
                f"{self.published} has no severity={self.severity:g}: it has 1, 2, 3, 4 and 5, and 0 for nothing.",
                f"Give a whole one. Fractions: {name}(severity={min(max(self.severity, 0), STRONGEST):g}).",
            )

    @property
    def needs_colour(self) -> bool:
        """Whether it is refused on images that have not three channels."""
        return bool(self._class.needs_colour)

    @property
    def shift(self) -> Shift:
        """The shift that stands for it at a severity above 0, with every published argument given."""
        arguments: dict[str, Any] = dict(CORRUPTIONS[self.corruption].at(self.published, int(self.severity)))
        if self.legacy and "legacy" in {field.name for field in dataclasses.fields(self._class)}:
            arguments["legacy"] = True
        made: Shift = self._class(severity=0, **arguments)
        return made

    @property
    def _class(self) -> Any:
        return registry.load("shift", CORRUPTIONS[self.corruption].shift)

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Changed images, same shape, in [0, 1]."""
        if self.severity == 0:
            return each_sample(images, streams, lambda image, _: image)
        # Corruptions of one set that draw alike draw different numbers.
        own = dataclasses.replace(streams, condition=f"{streams.condition} {self.corruption}")
        return self.shift(images, own)


@dataclass(frozen=True)
class ImageNetC(Published):
    """A corruption of ImageNet-C, with its parameters for images of 224 pixels.

    Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
    ICLR 2019: 15 corruptions and 4 more. The parameters are in pixels and hold for any size of image. Not
    modelled: the published files, which were stored as JPEG on top, and their draws of the random numbers.

    Args:
        corruption: its published name, such as glass_blur or jpeg_compression.
        severity: 1 to 5, whole; 0 changes nothing.
        legacy: keep the known faults of the published code, where the shift knows them.
    """

    published = "imagenet_c"

    corruption: str
    severity: float = 3
    legacy: bool = False


@dataclass(frozen=True)
class TinyImageNetC(Published):
    """A corruption of Tiny-ImageNet-C, with its parameters for images of 64 pixels.

    Source, arguments and what is not modelled are those of ``imagenet_c``.
    """

    published = "tiny_imagenet_c"

    corruption: str
    severity: float = 3
    legacy: bool = False


@dataclass(frozen=True)
class CIFAR10C(Published):
    """A corruption of CIFAR-10-C, with its parameters for images of 32 pixels.

    Source, arguments and what is not modelled are those of ``imagenet_c``.
    """

    published = "cifar10_c"

    corruption: str
    severity: float = 3
    legacy: bool = False
