"""Markdown of a gate, as a reader of Markdown that is not ours sees it."""

import re

import pytest
from made_gates import EACH, HOSTILE, hostile, match, report, result
from markdown_it import MarkdownIt

from robustbench_lite.reports.gate_summary import MARK, MOST_BYTES, summary
from robustbench_lite.reports.rules import decision
from robustbench_lite.reports.safe import plain

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def cells(text):
    """Texts of the cells, table by table."""
    tables = []
    for token in READER.parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and tables:
            seen = "".join(inner.content for inner in token.children if inner.type == "text")
            if tables[-1] and token.level > 3:
                tables[-1][-1].append(seen)
    return tables


def test_the_first_line_is_the_verdict():
    lines = summary(EACH).splitlines()
    assert lines[0] == (
        "**! ERROR: Not to be released: it was not judged. 1 of 4 binding rules could not be applied: fog. "
        "A rule that was not applied does not count as kept. Also: 1 more broken, 1 more undecided. "
        "Not kept, but meant as a warning only: worst-class.**"
    )
    assert lines[1] == MARK


def test_the_tables():
    rules, numbers = cells(summary(EACH))
    assert [row[:2] for row in rules[1:]] == [
        ["! ERROR", "fog"],
        ["✗ FAIL", "pgd-floor"],
        ["? INCONCLUSIVE", "night"],
        ["✓ PASS", "clean"],
        ["✗ FAIL (only a warning)", "worst-class"],
    ]
    assert len({len(row) for row in rules}) == 1
    passed = dict(zip(rules[0], rules[-2], strict=True))
    assert passed["found"] == "93.00 %"
    assert passed["n"] == "1000"
    assert [row[3] for row in numbers[1:]] == ["night(severity=3)"] * 4


def test_what_did_not_pass_and_what_to_do():
    text = summary(EACH)
    assert "- ✗ **pgd-floor**: 60.0 % of 1000 images" in text
    assert "_Agreed with the line._ **Next:** Run it again" in text
    assert "**clean**" not in text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (report(result("a"), result("b")), "All 2 rules are kept."),
        (
            report(result("a"), result("b", "FAIL", level="warn")),
            "Its one rule is kept: a. Not kept, but meant as a warning only: b.",
        ),
        (
            report(result("b", "FAIL", level="warn")),
            "All rules only warn. Not kept, but meant as a warning only: b.",
        ),
        (
            report(result("a"), result("b", "FAIL"), result("c", "INCONCLUSIVE")),
            "1 of 3 rules is broken: b. Also: 1 more undecided.",
        ),
        (
            report(*(result(f"r{i}", "FAIL") for i in range(7))),
            "7 of 7 rules are broken: r0, r1, r2, r3, r4 and 2 more.",
        ),
        (report(verdict="ERROR"), "There was no rule to apply."),
    ],
)
def test_the_sentence(found, words):
    assert decision(found)[1] == words


@pytest.mark.parametrize("most", [1, 100])
def test_hostile_text(most):
    text = summary(hostile(most))
    html = READER.render(text)
    allowed = {"p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "details", "summary"}
    assert set(re.findall(r"<([a-z]+)", html)) <= allowed
    assert "href" not in html
    assert text.count(MARK) == 1
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert not re.search("@(?!<!-- -->)", text)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    rules, _ = cells(text)
    assert rules[1][1].startswith(re.sub(r"\s+", " ", plain(HOSTILE))[:60])
    assert {len(row) for row in rules} == {7}
    assert len(text.encode()) <= MOST_BYTES


def test_it_is_cut_and_says_so():
    found = report(*(result(f"rule {i}", "FAIL", matches=[match("FAIL")] * 10) for i in range(2000)))
    for most in (MOST_BYTES, 2**20, 4000):
        text = summary(found, most)
        assert most - 1000 < len(text.encode()) <= most
        left = int(re.search(r"\n\n(\d+) more lines did not fit: they are in gate.json.\n$", text)[1])
        assert left > 100
        assert text.count("<details>") == text.count("</details>")
        assert MARK in text


def test_all_of_a_small_one_is_there():
    assert "more lines" not in summary(EACH)
