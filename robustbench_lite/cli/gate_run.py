"""What ``rb gate`` does: reads rules and runs, judges, prints and writes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import typer
from pydantic import ValidationError

from robustbench_lite import console
from robustbench_lite.config.reading import load_config
from robustbench_lite.errors import InputError
from robustbench_lite.files import write_file
from robustbench_lite.gates.baselines import baselines_of, check_update, replace_baseline, to_update
from robustbench_lite.gates.gate import gate, gated
from robustbench_lite.gates.planning import POWER, plans
from robustbench_lite.gates.rule import GateSettings, Rule, Where
from robustbench_lite.gates.stored import GATE_FILE
from robustbench_lite.reports.annotations import style_of, workflow_commands
from robustbench_lite.reports.gate_summary import summary, unjudged_summary
from robustbench_lite.reports.gate_table import gate_table
from robustbench_lite.reports.junit import junit, unjudged_junit
from robustbench_lite.reports.plan_table import plan_table
from robustbench_lite.specs import parse_number


class Asked(NamedTuple):
    """What the options say about rules."""

    config: Path | None
    baseline: Path | None
    rule: Sequence[str]
    minimum: Sequence[str]
    maximum: Sequence[str]
    max_drop: Sequence[str]
    allow_demo: bool


class Rules(NamedTuple):
    """Rules, what they share, and the folder that their baselines are relative to."""

    rules: list[Rule]
    settings: GateSettings
    folder: Path | None
    source: str  # the file with rules, as " of rb.toml"; empty: there is none
    whole: bool  # whether they are all rules of it, and no others


class Targets(NamedTuple):
    """Where the verdict goes."""

    out: Path | None
    junit: Path | None
    summary: Path | None
    json: bool


Update = Literal["no", "passed", "always"]


def run_gate(runs: Sequence[Path], asked: Asked, to: Targets, *, update: Update = "no") -> None:
    """Judge, print, write ``gate.json`` and what else was asked for, and leave with the gate's exit code.

    The verdict of some rules, or of others than the file's, is not the run's: no ``gate.json``, unless asked for.
    With ``update`` the run takes the place of the baselines, at the end, if it passed, or always.
    """
    rules, settings, folder, source, whole = chosen(asked)
    _tell_of_own_baselines(rules, asked.baseline)
    baselines = to_update(rules, folder, asked.baseline) if update != "no" else []
    if update != "no":
        check_update(runs, baselines, settings)
    waiting = [rule for rule in rules if _awaits(rule, baselines, folder, asked.baseline)]
    rules = [rule for rule in rules if rule not in waiting]
    if not rules and baselines:
        return _unjudged(waiting, runs[0], baselines, to)
    general = None if asked.baseline in baselines and not Path(str(asked.baseline)).exists() else asked.baseline
    report = gate(list(runs), rules, settings, general, folder=folder)
    report.warnings.extend(f"{rule.id} was not judged: there was no baseline yet." for rule in waiting)
    document = report.model_dump_json(indent=2, by_alias=True) + "\n"
    target = to.out or (_folder(runs[0]) / GATE_FILE if whole and not waiting else None)
    if target is not None:
        write_file(target, document.encode())
    if to.junit is not None:
        write_file(to.junit, junit(report).encode(), "--junit")
    if to.summary is not None:
        write_file(to.summary, summary(report).encode(), "--summary")
    if to.json:
        console.print_json(json.loads(document))
    else:
        shown = console.stdout()
        shown.print(gate_table(report, shown.width))
        if target is not None:
            console.note(f"gate: {target}")
    if target is None:
        console.note(f"not kept in the run: it is not of all rules{source} (--out keeps it)")
    stream = sys.stderr if to.json else sys.stdout
    for line in workflow_commands(report, style_of(os.environ)):
        stream.write(f"{line}\n")
    if baselines and (report.verdict == "PASS" or update == "always"):
        for baseline in baselines:
            console.note(replace_baseline(_folder(runs[0]), baseline))
    elif baselines:
        console.note(f"baseline: left as it is, since the verdict is {report.verdict} (--force replaces it)")
    raise typer.Exit(report.exit_code)


def _unjudged(rules: Sequence[Rule], run: Path, baselines: Sequence[Path], to: Targets) -> None:
    """Make the first baselines, and write what was asked for: that nothing was judged."""
    words = "No rule was judged: there was no baseline yet."
    document = {
        "verdict": None,
        "exit_code": 0,
        "words": words,
        "runs": [str(run)],
        "rules": [r.id for r in rules],
    }
    if to.out is not None:
        write_file(to.out, (json.dumps(document, indent=2) + "\n").encode())
    if to.junit is not None:
        write_file(to.junit, unjudged_junit(rules, words).encode())
    if to.summary is not None:
        write_file(to.summary, unjudged_summary(rules, words).encode())
    if to.json:
        console.print_json(document)
    console.note("\n".join([*(replace_baseline(_folder(run), baseline) for baseline in baselines), words]))


def _tell_of_own_baselines(rules: Sequence[Rule], general: Path | None) -> None:
    for rule in rules if general is not None else ():
        if rule.baseline is not None:
            console.note(f"--baseline is not used for {rule.id}: the rule names its own, {rule.baseline}")


def _awaits(rule: Rule, baselines: Sequence[Path], folder: Path | None, general: Path | None) -> bool:
    """Whether a rule's baseline is still to be put there."""
    mine = baselines_of([rule], folder, general)
    return bool(baselines) and bool(mine) and not mine[0].exists()


def print_plan(runs: Sequence[Path], asked: Asked, margin: float | None, *, as_json: bool) -> None:
    """How many images every rule needs, as a table or as a JSON document."""
    rules, settings, folder, *_ = chosen(asked)
    _tell_of_own_baselines(rules, asked.baseline)
    for rule in rules:
        for bound, limit in (("max_drop", rule.max_drop), ("max_rise", rule.max_rise)):
            if margin is not None and limit is not None and margin > limit:
                console.note(f"--margin is more than {bound} = {limit:g} of {rule.id}: no change is assumed there")
    found = gated(list(runs), rules, settings, asked.baseline, folder=folder)
    planned = plans(found.judged, settings, margin)
    if as_json:
        console.print_json({"power": POWER, "plans": [one.model_dump(mode="json") for one in planned]})
        return
    shown = console.stdout()
    if planned:
        shown.print(plan_table(planned))
    for one in found.report.results:
        if one.verdict == "ERROR":
            console.note(f"warning: {one.rule.id} cannot be planned: {one.words} {one.remedy}")


def chosen(asked: Asked) -> Rules:
    """The rules of the options, or else those of the file.

    Raises:
        InputError: a rule that is not there, or that cannot be read.
    """
    loaded = load_config(asked.config)
    settings = loaded.config.gates
    if asked.allow_demo:
        settings = settings.model_copy(update={"allow_demo": True})
    bounds = (("min", asked.minimum), ("max", asked.maximum), ("max_drop", asked.max_drop))
    rules = [_rule(bound, text) for bound, texts in bounds for text in texts]
    folder = None if loaded.path is None else loaded.path.parent
    for name in asked.rule:
        loaded.rule(name)
    if not rules or asked.rule:
        rules += [rule for rule in loaded.config.gate if not asked.rule or rule.id in asked.rule]
    known = list(loaded.config.gate)
    return Rules(rules, settings, folder, f" of {loaded.path}" if known else "", not known or rules == known)


def _rule(bound: str, text: str) -> Rule:
    """``accuracy@night(severity=3)=0.9`` as a rule."""
    name, equals, number = text.rpartition("=")
    metric, _, condition = name.partition("@")
    if not equals or not metric.strip():
        flag = "--" + bound.replace("_", "-")
        raise InputError(f"cannot read {flag} {text!r}.", f'Write it like {flag} "accuracy@night(*)=0.9".')
    if name.count("(") > name.count(")"):  # the last = is one of the condition's
        flag = "--" + bound.replace("_", "-")
        raise InputError(f"in {flag} {text!r} the =NUMBER is missing.", f'Write {flag} "{text}=0.9".')
    limit = parse_number(number)
    identity = f"{bound} {text}"
    try:
        return Rule.model_validate(
            {
                "id": identity,
                "metric": metric.strip(),
                "where": Where(condition=condition.strip() or None),
                bound: limit,
            }
        )
    except ValidationError as error:
        raise InputError(f"--{identity} is no rule: {error.errors()[0]['msg']}.") from None


def _folder(run: Path) -> Path:
    return run.parent if run.name == "run.json" else run
