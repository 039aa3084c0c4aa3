"""Rules against runs: the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from robustbench_lite.errors import ExitCode, InputError
from robustbench_lite.gates.comparing import Comparison, comparisons, left_out
from robustbench_lite.gates.deciding import Judged, judge, result, worst
from robustbench_lite.gates.metrics import check_rule
from robustbench_lite.gates.planning import needed_images
from robustbench_lite.gates.rule import GateSettings, Rule
from robustbench_lite.gates.tables import Table
from robustbench_lite.gates.trusting import unchecked
from robustbench_lite.gates.verdict import GateReport, GateResult, Verdict
from robustbench_lite.runs import Run, read_run


class Gated(NamedTuple):
    """The verdict, and what it is made from."""

    report: GateReport
    judged: list[Judged]


def gate(
    runs: Run | Path | str | Sequence[Run | Path | str],
    rules: Rule | Sequence[Rule],
    settings: GateSettings | None = None,
    baseline: Run | Path | str | None = None,
    *,
    folder: Path | None = None,
) -> GateReport:
    """Judge runs by rules.

    Every rule is judged on each run that has what it is about; one that no run has is an ERROR.

    Args:
        runs: one or several, or their folders.
        rules: one or several.
        settings: confidence and what is allowed; None: the defaults.
        baseline: for rules that need one and name none.
        folder: what relative baselines of rules are relative to; None: the current folder.

    Raises:
        InputError: no rule, an unknown metric, a run that cannot be read, the same run twice.
    """
    return gated(runs, rules, settings, baseline, folder=folder).report


def gated(
    runs: Run | Path | str | Sequence[Run | Path | str],
    rules: Rule | Sequence[Rule],
    settings: GateSettings | None = None,
    baseline: Run | Path | str | None = None,
    *,
    folder: Path | None = None,
) -> Gated:
    """The same with the comparisons, from which ``planning.plans`` tells how many images they need."""
    settings, rules = settings or GateSettings(), [rules] if isinstance(rules, Rule) else list(rules)
    given = [runs] if isinstance(runs, Run | Path | str) else list(runs)
    tables = [Table(_opened(run)) for run in given]
    _check(rules, tables)
    baselines = _Baselines(baseline, folder)
    found = {
        rule.id: [
            *(c for table in tables for c in comparisons(rule, table, baselines.of(rule), settings)),
            *left_out(rule, tables, baselines.of(rule)),
        ]
        for rule in rules
    }
    every: list[Comparison] = [one for those in found.values() for one in those]
    judged = [Judged(*pair) for pair in zip(every, judge(every, settings), strict=True)]
    by_rule = {rule.id: [one for one in judged if one.comparison.rule is rule] for rule in rules}
    results = [result(rule, by_rule[rule.id], _needed(by_rule[rule.id], settings)) for rule in rules]
    report = _report(results, tables, baselines.opened, settings)
    report.warnings.extend(_unchecked(every, tables, baselines))
    return Gated(report, judged)


def _unchecked(judged: Sequence[Comparison], tables: Sequence[Table], baselines: _Baselines) -> list[str]:
    """A warning for every run and baseline of which attacks were judged that no trust check was made of."""
    by_path = {str(table.run.path): table for table in tables}
    specs: dict[str, tuple[Table, set[str]]] = {}
    for one in judged:
        if one.estimate is None:
            continue
        compared = [by_path[one.run], baselines.of(one.rule) if one.change is not None else None]
        for table in (table for table in compared if table is not None):
            specs.setdefault(str(table.run.path), (table, set()))[1].update(one.subject.conditions)
    told = [unchecked(table.record, sorted(found), path) for path, (table, found) in specs.items()]
    return [warning for warning in told if warning]


def _needed(judged: Sequence[Judged], settings: GateSettings) -> int | None:
    """Images that the inconclusive ones of a rule take, if that is known of all of them."""
    found = [
        needed_images(one.comparison, settings).needed for one in judged if one.match.verdict == "INCONCLUSIVE"
    ]
    known = [n for n in found if n is not None]
    return max(known) if known and len(known) == len(found) else None


def _verdict(results: Sequence[GateResult]) -> Verdict:
    """That of the rules of level fail together; where there is none of these, nothing was decided."""
    return (
        "INCONCLUSIVE" if _only_warns(results) else worst([r.verdict for r in results if r.rule.level == "fail"])
    )


def _only_warns(results: Sequence[GateResult]) -> bool:
    return all(one.rule.level == "warn" for one in results)


def exit_code(results: Sequence[GateResult], settings: GateSettings) -> ExitCode:
    """0 if all rules of level fail pass, 3 if one fails or could not be judged, 4 if one is inconclusive."""
    verdict = _verdict(results)
    if verdict in ("FAIL", "ERROR"):
        return ExitCode.GATE_FAILED
    stopped = verdict == "INCONCLUSIVE" and settings.inconclusive == "fail" and not _only_warns(results)
    return ExitCode.GATE_INCONCLUSIVE if stopped else ExitCode.DONE


def _report(
    results: list[GateResult], tables: Sequence[Table], baselines: Mapping[str, Table], settings: GateSettings
) -> GateReport:
    return GateReport(
        verdict=_verdict(results),
        exit_code=int(exit_code(results, settings)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=[str(table.run.path) for table in tables],
        run_ids=[table.record.id for table in tables],
        baseline_ids=[table.record.id for table in baselines.values()],
        weights_sha256=[table.record.model.weights_sha256 for table in tables],
        manifest_sha256=[table.record.data.manifest_sha256 for table in tables],
        settings=settings,
        results=results,
        warnings=[*_allowed(settings), *_warnings(results, tables, baselines)],
    )


def _opened(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else read_run(run)


def _check(rules: Sequence[Rule], tables: Sequence[Table]) -> None:
    if not rules:
        raise InputError("there is no rule.", "Write [[gate]] into rb.toml, or give --min or --max-drop.")
    if not tables:
        raise InputError("there is no run.", "Give the folder that rb eval printed.")
    for rule in rules:
        check_rule(rule)
    ids = [rule.id for rule in rules]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise InputError(f"two rules have the id {twice[0]!r}.", "Give each its own.")
    seen: dict[str, Table] = {}
    for table in tables:
        first = seen.setdefault(table.record.id, table)
        if first is not table:
            raise InputError(
                f"{table.run.path} and {first.run.path} are the same run: both have the id {table.record.id}.",
                "Give each run once.",
            )


class _Baselines:
    """Baselines, each read once."""

    def __init__(self, general: Run | Path | str | None, folder: Path | None) -> None:
        self._general, self._folder = general, folder
        self.opened: dict[str, Table] = {}

    def of(self, rule: Rule) -> Table | None:
        wanted: Run | Path | str | None = self._general
        if rule.baseline is not None:
            wanted = rule.baseline if self._folder is None else self._folder / rule.baseline
        if wanted is None:
            return None
        name = str(wanted.path if isinstance(wanted, Run) else wanted)
        if name not in self.opened:
            self.opened[name] = Table(_opened(wanted))
        return self.opened[name]


def _allowed(settings: GateSettings) -> list[str]:
    """What the settings put up with: whoever signs the verdict must see it."""
    found = ["allow_demo is set: runs of the demo network are judged as if they were yours."] * settings.allow_demo
    if settings.allow_triggered:
        names = ", ".join(settings.allow_triggered)
        found.append(
            f"allow_triggered is set: numbers count although these trust checks may have triggered: {names}."
        )
    return found


def _warnings(results: Sequence[GateResult], tables: Sequence[Table], baselines: Mapping[str, Table]) -> list[str]:
    found = []
    if _only_warns(results):
        found.append("No rule can stop a build: all have level warn.")
    for table in tables:
        data = table.record.data
        if data.n_skipped:
            found.append(f"{table.run.path}: {data.n_skipped} of {data.n_asked} images could not be used.")
        for baseline in baselines.values():
            found += _differences(table, baseline)
    return found


def _differences(table: Table, baseline: Table) -> list[str]:
    mine, theirs = table.record, baseline.record
    pairs = [
        ("seeds", mine.seed, theirs.seed),
        ("rounding to 8 bits", mine.as_8bit, theirs.as_8bit),
        ("code that made the rows", mine.code_sha256, theirs.code_sha256),
    ]
    return [
        f"{table.run.path} and its baseline {baseline.run.path} differ in {what}: a change may come from that."
        for what, one, other in pairs
        if one != other and one != "" and other != ""
    ]
