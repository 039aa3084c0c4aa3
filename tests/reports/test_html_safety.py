"""The page asks nothing of the network and of Python, and lets nothing in."""

import base64
import hashlib
import re
import subprocess
import sys

import pytest
from made_gates import HOSTILE, hostile
from pages import Page

from robustbench_lite.config.schema import ReportConfig
from robustbench_lite.reports.html import html_report
from robustbench_lite.reports.words import plain


def test_the_policy_allows_style_and_script_of_the_page_and_nothing_else(make_run):
    source = html_report(make_run())
    page = Page(source)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (text,) = page.text(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert page.all("script") == [{}]
    assert len(page.text("script")[0].encode()) <= 4096
    assert not page.all("link")
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
    assert "http:" not in source
    assert "https:" not in source
    assert len(source) < 1_000_000


NAMES = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}",
    "gnp.\u202eexe\u2066",
    "nul\x00 bell\x07 escape\x1b[31m",
    "&amp; </style></title>",
    "half\udc80",
]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_stay_text(make_run, name):
    made = make_run(examples=1)
    record = made.record
    record.data.class_names = [name] * 10
    record.data.spec = record.model.spec = record.data.split = record.device = name
    record.data.skipped = [{"file": name, "reason": name}]
    record.model.notes, record.argv, record.packages = [name], ["rb", name], {name: name}
    for example in record.examples:
        example.file = name
    source = html_report(made)
    source.encode("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", source)
    page, harmless = Page(source), Page(html_report(make_run_like(made)))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]
    assert plain(name) in "".join(page.text("bdi"))
    assert all(plain(name) in image["alt"] for image in page.all("img"))


def make_run_like(made):
    """The same run with a name that does no harm."""
    text = made.record.model_copy(deep=True)
    text.data.class_names = ["a"] * 10
    text.data.spec = text.model.spec = text.data.split = text.device = "a"
    text.data.skipped = [{"file": "a", "reason": "a"}]
    text.model.notes, text.argv, text.packages = ["a"], ["rb", "a"], {"a": "a"}
    for example in text.examples:
        example.file = "a"
    return made.replace(record=text)


def test_a_hostile_spec_stays_text_and_draws_no_curve(make_run):
    spec = "<b>(severity=1) & 'x"
    conditions = [("clean", "clean", None, [], 0.9, 0), (spec, "shift", 1.0, [], 0.5, 0)]
    page = Page(html_report(make_run(conditions=conditions)))
    assert not page.all("b")
    assert spec in "".join(page.text("code"))


def test_reports_do_not_import_torch():
    modules = ("html", "table", "document", "pictures", "severity", "trust", "words")
    code = "import sys\n" + "".join(f"import robustbench_lite.reports.{m}\n" for m in modules)
    subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], check=True, timeout=120)


def test_hostile_rules_and_configurations_stay_text(make_run):
    run = make_run(examples=1)
    gates = hostile().model_copy(update={"run_ids": [run.record.id]})
    about = ReportConfig(
        title=HOSTILE, product=HOSTILE, organisation=HOSTILE, intended_use=HOSTILE, sign=(HOSTILE,)
    )
    source = html_report(run, gates=[gates], about=about)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", source)
    page = Page(source)
    assert page.text("h1") == [plain(HOSTILE)]
    assert source.count("<script>alert") == 0
    assert not [a for a in page.all("a") if not a["href"].startswith("#")]
