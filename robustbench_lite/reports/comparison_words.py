"""What a comparison says, in words and cells: used by every output of it."""

from __future__ import annotations

import string
from typing import NamedTuple

from robustbench_lite.comparison import ALPHA, Compared, Comparison, Difference, Other
from robustbench_lite.reports.words import number, percent
from robustbench_lite.runs import Run

MARK = "✱"  # beside what stands after the correction

OTHERS = {
    "worst_class": "worst class",
    "ece": "calibration error",
    "caught": "errors flagged",
    "false_alarm_rate": "false alarms",
    "accuracy_passed": "accuracy on what is let through",
    **{f"median_{norm}": f"median {norm}" for norm in ("linf", "l2", "l1", "l0")},
}


class Named(NamedTuple):
    """A run with the letter that stands for it."""

    letter: str
    run: Run

    @property
    def words(self) -> str:
        """Which network it is about, and where it is."""
        return f"{self.run.record.model.spec} ({self.run.path})"


def letter(place: int) -> str:
    """A, B, …, Z, AA, …: short names for columns."""
    rest, last = divmod(place, 26)
    return (letter(rest - 1) if rest else "") + string.ascii_uppercase[last]


def named(comparison: Comparison) -> list[Named]:
    """All runs with their letters, the baseline first."""
    runs = [comparison.baseline, *(one.run for one in comparison.compared)]
    return [Named(letter(i), run) for i, run in enumerate(runs)]


def title(comparison: Comparison) -> str:
    """What was compared, on which images."""
    data = comparison.baseline.record.data
    return f"{len(comparison.compared) + 1} runs on {data.spec}, {data.split} split"


def sentences(comparison: Comparison) -> list[str]:
    """The outcome: one sentence per run."""
    names = named(comparison)
    return [_sentence(one, names[i].letter, names[0].letter) for i, one in enumerate(comparison.compared, start=1)]


def _sentence(one: Compared, mine: str, base: str) -> str:
    found = one.differences
    if not found:
        return f"{mine} and {base} have no condition in common."
    of = f"{len(found)} condition{'s' * (len(found) != 1)}"
    worse, better = (len(_beyond(one, sign)) for sign in (-1, 1))
    if not worse and not better:
        return f"Chance may explain all differences between {mine} and {base} ({of})."
    told = f"worse than {base} on {worse}" if worse else f"better than {base} on {better}"
    return f"{mine} is {told}{f' and better on {better}' if worse and better else ''} of {of}, beyond chance."


def strongest(comparison: Comparison) -> list[str]:
    """Of every run the largest fall and the largest rise, as far as they are beyond chance."""
    found = []
    for name, one in zip(named(comparison)[1:], comparison.compared, strict=True):
        for sign, word in ((-1, "falls most"), (1, "rises most")):
            if beyond := _beyond(one, sign):
                most = max(beyond, key=lambda d: abs(d.difference))
                found.append(
                    f"{name.letter} {word} under {most.condition}: {points(most.difference)} points "
                    f"({interval(most)}), {most.broken} broken, {most.mended} mended."
                )
    return found


def _beyond(one: Compared, sign: int) -> list[Difference]:
    return [d for d in one.differences if d.beyond_chance and d.difference * sign > 0]


def correction(comparison: Comparison) -> str:
    """How many differences there are, and how many of them chance does not explain."""
    return (
        f"{comparison.beyond_chance} of {comparison.tested} differences are beyond chance (exact McNemar test, "
        f"Holm's correction for all of them, {100 * ALPHA:g} %)"
    )


def key(comparison: Comparison) -> list[str]:
    """How the columns are to be read, a sentence each."""
    grouped = comparison.baseline.record.data.n_groups
    found = [
        "difference: points of accuracy against the baseline on the same images, with its 95 % interval",
        f"{MARK}: {correction(comparison)}",
        "broken: images that were right in the baseline and are wrong now; mended: the other way",
    ]
    if grouped is not None:
        found.append(f"intervals and tests for {grouped} groups")
    return found


def accuracy(value: float, n: int) -> str:
    """As per cent; below some thousand images a second digit would only look precise."""
    return percent(value, 2 if n >= 5000 else 1)


def points(value: float, digits: int = 1) -> str:
    """A difference of shares in points, with its sign and no minus before 0.0."""
    text = f"{round(100 * value, digits) + 0:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text.strip("+−")


def interval(found: Difference) -> str:
    """The ends of the difference's interval, in points."""
    digits = 2 if found.n >= 5000 else 1
    return f"{points(found.ci_low, digits)} to {points(found.ci_high, digits)}"


def difference(found: Difference) -> str:
    """The difference in points, with the mark where it is beyond chance."""
    return points(found.difference, 2 if found.n >= 5000 else 1) + (f" {MARK}" if found.beyond_chance else "")


def p_value(value: float) -> str:
    """A p value with two digits, or that it is very small."""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def notes(comparison: Comparison) -> list[str]:
    """Everything that makes the runs differ beside their networks, and conditions that only one has."""
    names, found = named(comparison), []
    base = names[0]
    for name, one in zip(names[1:], comparison.compared, strict=True):
        pair = f"{name.letter} and {base.letter}: "
        found += [pair + warning for warning in one.warnings]
        for who, only in ((name, one.only_run), (base, one.only_baseline)):
            if only:
                listed = ", ".join(only[:10]) + (f" and {len(only) - 10} more" if len(only) > 10 else "")
                found.append(f"{pair}only {who.letter} has {listed}.")
    if any(run.record.demo for _, run in names):
        found.append("Demonstration: network and data come with this package.")
    return found


def other(found: Other) -> tuple[str, str]:
    """A number beside the accuracy as it was and as it is: sizes and the calibration error as numbers."""
    written = number if found.name == "ece" or found.name.startswith("median_") else percent
    return written(found.before), written(found.after)
