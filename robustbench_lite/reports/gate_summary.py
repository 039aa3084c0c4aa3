"""A gate's verdicts as Markdown, for a pull request and for the summary of a CI job's step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.verdict import GateReport, GateResult
from robustbench_lite.reports.rules import SHAPES, Row, decision, rows
from robustbench_lite.reports.safe import markdown, short

MARK = "<!-- rb-gate -->"  # by which a bot finds the comment that it wrote before
MOST_BYTES = 65_000  # a comment on GitHub holds 65,536 characters; the summary of a step 1 MiB
_HEAD = "| | rule | asked | limit | found | interval | n |\n|---|---|---|---|--:|:-:|--:|"


def summary(report: GateReport, most_bytes: int = MOST_BYTES) -> str:
    """The document: the verdict in one sentence, a table of the rules, what to do, and the rest folded.

    It has at most ``most_bytes`` bytes of UTF-8; what is left out is counted at its end.
    """
    found = rows(report)
    told = markdown(" ".join(decision(report)))
    lines = [f"**{SHAPES[report.verdict]} {report.verdict}: {told}**", MARK, ""]
    sections = [
        *([_HEAD] if found else []),
        *(_table_row(row) for row in found),
        *_paragraphs(found),
        *([""] if report.warnings else []),
        *(f"- warning: {_cell(warning, 500)}" for warning in report.warnings),
        *_details(report),
    ]
    return _cut(lines, sections, most_bytes)


def unjudged_summary(rules: Sequence[Rule], words: str) -> str:
    """The same where no rule was judged: why, in one sentence, and which they are."""
    return "\n".join([f"**{markdown(words)}**", MARK, "", *(f"- {_cell(rule.id)}" for rule in rules)]) + "\n"


def _cell(text: str, most: int = 200) -> str:
    return markdown(short(text, most))


def _table_row(row: Row) -> str:
    told = f"{SHAPES[row.verdict]} {row.verdict}" + (" (only a warning)" if row.only_told else "")
    texts = (row.id, row.asked, row.limit, row.value, row.interval, row.n)
    return f"| {told} | " + " | ".join(map(_cell, texts)) + " |"


def _paragraphs(found: Iterable[Row]) -> Iterator[str]:
    """What did not pass, and what to do next."""
    for i, row in enumerate(row for row in found if row.verdict != "PASS"):
        if i == 0:
            yield ""
        note = f" _{_cell(row.note, 500)}_" if row.note.strip() else ""
        remedy = f" **Next:** {_cell(row.remedy, 1000)}" if row.remedy else ""
        yield f"- {SHAPES[row.verdict]} **{_cell(row.id)}**: {_cell(row.words, 1000)}{note}{remedy}"


def _details(report: GateReport) -> Iterator[str]:
    """Folded: every match, the runs and the settings. Each line stands alone, so that it can be cut anywhere."""
    settings = report.settings
    yield ""
    yield "<details><summary>All numbers</summary>"
    yield ""
    for run, run_id in zip(report.runs, report.run_ids, strict=True):
        yield f"- run {_cell(run)}, id {_cell(run_id)}"
    for name, values in (
        ("baseline", report.baseline_ids),
        ("weights SHA-256", report.weights_sha256),
        ("images SHA-256", report.manifest_sha256),
    ):
        if values:
            yield f"- {name}: {', '.join(map(_cell, values))}"
    yield (
        f"- confidence {settings.confidence:g}, correction {settings.correction}, one share by "
        f"{settings.proportion}, judged {_cell(report.created)}"
    )
    if any(result.matches for result in report.results):
        yield ""
        yield "| | rule | run | condition | n | |\n|---|---|---|---|--:|---|"
    for result in report.results:
        yield from _match_rows(result)


def _match_rows(result: GateResult) -> Iterator[str]:
    for match in result.matches:
        texts = (result.rule.id, match.run, match.condition, str(match.n), short(match.words, 500))
        yield f"| {SHAPES[match.verdict]} | " + " | ".join(_cell(text, 600) for text in texts) + " |"


def _cut(head: list[str], sections: list[str], most_bytes: int) -> str:
    room = most_bytes - sum(len(line.encode()) + 1 for line in head) - 100  # for the last two lines
    kept: list[str] = []
    for line in sections:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    left = len(sections) - len(kept)
    text = "\n".join([*head, *kept]) + "\n"
    if any(line.startswith("<details>") for line in kept):
        text += "\n</details>\n"
    return text + (f"\n{left} more lines did not fit: they are in gate.json.\n" if left else "")
