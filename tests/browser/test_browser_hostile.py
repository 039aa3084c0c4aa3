"""Hostile text in every place of a run stays text in a browser, with the page's policy and without it."""

import re

import pytest
from full_page import full_run

from robustbench_lite.reports.html import html_report

MARKUP = [
    "<script>window.hacked = alert('hacked')</script>",
    "\"><img src=x onerror='window.hacked = 1'>",
    "'><svg onload=alert(1)>",
    "</style></title></script></dialog><script>window.hacked = 1</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
]
HOSTILE = {
    "markup": "".join(MARKUP),
    "turned markup": "".join(reversed(MARKUP)),
    "hidden": "gnp.\u202eexe\u2066 \u200f\u061c nul\x00 bell\x07 escape\x1b[31m\r\n::error::a\n=cmd|%A1",
    "long": "x" * 10_000,
}
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def poisoned(run, text):
    """The run with this text wherever a run, its data or its configuration can say something."""
    record = run.record
    record.model.spec = record.data.spec = record.data.split = record.device = record.dtype = text
    record.id = record.created = record.command = record.code_sha256 = text
    record.model.notes, record.data.notes = [text], [text]
    record.data.class_names = [f"{text}{i}" for i in range(len(record.data.class_names))]
    record.data.skipped = [{"file": text, "reason": text}]
    record.data.n_skipped = 1
    record.argv, record.packages, record.git = ["rb", text], {text: text}, {"commit": text, "dirty": True}
    record.config, record.origins = {text: {"deep": [text]}}, {text: text}
    record.suites, record.merged = {text: [text]}, [text]
    for example in record.examples:
        example.file = example.sample_id = example.how = text
    for condition in record.conditions:
        condition.warnings, condition.values = [text], {text: 1.0}
        for check in condition.checks:
            check.seen = check.advice = check.command = check.name = text
    assert record.detector is not None
    record.detector.folder, record.detector.members = text, {text: 1.0}
    record.detector.without_gradient = [text]
    for point in record.breaking_points:
        point.notes = [text]
    rows = run.samples
    rows["file"] = text
    return run


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(open_page, tmp_path, text):
    source = html_report(poisoned(full_run(tmp_path / "run", examples=1), text))
    assert not _HIDDEN.search(source)
    # Without the policy nothing but the escaping is between the text and the browser.
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    assert bare != source
    for name, content in (("policy.html", source), ("bare.html", bare)):
        file = tmp_path / name
        file.write_text(content, encoding="utf-8")
        opened = open_page(file)
        page = opened.page
        page.wait_for_timeout(50)  # an onerror comes late
        opened.assert_quiet()
        assert page.locator("main").count() == 1
        assert page.locator("img[src='x'], svg[onload], a[href^='javascript']").count() == 0
        assert not _HIDDEN.search(page.inner_text("body"))
        # A name of 10,000 characters must not make the page wider than the screen.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_policy_alone_stops_what_got_in(open_page, tmp_path):
    source = html_report(full_run(tmp_path / "run", examples=1))
    file = tmp_path / "report.html"
    got_in = (
        '<script>window.hacked = 1</script><img src="data:," onerror="window.hacked = 1">'
        '<img src="https://example.invalid/x.png"><a href="javascript:window.hacked = 1" id="go">go</a></main>'
    )
    file.write_text(source.replace("</main>", got_in), encoding="utf-8")
    opened = open_page(file)
    opened.page.click("#go")
    opened.page.wait_for_timeout(50)
    assert opened.page.evaluate("typeof window.hacked") == "undefined"
    assert opened.dialogs == []
    assert any("Content Security Policy" in said for said in opened.said)
