"""What is in a picture of ``surfaces``, before it is drawn: the part, its defect, the light and the camera.

Lengths are shares of the image's side; x runs to the right and y down, both from −0.5 to 0.5. The ranges are the
choice of this data set: the light varies by a factor of two, half of the defects change the grey by less than a
third.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator, default_rng

from robustbench_lite.rng import stable_hash

SURFACES = ("brushed", "cast", "painted")
DEFECTS = ("crack", "dent", "missing_print", "scratch", "stain")
PICTURES = 2
"""Of each part, under different lights."""
GLYPHS = 6


@dataclass(frozen=True)
class Part:
    """One part as it was made: it is the same in all of its pictures.

    Args:
        name: of the part, such as ``test/scratch/0007``; all that is random follows from it and the seed.
        seed: of the whole data set.
        surface: one of ``SURFACES``.
        defect: one of ``DEFECTS``, or empty.
        texture_scale: how coarse the texture is, 1 is usual.
        tone: reflectance of the bare surface.
        hue: of the paint or metal in a colour picture, 0 to 1.
        text: the serial number that is printed on it.
        ink: share of the light that the print swallows.
        print_x, print_y: how far the print is off its place.
    """

    name: str
    seed: int
    surface: str
    defect: str
    texture_scale: float
    tone: float
    hue: float
    text: str
    ink: float
    print_x: float
    print_y: float

    def stream(self, what: str) -> Generator:
        """Random numbers for one thing about this part, which depend on nothing else."""
        return default_rng(stable_hash("surfaces", self.seed, self.name, what))


@dataclass(frozen=True)
class Picture:
    """One picture of a part.

    Args:
        number: which picture of the part.
        light_azimuth_deg: where the light comes from: 0 right, 90 below.
        light_elevation_deg: above the surface; a low light shows relief.
        light_level: factor on all grey values.
        light_gradient: how much brighter the near side is than the far one, as a share of the middle.
        shift_x, shift_y: of the part.
        rotation_deg: of the part.
        blur: weight of each neighbouring pixel in the lens's blur.
        noise: standard deviation of the noise at full light.
    """

    number: int
    light_azimuth_deg: float
    light_elevation_deg: float
    light_level: float
    light_gradient: float
    shift_x: float
    shift_y: float
    rotation_deg: float
    blur: float
    noise: float


def draw_part(seed: int, name: str, surface: str, defect: str) -> Part:
    """The part of that name."""
    rng = default_rng(stable_hash("surfaces", seed, name, "part"))
    return Part(
        name,
        seed,
        surface,
        defect,
        texture_scale=float(2 ** rng.uniform(-0.5, 0.5)),
        tone=float(rng.uniform(0.48, 0.6)),
        hue=float(rng.uniform()),
        text="".join(str(digit) for digit in rng.integers(0, 10, GLYPHS)),
        ink=float(rng.uniform(0.45, 0.7)),
        print_x=float(rng.uniform(-0.01, 0.01)),
        print_y=float(rng.uniform(-0.01, 0.01)),
    )


def draw_picture(seed: int, part: str, number: int) -> Picture:
    """How a picture of the part of that name was taken."""
    rng = default_rng(stable_hash("surfaces", seed, part, "picture", number))
    return Picture(
        number,
        light_azimuth_deg=float(rng.uniform(0, 360)),
        light_elevation_deg=float(rng.uniform(35, 65)),
        light_level=float(2 ** rng.uniform(-0.6, 0.4)),
        light_gradient=float(rng.uniform(0, 0.5)),
        shift_x=float(rng.uniform(-0.015, 0.015)),
        shift_y=float(rng.uniform(-0.015, 0.015)),
        rotation_deg=float(rng.uniform(-2.5, 2.5)),
        blur=float(rng.uniform(0.02, 0.15)),
        noise=float(rng.uniform(0.006, 0.02)),
    )
