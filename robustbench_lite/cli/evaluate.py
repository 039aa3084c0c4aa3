"""What ``rb attack``, ``rb shift`` and ``rb eval`` share: from options to specs, run, print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from robustbench_lite import console, registry
from robustbench_lite.cli.foreseeing import foresee
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.progress import watched
from robustbench_lite.cli.running import Attacking, Running
from robustbench_lite.errors import ExitCode, InputError, UnknownNameError
from robustbench_lite.references import is_reference
from robustbench_lite.sharding import WHOLE, Shard, parse_shard

if TYPE_CHECKING:
    from robustbench_lite.breaking import Until
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.runs import Run
    from robustbench_lite.types import Condition

_OWN = (
    "Your own network and images: rb {} --model net.safetensors --data folder:PATH (train one: rb train --help)."
)


def with_arguments(kind: str, text: str, extra: str) -> str:
    """A spec with more arguments; what the spec says itself goes first, and twice is refused by the parser."""
    head, bracket, rest = text.partition("(")
    if not is_reference(head) and registry.canonical_name(kind, head.strip()) is None:
        raise UnknownNameError(kind, head.strip(), registry.names(kind))
    if not extra:
        return text
    if not bracket:
        return f"{head}({extra})"
    inside = rest.rstrip().removesuffix(")").strip()
    return f"{head}({inside}, {extra})" if inside else f"{head}({extra})"


def run_evaluation(
    command: str,
    common: Common,
    running: Running,
    conditions: Sequence[str],
    *,
    optional: Collection[str] = (),
    suites: Mapping[str, Sequence[str]] | None = None,
    remarks: Callable[[Dataset], Sequence[str]] = lambda dataset: (),
    ranges: Sequence[str] = (),
    tries: int | None = None,
    baseline: Run | None = None,
    until: Until | None = None,
) -> None:
    """Prepare, run and print.

    ``optional`` conditions are left out if the images lack the colour they need; ``suites`` are the named lists
    that the conditions come from; ``remarks`` says what else is to
    be noted of the conditions on these images; published sets are compared with the ``baseline``; ``until`` is
    that of the runner; ``ranges`` are searched for their worst case.
    """
    if until is None:  # which has no place for one
        running = replace(running, detector=running.detector or common.configuration.run.detector)
    part = _part(running.shard, searched=until is not None or bool(ranges), baseline=baseline)
    foresee(common, running)
    # A wrong name is told before the network is loaded.
    made: list[Condition] = [registry.make(text) for text in conditions]
    for text, condition in zip(conditions, made, strict=True):
        if command != "eval" and condition.kind != command:
            raise InputError(f"{text} is no {command}.", f"Write rb eval --on {text!r}.")
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the network and the images", quiet=common.quiet):
        from robustbench_lite import runner

        if_colour = [condition for text, condition in zip(conditions, made, strict=True) if text in optional]
        searched = {"ranges": ranges} if tries is None else {"ranges": ranges, "tries": tries}
        prepared = runner.prepare(
            common.inputs(),
            made,
            if_colour=if_colour,
            detector=running.detector,
            suites=suites,
            shard=part,
            **searched,
        )
        if baseline is not None:
            _check_baseline(baseline, prepared)
        prepared = replace(prepared, notes=(*prepared.notes, *remarks(prepared.dataset)))
    if not common.quiet:
        of_data = () if prepared.inputs.demo else prepared.dataset.notes
        for line in [*prepared.classifier.notes, *of_data, *prepared.notes]:
            console.note(f"note: {line}")
    if common.dry_run:
        _print_plan(prepared, until, as_json=common.json, quiet=common.quiet)
        return
    with watched(quiet=common.quiet) as told:
        run = runner.run(
            prepared,
            command=command,
            out=common.out,
            as_8bit=isinstance(running, Attacking) and running.as_8bit,
            probes=not (isinstance(running, Attacking) and running.no_checks),
            save_images=running.save_images,
            resume=running.resume,
            until=until,
            on_progress=told,
        )
    print_run(run, as_json=common.json, quiet=common.quiet, baseline=baseline)
    if prepared.inputs.demo and not common.quiet:
        console.note(_OWN.format(command))
    if run.record.status == "interrupted":
        what = "what was finished is" if run.record.data.n_used else "nothing was finished: no image is"
        more = ". The same with --resume goes on." if run.record.unfinished else ""
        console.note(f"interrupted; {what} in {run.path}{more}")
        raise typer.Exit(ExitCode.INTERRUPTED)


def _part(text: str | None, *, searched: bool, baseline: Run | None) -> Shard:
    """The shard that was asked for.

    Raises:
        InputError: there is no such part, or what was asked for needs all images at once.
    """
    if text is None:
        return WHOLE
    if searched:
        raise InputError("--search looks at all images together: it has no --shard.", "Leave it out.")
    if baseline is not None:
        raise InputError("--baseline is for whole runs.", "Merge the shards, then: rb show RUN --baseline RUN.")
    return parse_shard(text)


def _check_baseline(baseline: Run, prepared: Any) -> None:
    """Before anything is computed: may the published sets be compared?"""
    from robustbench_lite.corruption_error import check_baseline
    from robustbench_lite.names import PUBLISHED

    data, specs = prepared.dataset, [registry.spec(condition) for condition in prepared.conditions]
    compared = [spec for spec in specs if spec.partition("(")[0] in PUBLISHED]
    check_baseline(baseline, data.manifest_hash, data.image_shape, prepared.inputs.seed, compared)


def print_run(run: Run, *, as_json: bool, quiet: bool, baseline: Run | None = None) -> None:
    """The comparison table with its warnings, or the JSON document; published sets against the baseline."""
    from robustbench_lite.corruption_error import suite_errors
    from robustbench_lite.metrics import summarise
    from robustbench_lite.reports import trust
    from robustbench_lite.reports.breaking import breaking_tables
    from robustbench_lite.reports.budgets import detail_tables
    from robustbench_lite.reports.document import document
    from robustbench_lite.reports.guard import guard_tables
    from robustbench_lite.reports.search_table import search_tables
    from robustbench_lite.reports.suites import suite_tables
    from robustbench_lite.reports.sweep_table import sweep_tables
    from robustbench_lite.reports.table import comparison_table
    from robustbench_lite.sweeps import coarse

    if as_json:
        console.print_json(document(run, baseline))
        return
    suites, out = suite_errors(run, baseline), console.stdout()
    shown = coarse(run)
    results = summarise(shown)
    out.print(comparison_table(shown, out.width))
    details = [*search_tables(run, results), *sweep_tables(shown, results), *detail_tables(shown, results)]
    for table in [
        *guard_tables(shown, results, out.width),
        *breaking_tables(run),
        *details,
        *suite_tables(suites),
    ]:
        out.print(table)
    for condition in run.record.conditions:
        for warning in condition.warnings:
            console.note(f"warning: {condition.spec}: {warning}")
    for sentence, check in trust.triggered(run):
        console.note(f"warning: {sentence} {check.advice} Run: {check.command}")
    if run.record.detector is not None and run.record.detector.n_seen:
        console.note(
            f"warning: the detector knows {run.record.detector.n_seen} of the images: it was fitted to them."
        )
    if run.record.data.n_skipped:
        first = run.record.data.skipped[0]["file"]
        console.note(f"warning: {run.record.data.n_skipped} images could not be read (first: {first}).")
    if told := trust.summary(run):
        sys.stdout.write(f"checks: {told}\n")
    sys.stdout.write(f"run: {run.path}\n")
    if not quiet:
        console.note(f"As a page: rb report {run.path}")


def _print_plan(prepared: Any, until: Until | None, *, as_json: bool, quiet: bool) -> None:
    from robustbench_lite.estimating import plan
    from robustbench_lite.reports.plan import plan_table, time_told

    with console.busy("timing a few images", quiet=quiet):
        found = plan(prepared, until)
    document = {
        "model": prepared.classifier.spec,
        "data": prepared.dataset.spec,
        "n": found.n,
        "conditions": found.conditions,
        "seconds": found.seconds,
        "expected_seconds": found.expected_seconds,
        "timed": found.timed,
    }
    if as_json:
        console.print_json(document)
    else:
        console.stdout().print(plan_table(document))
        sys.stdout.write(time_told(found.conditions, found.timed) + "\n")
