"""Section 2 of the page: what stands against the numbers, and what they say nothing about."""

from __future__ import annotations

from robustbench_lite.names import FAMILIES
from robustbench_lite.records import ConditionRecord
from robustbench_lite.reports import trust
from robustbench_lite.reports.view import Values, View
from robustbench_lite.sweeps import without_severity

FEW = 30  # images of a class
_NORMS = ("linf", "l2", "l1")
_NAMED = 10


def values(view: View) -> Values:
    """Two lists of sentences."""
    return {"warnings": view.warnings, "untested": untested(view)}


def untested(view: View) -> list[str]:
    """What the run says nothing about, one sentence each."""
    done = [c for c in view.record.conditions if c.n > 0]
    found = [*_attacks(view, done), *_shifts(done), *_detector(view, done), *_images(view)]
    found += _checks(view)
    return [*found, "Objects of no known class were not shown to the network."]


def _attacks(view: View, done: list[ConditionRecord]) -> list[str]:
    norms = {threat.norm for c in done for threat in c.threat_model}
    if not norms:
        return ["No attack was run: nothing is known about images that somebody changed on purpose."]
    missing = [norm for norm in _NORMS if norm not in norms]
    found = []
    if missing:
        found.append(f"No attack was run with a change measured in {_either(missing)}.")
    return found


def _shifts(done: list[ConditionRecord]) -> list[str]:
    used = {str(part.get("name", "")) for c in done for part in c.parameters} | {_first_name(c) for c in done}
    shifted = [c for c in done if len(c.parameters) > len(c.threat_model)]  # every attack has a threat model
    if not shifted:
        return ["No shift was run: nothing is known about other light, lenses or cameras."]
    absent = [family for family, members in FAMILIES.items() if not used & set(members)]
    found = [f"No shift was run for these risks: {', '.join(absent)}."] if absent else []
    levels: dict[str, int] = {}
    for condition in shifted:
        name = without_severity(condition)
        if name is not None:
            levels[name] = levels.get(name, 0) + 1
    once = [name for name, n in levels.items() if n == 1]
    if once:
        found.append(f"At one severity only, so that nothing is known of milder or stronger ones: {_some(once)}.")
    return found


def _first_name(condition: ConditionRecord) -> str:
    return condition.spec.partition("(")[0].strip()


def _detector(view: View, done: list[ConditionRecord]) -> list[str]:
    if view.record.detector is None:
        return ["No outlier detector stood beside the network: no image was held back as unlike the known ones."]
    if not any("evade" in c.spec for c in done):
        return ["No attack knew the detector: nothing is known about somebody who wants to get past it."]
    return []


def _checks(view: View) -> list[str]:
    checks = [check for _, found in trust.sections(view.run) for check in found]
    skipped = sum(check.status == "not run" for check in checks)
    if not skipped:
        return []
    return [f"{skipped} of {len(checks)} trust checks did not run: section {view.mark}8 says which, and why."]


def _images(view: View) -> list[str]:
    counts = {entry["class_name"]: entry["n"] for result in view.results[:1] for entry in result["classes"]}
    names = view.record.data.class_names
    none = [name for name in names if name not in counts]
    few = [f"{name} ({counts[name]})" for name in names if 0 < counts.get(name, 0) < FEW]
    found = []
    if none and counts:
        found.append(f"No image of {len(none)} of {len(names)} classes: {_some(none)}.")
    if few:
        found.append(
            f"Few images of {len(few)} of {len(names)} classes: {_some(few)}. With fewer than {FEW}, a class "
            "without a single error may still be wrong on every tenth image."
        )
    if view.record.data.n_groups is None:
        found.append(
            "Which images show the same part or come from the same lot was not stated (--group): the intervals "
            "take every image for one of its own, and are too narrow if that is not so."
        )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
