"""Hostile text stays text, by other people's readers of each format."""

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from robustbench_lite.reports import safe

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>' `code` ``",
    "::error title=owned::all is well",
    "\n::error::second line",
    "##[add-mask]x ##vso[task.complete result=Succeeded]",
    "\x1b[31mred\x1b]8;;http://evil\x07link",
    "\u202egnp.exe\u2066",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "a;=1+1",
    "| a | b |\n|---|---|",
    "# head",
    "- item",
    "12) item",
    "===",
    "---",
    "***bold*** _it_ ~~no~~ $x^2$",
    "[a](javascript:alert(1)) ![b](http://x/y.png) <http://x.y>",
    "http://evil.example www.evil.example @everyone #1 org/name#2",
    "&lt;b&gt; &amp; &#64;",
    "back\\slash \\",
    "]]> <!-- --> <![CDATA[",
    "\ud800 half, \ufffe no character, \x00 nothing",
    "    four spaces",
]
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(),
    st.text(alphabet="\\`*_{}[]<>&~|$^:@#-+=1.)(!w;% \n\x1b\ud800\ufffe\u202e"),
)


def told(tokens):
    """What a reader of Markdown would see, and every kind of element that there is."""
    seen, kinds = "", set()
    for token in tokens:
        for inner in token.children or []:
            if inner.type == "text":
                seen += inner.content
            elif not (inner.type == "html_inline" and inner.content == "<!-- -->"):
                kinds.add(inner.type)
        kinds.add(token.type)
    return seen, kinds


@given(texts)
def test_markdown_in_a_paragraph(text):
    seen, kinds = told(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(safe.markdown(text)))
    assert seen.strip() == safe.plain(text).strip()
    assert kinds <= {"paragraph_open", "inline", "paragraph_close"}


@given(texts)
def test_markdown_in_a_table(text):
    page = f"| a | b |\n|---|---|\n| {safe.markdown(text)} | last |\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    cells = [token.children for token in tokens if token.type == "inline"][2:]
    assert len(cells) == 2
    seen = "".join(inner.content for inner in cells[0] if inner.type == "text")
    assert seen.strip() == safe.plain(text).strip()
    assert {inner.type for inner in cells[0]} <= {"text", "html_inline"}
    assert all(inner.content == "<!-- -->" for inner in cells[0] if inner.type == "html_inline")


@pytest.mark.parametrize("sign", ["@", "#", "http://", "https://", "www."])
def test_nothing_is_linked_and_nobody_notified_on_github(sign):
    """Its own additions to Markdown look for these texts as they are."""
    assert f"{sign}name" not in safe.markdown(f"see {sign}name")


def test_readable_names_stay_readable():
    assert safe.markdown("night(severity=3) + pgd(eps=8/255)") == "night(severity=3) + pgd(eps=8/255)"
    assert safe.terminal("file.py:Class(a=1)") == "file.py:Class(a=1)"


@given(texts)
def test_csv_holds_no_formula(text):
    """Read with a comma, as it was written, and with a semicolon, as in half of the world."""
    stream = io.StringIO()
    csv.writer(stream).writerow(["first", safe.csv_cell(text), "last"])
    (row,) = csv.reader(io.StringIO(stream.getvalue()))
    assert len(row) == 3
    assert row[1].replace("'", "") == safe.plain(text).replace("'", "")
    cells = [cell for line in csv.reader(io.StringIO(stream.getvalue()), delimiter=";") for cell in line]
    assert [cell for cell in [row[1], *cells] if re.match(r"\s*[=+\-@]", cell)] == []


@given(texts)
def test_xml_is_read_back(text):
    element = ElementTree.Element("a", {"name": safe.xml(text)})
    element.text = safe.xml(text)
    again = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
    assert again.text == (element.text or None)
    assert again.get("name") == element.get("name")


def obeyed(line):
    """What GitHub's runner does with a line of a log: actions/runner, ActionCommand.cs, TryParseV2, TryParse."""
    if line.lstrip().startswith("::") and "::" in line.lstrip()[2:]:
        return True
    return "##[" in line and "]" in line[line.index("##[") :]


def unescaped(text, pairs):
    for token, escape in pairs:
        text = text.replace(escape, token)
    return text


@given(texts, texts)
def test_annotations_are_one_command(title, message):
    line = f"::error title={safe.annotation_property(title)}::{safe.annotation(message)}"
    assert len(line.splitlines()) == 1
    head, _, data = line.removeprefix("::").partition("::")  # as the runner parts it
    (pair,) = head.removeprefix("error ").split(",")
    data_pairs = [("\r", "%0D"), ("\n", "%0A"), ("%", "%25")]
    assert unescaped(
        pair.removeprefix("title="), [*data_pairs[:2], (":", "%3A"), (",", "%2C"), data_pairs[2]]
    ) == (safe.plain(title))
    assert unescaped(data, data_pairs) == safe.plain(message)


@given(texts, st.integers(0, 20))
def test_a_log_obeys_no_name(text, cut):
    """Wherever the line is wrapped."""
    line = safe.terminal(text)
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line
    assert not obeyed(line[cut:])
    assert "##vso[" not in line
    changed = {(was, now) for was, now in zip(safe.plain(text), line, strict=True) if was != now}
    assert changed <= {(":", "\N{RATIO}"), ("[", "(")}


def test_short_says_what_it_left_out():
    assert safe.short("a" * 200) == "a" * 200
    assert safe.short("a" * 10_000) == "a" * 200 + "… (9800 more characters)"
