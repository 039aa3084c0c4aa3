"""Text of runs, data and configurations in other formats: it stays text there, and cannot start anything.

Every function begins with ``plain``, so what it returns is one line. HTML has Jinja's autoescape.
"""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # needed to write Persian and Hindi, and harmless
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """Text without control characters, marks that turn its direction, and halves of characters."""
    return "".join(_plain_character(c) for c in text)


def _plain_character(c: str) -> str:
    if c in "\n\t":
        return " "
    hidden = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in _JOINERS
    return _REPLACEMENT if hidden else c


def short(text: str, most: int = 200) -> str:
    """The beginning of a text, and how much was left out; before it is escaped, so that no escape is cut."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def markdown(text: str) -> str:
    """For a paragraph or a table's cell of Markdown, but not for code in backticks, where no escape holds.

    No emphasis, link, image, HTML, code or mathematics begins in it, and on GitHub nobody is notified (``@name``)
    and nothing is linked (``#1``): a comment parts the sign from what follows.
    """
    line = plain(text).strip()
    line = re.sub(r"[\\`*_{}\[\]|~$^]|:(?=\S)", r"\\\g<0>", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("www.", r"www\.")
    line = re.sub(r"^(?:[-+=]|[0-9]+(?=[.)](?:\s|$)))", _not_at_the_start, line)
    return re.sub(r"[@#]", r"\\\g<0><!-- -->", line)


def _not_at_the_start(found: re.Match[str]) -> str:
    """A list or an underline would begin."""
    return f"{found[0]}\\" if found[0].isdecimal() else f"\\{found[0]}"


def csv_cell(text: str) -> str:
    """For a cell of CSV that a spreadsheet may open; the csv module still has to quote it.

    What would be read as a formula gets an apostrophe before it, also after a semicolon, which parts the cells in
    half of the world. For text alone: a negative number is no formula.
    """
    line = plain(text)
    return re.sub(r"(^|;)(\s*)([=+\-@＝＋－＠])", r"\1\2'\3", line)


def xml(text: str) -> str:
    """With only the characters that XML 1.0 allows; ``xml.etree`` escapes the others."""
    return re.sub("[\ufffe\uffff]", _REPLACEMENT, plain(text))


def annotation(text: str) -> str:
    """For the message of a workflow command of GitHub."""
    return plain(text).replace("%", "%25")


def annotation_property(text: str) -> str:
    """For the value of a property, such as the title, of a workflow command of GitHub."""
    return annotation(text).replace(":", "%3A").replace(",", "%2C")


def terminal(text: str) -> str:
    """For a terminal and the log of a CI job; as long as it was.

    No escape sequence, and no workflow command: GitHub's runner obeys ``::`` at the start of a line (and where a
    line starts is for who wraps it to say), and ``##[`` anywhere; Azure's obeys ``##vso[``.
    """
    line = re.sub("(?<=:):", "\N{RATIO}", plain(text))
    return re.sub(r"(##(?:vso)?)\[", r"\1(", line)
