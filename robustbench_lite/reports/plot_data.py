"""What the pictures for papers and slides are drawn from: lines with their 95 % intervals, in panels."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import InputError
from robustbench_lite.intervals import proportion_interval
from robustbench_lite.records import ConditionRecord
from robustbench_lite.reports.words import plain
from robustbench_lite.runs import Run
from robustbench_lite.selective import risk_coverage
from robustbench_lite.specs import without
from robustbench_lite.sweeps import sweeps

KINDS = ("severity", "eps", "tradeoff", "risk-coverage")
MOST_PANELS = 24
_COVERAGES = 40  # of a curve
_FEWEST = 20  # images that a risk is told of

Wanted = Callable[[str], bool]
Numbers = tuple[float, ...]


def everything(condition: str) -> bool:
    """All conditions are wanted."""
    return True


class NothingToPlotError(InputError):
    """The runs have nothing of the kind; the remedy is the command that makes it."""


class Line(NamedTuple):
    """One curve, or one point. Accuracies and risks are shares from 0 to 1."""

    label: str
    look: int  # colour, marker and line style
    x: Numbers
    y: Numbers
    low: Numbers  # ends of the 95 % interval of y
    high: Numbers
    x_low: Numbers = ()  # and of x, where that is an estimate too
    x_high: Numbers = ()
    dashed: bool = False


class Panel(NamedTuple):
    """One pair of axes."""

    title: str
    lines: list[Line]
    x_label: str


class Plot(NamedTuple):
    """One picture."""

    kind: str
    title: str
    note: str  # a line below the title
    y_label: str
    panels: list[Panel]


def severity_plot(runs: Sequence[Run], wanted: Wanted = everything) -> Plot:
    """Accuracy against severity: a panel per shift, a line per run.

    Shifts with at least two severities above 0; severity 0 is the clean images.

    Raises:
        NothingToPlotError: no run has such a shift.
    """
    panels: dict[str, list[Line]] = {}
    for i, (label, run) in enumerate(_labelled(runs)):
        for sweep in sweeps(run, fine=True):
            levels = [level for level in sweep.levels if level.severity == 0 or wanted(level.condition)]
            if sum(level.severity > 0 for level in levels) >= 2:
                line = Line(
                    label,
                    i,
                    tuple(level.severity for level in levels),
                    tuple(level.accuracy for level in levels),
                    tuple(level.ci_low for level in levels),
                    tuple(level.ci_high for level in levels),
                )
                panels.setdefault(sweep.shift, []).append(line)
    found = [Panel(shift, lines, "severity") for shift, lines in panels.items()]
    return _plot("severity", runs, "Accuracy against severity", "accuracy", found)


def eps_plot(runs: Sequence[Run], wanted: Wanted = everything) -> Plot:
    """Accuracy against eps: of attacks for the smallest change, and of attacks that ran at several eps.

    One run: a panel per norm, a line per attack. Several: a panel per attack, a line per run.

    Raises:
        NothingToPlotError: no run has such an attack.
    """
    several, panels = len(runs) > 1, dict[tuple[str, str], list[Line]]()
    looks: dict[str, int] = {}
    for i, (label, run) in enumerate(_labelled(runs)):
        for attack, norm, points in _budgets(run, wanted):
            look = i if several else looks.setdefault(attack, len(looks))
            x, y, low, high = (tuple(column) for column in zip(*points, strict=True))
            line = Line(label if several else attack, look, x, y, low, high)
            panels.setdefault((attack if several else norm, norm), []).append(line)
    found = [Panel(title, lines, f"eps ({norm}, images in 0 to 1)") for (title, norm), lines in panels.items()]
    return _plot("eps", runs, "Accuracy against eps", "accuracy", found)


def tradeoff_plot(runs: Sequence[Run], wanted: Wanted | None = None) -> Plot:
    """Accuracy under a condition against clean accuracy: a panel per condition, a point per run.

    Args:
        runs: each a point.
        wanted: which conditions; None: all attacks with a budget.

    Raises:
        NothingToPlotError: no run has such a condition, or none has clean images.
    """
    panels: dict[str, list[Line]] = {}
    for i, (label, run) in enumerate(_labelled(runs)):
        clean = next((c for c in run.record.conditions if c.kind == "clean" and c.n), None)
        for condition in run.record.conditions if clean else ():
            bounded = bool(condition.threat_model) and not _minimal(condition)
            chosen = bounded if wanted is None else wanted(condition.spec)
            if clean and condition.n and condition.kind != "clean" and chosen:
                x, x_low, x_high = _accuracy(run, clean.spec)
                y, low, high = _accuracy(run, condition.spec)
                line = Line(label, i, (x,), (y,), (low,), (high,), (x_low,), (x_high,))
                panels.setdefault(condition.spec, []).append(line)
    found = [Panel(spec, lines, "accuracy on clean images") for spec, lines in panels.items()]
    return _plot("tradeoff", runs, "Accuracy under a condition against clean accuracy", "accuracy", found)


def risk_coverage_plot(runs: Sequence[Run], wanted: Wanted = everything) -> Plot:
    """The share of errors among the images that are kept, by the detector's score and by the confidence.

    A panel per condition; a solid line per run by its detector, a dashed one beside it by the network's
    confidence, from the coverage of 20 images on. The interval is that of the errors among so many images, the
    order taken as given.

    Raises:
        NothingToPlotError: no run has such a condition.
    """
    specs = [[c.spec for c in run.record.conditions if c.n and wanted(c.spec)] for run in runs]
    panels: dict[str, list[Line]] = {spec: [] for one in specs for spec in one}
    for spec in list(panels)[:MOST_PANELS]:
        for i, ((label, run), has) in enumerate(zip(_labelled(runs), specs, strict=True)):
            panels[spec] += _risks(run, spec, label, i) if spec in has else []
    found = [Panel(spec, lines, "coverage") for spec, lines in panels.items()]
    return _plot("risk-coverage", runs, "Risk against coverage", "errors among those kept", found)


def _risks(run: Run, spec: str, label: str, look: int) -> list[Line]:
    rows = run.rows(["correct", "confidence", "outlier", "group"], [spec])
    wrong = 1 - rows["correct"].to_numpy(int)
    groups = None if run.record.data.n_groups is None else rows["group"].to_numpy()
    scores = [("confidence", -np.nan_to_num(rows["confidence"].to_numpy(float)))]
    if rows["outlier"].notna().all():
        scores.insert(0, ("detector", rows["outlier"].to_numpy(float)))
    lines: list[Line] = []
    for name, score in scores:
        order, risks, n = np.argsort(score, kind="stable"), risk_coverage(score, wrong), len(wrong)
        kept = np.unique(np.linspace(min(_FEWEST, n), n, _COVERAGES).astype(int))
        ends = [proportion_interval(wrong[order[:k]], None if groups is None else groups[order[:k]]) for k in kept]
        lines.append(
            Line(
                f"{label}, by {name}" if label else f"by {name}",
                look if label else len(lines),
                tuple((kept / n).tolist()),
                tuple(risks[kept - 1].tolist()),
                tuple(end.low for end in ends),
                tuple(end.high for end in ends),
                dashed=name == "confidence" and len(scores) > 1,
            )
        )
    return lines


def _budgets(run: Run, wanted: Wanted) -> list[tuple[str, str, list[tuple[float, float, float, float]]]]:
    """Attack, norm, and eps, accuracy and the ends of its interval at every budget."""
    found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for condition in run.record.conditions:
        if not condition.n or not wanted(condition.spec) or len(condition.threat_model) != 1:
            continue
        threat = condition.threat_model[0]
        if condition.curve:
            points = [(p.eps, p.accuracy, p.ci_low, p.ci_high) for p in condition.curve]
            found[condition.spec, threat.norm] = points
        elif condition.kind == "attack" and threat.eps is not None and not threat.minimal:
            attack = _without_eps(condition.spec)
            if attack is not None:
                found.setdefault((attack, threat.norm), []).append((threat.eps, *_accuracy(run, condition.spec)))
    clean = [c.spec for c in run.record.conditions if c.kind == "clean" and c.n]
    curves = []
    for (attack, norm), points in found.items():
        distinct = sorted({p[0]: p for p in points}.values())
        if len(distinct) >= 2 and distinct[0][0] > 0 and clean:
            distinct.insert(0, (0.0, *_accuracy(run, clean[0])))
        if sum(p[0] > 0 for p in distinct) >= 2:
            curves.append((attack, norm, distinct))
    return curves


def _without_eps(spec: str) -> str | None:
    """What an attack at several budgets has in common; None for one whose budgets are in its parts."""
    try:
        attack = without(spec, "eps")
    except InputError:
        return None
    return None if attack == spec else attack


def _accuracy(run: Run, spec: str) -> tuple[float, float, float]:
    rows = run.rows(["correct", "group"], [spec])
    correct = rows["correct"].to_numpy()
    groups: npt.NDArray[np.object_] | None = None
    if run.record.data.n_groups is not None:
        groups = rows["group"].to_numpy()
    return (float(correct.mean()), *proportion_interval(correct, groups))


def _minimal(condition: ConditionRecord) -> bool:
    return any(threat.minimal for threat in condition.threat_model)


def _labelled(runs: Sequence[Run]) -> list[tuple[str, Run]]:
    """Runs with short names that differ; one run alone needs none."""
    if len(runs) == 1:
        return [("", runs[0])]
    names = [_network(run) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name}, {plain(run.path.name)}" for name, run in zip(names, runs, strict=True)]
    if len({run.record.data.manifest_sha256 for run in runs}) > 1:
        names = [f"{name}, on {plain(run.record.data.spec)}" for name, run in zip(names, runs, strict=True)]
    cut = [shortened(name, 44) for name in names]
    return [
        (f"{name} ({i + 1})" if cut.count(name) > 1 else name, run)
        for i, (name, run) in enumerate(zip(cut, runs, strict=True))
    ]


def _network(run: Run) -> str:
    """Its spec without the folders."""
    return plain(run.record.model.spec).replace("\\", "/").rsplit("/", 1)[-1]


def shortened(text: str, most: int) -> str:
    """Both ends of a text that is too long: names often differ in the last letters."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def _plot(kind: str, runs: Sequence[Run], title: str, y_label: str, panels: list[Panel]) -> Plot:
    if not panels:
        raise NothingToPlotError(*_missing(kind, runs))
    record = runs[0].record
    told = [_network(runs[0])] if len(runs) == 1 else []
    if len({run.record.data.manifest_sha256 for run in runs}) == 1:
        told.append(
            f"{shortened(plain(record.data.spec), 50)}, {record.data.split} split, n = {record.data.n_used}"
        )
    told.append("95 % intervals")
    unfinished = sum(run.record.status != "done" for run in runs)
    if unfinished:
        told.append(f"{unfinished} of {len(runs)} runs not finished" if len(runs) > 1 else "not finished")
    if any(run.record.demo for run in runs):
        told.append("demonstration")
    if len(panels) > MOST_PANELS:
        told.append(f"{MOST_PANELS} of {len(panels)} shown")
    # What belongs together stays on one line.
    note = " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in told)
    return Plot(kind, title, note, y_label, panels[:MOST_PANELS])


def _missing(kind: str, runs: Sequence[Run]) -> tuple[str, str]:
    """What is missing, and the command that makes it."""
    record = runs[0].record
    model, data = (shlex.quote(shortened(plain(text), 200)) for text in (record.model.spec, record.data.spec))
    inputs = "" if record.demo else f" --model {model} --data {data}"
    return {
        "severity": (
            "no run has a shift at two severities or more, among the conditions that are asked for.",
            f"Make one: rb shift --lighting night{inputs}",
        ),
        "eps": (
            "no run has an attack at two eps or more, or one for the smallest change, among those asked for.",
            f"Make one: rb attack --method fmn{inputs}",
        ),
        "tradeoff": (
            "no run has an attack with a budget, or a condition that is asked for.",
            f"Make one: rb attack --method pgd{inputs}; or choose a shift with --condition.",
        ),
        "risk-coverage": ("no run has a condition that is asked for.", "See their conditions with rb show."),
    }[kind]
