"""Which part of the page is evidence for what laws and standards on the robustness of neural networks ask for.

Sources: Regulation (EU) 2024/1689, Article 15; ISO/IEC TR 24029-1:2021, ISO/IEC 24029-2:2023 and ISO/IEC DIS
24029-3 (draft of December 2025), by their tables of contents and scopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from robustbench_lite.reports.view import Values, View

ACT, OVERVIEW = "AI Act, Article 15", "ISO/IEC TR 24029-1:2021"
FORMAL, STATISTICAL = "ISO/IEC 24029-2:2023", "ISO/IEC DIS 24029-3 (draft, 2025)"


class Entry(NamedTuple):
    """One thing that is asked for: where, what, and what of it is here; empty where nothing is."""

    text: str
    place: str
    asked: str
    here: str


def _measured(view: View) -> bool:
    return bool(view.results)


def _shifted(view: View) -> bool:
    return any(len(c.parameters) > len(c.threat_model) and c.n for c in view.record.conditions)


def _attacked(view: View) -> bool:
    return any(c.threat_model and c.n for c in view.record.conditions)


def _guarded(view: View) -> bool:
    return view.record.detector is not None


def _published(view: View) -> bool:
    return any("_c(" in c.spec for c in view.record.conditions)


def _never(_: View) -> bool:
    return False


_ENTRIES: tuple[tuple[str, str, str, Callable[[View], bool], str], ...] = (
    (
        ACT,
        "(1)",
        "an appropriate level of accuracy",
        _measured,
        "sections 1, 3 and 5; what is appropriate, the rules say",
    ),
    (ACT, "(1)", "consistent performance throughout the lifecycle", _never, ""),
    (
        ACT,
        "(3)",
        "levels of accuracy and metrics for the instructions of use",
        _measured,
        "section 3, with intervals",
    ),
    (
        ACT,
        "(4)",
        "resilience to errors, faults and inconsistencies of the environment",
        _shifted,
        "sections 3 and 4, simulated",
    ),
    (
        ACT,
        "(4)",
        "redundancy, such as fail-safe plans",
        _guarded,
        "section 7: a detector that holds images back; nothing else",
    ),
    (ACT, "(4)", "feedback loops of systems that go on learning", _never, ""),
    (
        ACT,
        "(5)",
        "adversarial examples, model evasion",
        _attacked,
        "sections 3 and 8, for the attacks named there",
    ),
    (ACT, "(5)", "data poisoning, model poisoning", _never, ""),
    (ACT, "(5)", "confidentiality attacks", _never, ""),
    (OVERVIEW, "clause 5", "statistical methods", _measured, "sections 3 to 5"),
    (OVERVIEW, "clause 6", "formal methods", _never, ""),
    (OVERVIEW, "clause 7", "empirical methods: benchmarking", _published, "section 3, published sets"),
    (OVERVIEW, "clause 7", "empirical methods: field trials, a posteriori testing", _never, ""),
    (OVERVIEW, "annex A", "data perturbation", _shifted, "sections 3 and 4; parameters in section 9"),
    (FORMAL, "", "proof of stability or of a maximum stable space", _never, ""),
    (STATISTICAL, "", "performance drops", _shifted, "section 3, paired, with intervals; section 4"),
    (STATISTICAL, "", "measuring adversarial robustness", _attacked, "section 8: upper bounds"),
    (
        STATISTICAL,
        "",
        "data that represent a dimension of robustness",
        _shifted,
        "simulated from the images in section 9",
    ),
    (STATISTICAL, "", "separability, reliability engineering, curvature", _never, ""),
)


def values(views: list[View]) -> Values:
    """The entries, each with what of it is here."""
    return {
        "entries": [
            Entry(text, place, asked, _here(views, test, here)) for text, place, asked, test, here in _ENTRIES
        ]
    }


def _here(views: list[View], test: Callable[[View], bool], here: str) -> str:
    marks = [view.mark for view in views if test(view)]
    if not marks:
        return ""
    return here if len(marks) == len(views) else f"{here} (runs {', '.join(marks)} only)"
