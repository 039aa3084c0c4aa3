"""Putting a run in the place of a baseline."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from robustbench_lite.errors import InputError
from robustbench_lite.gates.rule import RELATIVE, GateSettings, Rule
from robustbench_lite.gates.trusting import of_state
from robustbench_lite.runs import read_record, read_run

_NOT_COPIED = ("gate.json", "report.html")  # they are about the run as a candidate


def baselines_of(rules: Sequence[Rule], folder: Path | None, general: Path | None) -> list[Path]:
    """The baselines of rules about changes, each once. What ``mce`` is a share of is none: it is to stay.

    Args:
        rules: those that are judged.
        folder: what their paths are relative to; None: the current one.
        general: the baseline of rules that name none.
    """
    found = []
    for rule in rules:
        if rule.max_drop is None and rule.max_rise is None:
            continue
        if rule.baseline is not None:
            found.append(Path(rule.baseline) if folder is None else folder / rule.baseline)
        elif general is not None:
            found.append(general)
    return list(dict.fromkeys(found))


def to_update(rules: Sequence[Rule], folder: Path | None, general: Path | None) -> list[Path]:
    """The baselines that a run is to take the place of: those of rules about changes, else the general one.

    What ``mce`` is a share of stays.
    """
    found = baselines_of(rules, folder, general)
    if found or general is None:
        return found
    references = [
        general if rule.baseline is None else (folder or Path()) / rule.baseline
        for rule in rules
        if rule.metric in RELATIVE
    ]
    return [] if general.resolve() in [path.resolve() for path in references] else [general]


def check_update(runs: Sequence[Path], baselines: Sequence[Path], settings: GateSettings) -> None:
    """Raise InputError unless there is one whole run, and in the baselines' places are runs or nothing.

    A run of the demo network is refused, too, unless the settings allow it.
    """
    if len(runs) != 1:
        raise InputError(f"{len(runs)} runs cannot be one baseline.", "Give --update-baseline one run.")
    if not baselines:
        raise InputError(
            "no rule has a baseline to update.",
            "Give --baseline, or name it in a rule with max_drop or max_rise; what mce is a share of stays.",
        )
    obstacle = of_state(read_run(runs[0]).record, settings, str(runs[0]))
    if obstacle is not None:
        raise InputError(f"{obstacle.what}: it is no baseline.", obstacle.remedy)
    for baseline in baselines:
        if baseline.exists():
            read_record(baseline)


def replace_baseline(run: Path, baseline: Path) -> str:
    """Put a copy of a run where a baseline is; a link is turned to the run instead.

    A folder that was there is kept beside it as ``NAME.before``, or with a number behind that.

    Returns:
        What was replaced, in a sentence.

    Raises:
        InputError: the place cannot be written; the old baseline is then as it was.
    """
    before = read_record(baseline).id if baseline.exists() else None
    if baseline.exists() and baseline.resolve() == run.resolve():
        return f"baseline: {baseline} is this run already"
    mark = uuid.uuid4().hex[:8]
    draft, old = baseline.parent / f".{baseline.name}.{mark}.new", _place_for_old(baseline)
    try:
        baseline.parent.mkdir(parents=True, exist_ok=True)
        if baseline.is_symlink():
            draft.symlink_to(os.path.relpath(run.resolve(), baseline.parent.resolve()), target_is_directory=True)
            os.replace(draft, baseline)
        else:
            shutil.copytree(run, draft, ignore=shutil.ignore_patterns(*_NOT_COPIED))
            _exchange(draft, baseline, old)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise InputError(f"cannot write {baseline}: {error.strerror}.", "Choose another baseline.") from None
    told = f"baseline: {baseline} is now {read_record(run).id}"
    if before is None:
        return told
    return f"{told}, instead of {before}" + (f", which is kept as {old}" if old.exists() else "")


def _place_for_old(baseline: Path) -> Path:
    names = (f"{baseline.name}.before{'' if k == 1 else f'-{k}'}" for k in count(1))
    return next(place for name in names if not os.path.lexists(place := baseline.parent / name))


def _exchange(draft: Path, place: Path, old: Path) -> None:
    """A folder is not replaced in one step: the old one is put aside, and back if the second step fails."""
    aside = place.exists()
    if aside:
        os.replace(place, old)
    try:
        os.replace(draft, place)
    except OSError:
        if aside:
            os.replace(old, place)
        raise
