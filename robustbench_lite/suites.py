"""Named lists of conditions: those built in, and one's own from the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.names import FAMILIES, PUBLISHED
from robustbench_lite.shifts.published_tables import MAIN

if TYPE_CHECKING:
    from robustbench_lite.config.schema import SuiteConfig

SWITCHES = ("color_mixup", "flip")  # shifts that are there or not: they have no severity
MILD_TO_STRONG, EVERY = (1, 3, 5), (1, 2, 3, 4, 5)


class Suite(NamedTuple):
    """A named list of conditions; ``about`` says for whom it is."""

    name: str
    about: str
    conditions: tuple[str, ...]


def _at(severities: Iterable[int], shifts: str) -> tuple[str, ...]:
    """Every shift at every severity, shift by shift; a switch once."""
    return tuple(
        spec
        for name in shifts.split()
        for spec in ([name] if name in SWITCHES else [f"{name}(severity={s})" for s in severities])
    )


# In the order in which a report is read: from the lamp through the lens to the file, then what is on the part and
# where it lies.
_INSPECTION = (
    *_at(MILD_TO_STRONG, "night overexposed uneven shadow backlight glare flicker color_temperature"),
    *_at(MILD_TO_STRONG, "defocus_blur motion_blur vignetting bloom radial_distortion chromatic_aberration"),
    *_at(MILD_TO_STRONG, "lens_dust lens_scratches"),
    *_at(MILD_TO_STRONG, "sensor_noise gain fixed_pattern hot_pixels banding ageing quantisation resolution_loss"),
    *_at(MILD_TO_STRONG, "white_balance_error jpeg"),
    *_at(MILD_TO_STRONG, "occlusion"),
    *(f"spatter(severity={s}, mud=true)" for s in MILD_TO_STRONG),
    *_at(MILD_TO_STRONG, "rotation translation scale camera_angle"),
    # Faults seldom come alone: less light means a longer exposure, and dust settles where nobody focuses either.
    "night(severity=2) + motion_blur(severity=2)",
    "lens_dust(severity=2) + defocus_blur(severity=2)",
)

# The usual budget in each of two norms, by the strongest attack there is, beside what tells whether to believe it:
# one step, many steps, no gradients. Last the smallest changes, which show the accuracy at every budget.
_ATTACKS = (
    *("fgsm", "pgd", "adaptive", "square"),
    *("pgd(norm=l2)", "adaptive(norm=l2)", "square(norm=l2)"),
    *("fmn(norm=linf)", "ddn", "fmn(norm=l1)", "fmn(norm=l0)"),
)

_BUILTIN = {
    made.name: made
    for made in (
        Suite(
            "quick",
            "For every commit: common shifts at severity 3 and two attacks. What breaks at once, shows.",
            (
                *_at([3], "night defocus_blur motion_blur sensor_noise haze jpeg rotation occlusion"),
                *("pgd", "pgd(norm=l2)"),
            ),
        ),
        Suite(
            "standard",
            "For classifiers of photographs: the common shifts of every risk, and strong attacks.",
            (
                *_at(MILD_TO_STRONG, "night overexposed shadow defocus_blur motion_blur"),
                *_at(MILD_TO_STRONG, "sensor_noise resolution_loss white_balance_error haze rain snow"),
                *_at(MILD_TO_STRONG, "contrast saturation jpeg rotation translation occlusion"),
                *("pgd", "adaptive", "adaptive(norm=l2)"),
            ),
        ),
        Suite(
            "inspection",
            "For a camera that looks at parts: lighting, optics, sensor, dirt and position. No adversary.",
            _INSPECTION,
        ),
        Suite(
            "attacks",
            "For claims about adversaries: usual budgets in linf and l2, no gradients, smallest changes.",
            _ATTACKS,
        ),
        Suite(
            "full",
            "For a release or a paper: every shift at every severity, all of attacks, and AutoAttack.",
            (
                *(spec for shifts in FAMILIES.values() for spec in _at(EVERY, " ".join(shifts))),
                *(*_ATTACKS, "autoattack", "autoattack(norm=l2)"),
            ),
        ),
        *(
            Suite(
                name,
                "For comparison with published numbers: the 15 corruptions of that set at every severity.",
                tuple(f"{name}(corruption={corruption}, severity={s})" for corruption in MAIN for s in EVERY),
            )
            for name in PUBLISHED
        ),
    )
}


def suites(own: Mapping[str, SuiteConfig] | None = None) -> dict[str, Suite]:
    """All suites by name: one's own first, each with what it includes, then those built in.

    Args:
        own: the ``suites`` of a configuration.

    Raises:
        InputError: one's own has the name of one built in, has no condition, or includes itself.
        UnknownNameError: one includes a suite that there is not.
    """
    own = own or {}
    for name, given in own.items():
        if _builtin(name):
            raise InputError(f"the suite {name} is built in.", "Call yours otherwise.")
        if not (given.conditions or given.include):
            raise InputError(f"the suite {name} is empty.", "Give it conditions, or suites to include.")
    return {**{name: Suite(name, own[name].about, _whole(name, own, ())) for name in own}, **_BUILTIN}


def suite(name: str, own: Mapping[str, SuiteConfig] | None = None) -> list[str]:
    """The conditions of a suite, as specs.

    >>> suite("quick")[-2:]
    ['pgd', 'pgd(norm=l2)']

    Args:
        name: as for ``find_suite``.
        own: the ``suites`` of a configuration: ``load_config().config.suites``.

    Raises:
        InputError: as ``find_suite``.
    """
    return list(find_suite(name, own).conditions)


def find_suite(name: str, own: Mapping[str, SuiteConfig] | None = None) -> Suite:
    """The suite of a name.

    Args:
        name: of one built in, or of one's own; case, hyphens and underscores do not matter in those built in.
        own: the ``suites`` of a configuration.

    Raises:
        InputError: as ``suites``.
        UnknownNameError: there is none of that name.
    """
    known = suites(own)
    return known[_builtin(name) or _checked(name, known)]


def _whole(name: str, own: Mapping[str, SuiteConfig], above: tuple[str, ...]) -> tuple[str, ...]:
    """What a suite includes, then its own conditions, each once."""
    if built_in := _builtin(name):
        return _BUILTIN[built_in].conditions
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise InputError(f"the suite {name} includes itself: {circle}.", "Take one of them out.")
    given = own[_checked(name, [*own, *_BUILTIN])]
    included = [spec for other in given.include for spec in _whole(other, own, (*above, name))]
    return tuple(dict.fromkeys([*included, *given.conditions]))


def _builtin(name: str) -> str | None:
    plain = name.strip().lower().replace("-", "_")
    return plain if plain in _BUILTIN else None


def _checked(name: str, known: Iterable[str]) -> str:
    if name not in known:
        raise UnknownNameError("suite", name, known)
    return name
