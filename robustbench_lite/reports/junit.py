"""A gate's verdicts as JUnit XML, which GitHub's actions, GitLab and Jenkins show.

The elements and their order are those of the schema that Jenkins checks files against. GitLab shows the text of
a failure and not its message, so the text says all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.verdict import GateReport, GateResult
from robustbench_lite.reports.rules import asked, limit
from robustbench_lite.reports.safe import short, xml

_MOST_LINES = 1000  # of one rule
_LONGEST = 2000  # characters of a sentence


def junit(report: GateReport) -> str:
    """The document: a test case per rule.

    FAIL is a failure, ERROR an error. INCONCLUSIVE is a failure of that type, for nothing was shown to hold. What
    stops no build (a rule of level warn, an inconclusive one where that is put up with) is skipped and says why:
    green it is not, and red would contradict the exit code.
    """
    outcomes = [_outcome(report, result) for result in report.results]
    unexplained = report.exit_code != 0 and not {"failure", "error"} & set(outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name="rb gate",
        tests=str(len(outcomes) + unexplained),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error") + unexplained),
        skipped=str(outcomes.count("skipped")),
        time="0",
        timestamp=xml(report.created[:19]),  # the schema knows no time zone
    )
    _properties(suite, report)
    for result, outcome in zip(report.results, outcomes, strict=True):
        _case(suite, result, outcome)
    if unexplained:  # no rules at all: a suite without a test would be green
        case = ElementTree.SubElement(suite, "testcase", classname="rb.gate", name="gate", time="0")
        words = f"{report.verdict}: no rule was judged."
        ElementTree.SubElement(case, "error", type=report.verdict, message=words).text = words
    return _document(suite)


def unjudged_junit(rules: Sequence[Rule], words: str) -> str:
    """The same where no rule was judged: every one is skipped, and says why."""
    count, now = str(len(rules)), datetime.now(UTC).isoformat()[:19]
    suite = ElementTree.Element(
        "testsuite", name="rb gate", tests=count, failures="0", errors="0", skipped=count, time="0", timestamp=now
    )
    for rule in rules:
        classname = f"rb.gate.{xml(rule.metric)}"
        case = ElementTree.SubElement(suite, "testcase", classname=classname, name=_text(rule.id), time="0")
        ElementTree.SubElement(case, "skipped", message=words).text = words
    return _document(suite)


def _document(suite: ElementTree.Element) -> str:
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _outcome(report: GateReport, result: GateResult) -> str:
    if result.verdict == "PASS":
        return ""
    tolerated = result.verdict == "INCONCLUSIVE" and report.settings.inconclusive == "warn"
    if result.rule.level == "warn" or tolerated:
        return "skipped"
    return "error" if result.verdict == "ERROR" else "failure"


def _properties(suite: ElementTree.Element, report: GateReport) -> None:
    settings = report.settings
    values = [
        ("verdict", report.verdict),
        ("exit_code", str(report.exit_code)),
        ("schema_version", str(report.schema_version)),
        ("created", report.created),
        ("confidence", f"{settings.confidence:g}"),
        ("correction", settings.correction),
        ("proportion", settings.proportion),
        *_numbered("run", report.runs),
        *_numbered("run_id", report.run_ids),
        *_numbered("baseline_id", report.baseline_ids),
        *_numbered("weights_sha256", report.weights_sha256),
        *_numbered("manifest_sha256", report.manifest_sha256),
        *_numbered("warning", report.warnings),
    ]
    inside = ElementTree.SubElement(suite, "properties")
    for name, value in values:
        ElementTree.SubElement(inside, "property", name=name, value=_text(value))


def _numbered(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{name}.{i}", value) for i, value in enumerate(values, 1)]


def _case(suite: ElementTree.Element, result: GateResult, outcome: str) -> None:
    rule = result.rule
    classname = f"rb.gate.{xml(rule.metric)}"
    case = ElementTree.SubElement(suite, "testcase", classname=classname, name=_text(rule.id), time="0")
    if outcome:
        words = _text(result.words)
        told = ElementTree.SubElement(case, outcome)
        told.text = "\n".join(
            [
                f"{result.verdict}: {words}",
                f"asked: {_text(asked(rule))} {_text(limit(rule))}",
                *([_text(rule.note)] if rule.note else []),
                *([f"next: {_text(result.remedy)}"] if result.remedy else []),
            ]
        )
        if outcome == "skipped":  # its one attribute is the message
            told.set("message", f"{result.verdict}, as a warning only: {words}")
        else:
            told.attrib.update(type=result.verdict, message=words)
    lines = [
        f"{match.verdict} {_text(match.run)} {_text(match.condition)} (n {match.n}): {_text(match.words)}"
        for match in result.matches[:_MOST_LINES]
    ]
    if len(result.matches) > _MOST_LINES:
        lines.append(f"{len(result.matches) - _MOST_LINES} more are in gate.json.")
    ElementTree.SubElement(case, "system-out").text = "\n".join(lines) or _text(result.words)


def _text(text: str) -> str:
    return xml(short(text, _LONGEST))
