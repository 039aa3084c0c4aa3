"""What rb gate prints and writes of runs whose every name is hostile, in a job of GitHub."""

import json
import re
from xml.etree import ElementTree

import pytest
from made_runs import CONDITIONS, Made, write_made
from markdown_it import MarkdownIt

HOSTILE = "::error::owned\n::stop-commands::x\r##[add-mask]y\x1b[31m\u202e<script>|`=cmd()@all"


@pytest.fixture
def run(tmp_path):
    """A run with a hostile class, data set and network, whose accuracy under night(severity=5) is 0.4."""
    conditions = [one for one in CONDITIONS if one[1] in ("clean", "shift")]
    made = Made(n=200, conditions=conditions, examples=0, class_names=[f"{HOSTILE}{i}" for i in range(10)])
    made.data = {"spec": HOSTILE}
    made.record = {"id": HOSTILE, "argv": [HOSTILE]}
    return write_made(tmp_path / "run ::error::z", made).path


RULES = f"""
[[gate]]
id = {json.dumps(HOSTILE)}
where = {{ condition = "night(severity=5)", class = {json.dumps(HOSTILE + "0")} }}
min = 0.9
note = {json.dumps(HOSTILE)}

[[gate]]
id = "all"
where = {{ condition = "night(*)" }}
min = 0.9

[[gate]]
id = "missing"
where = {{ condition = {json.dumps(HOSTILE)} }}
min = 0.9
"""


def test_hostile_names(rb, run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (tmp_path / "rb.toml").write_text(RULES)
    done = rb("gate", run, "--junit", "gate.xml", "--summary", "gate.md")
    assert done.code == 3, done.err
    commands = [line for line in done.out.splitlines() if line.lstrip().startswith("::")]
    assert all(re.match(r"::(error|warning) title=[^:,]*::", line) for line in commands), commands
    assert len(commands) == 3
    rest = [line for line in (done.out + done.err).splitlines() if line not in commands]
    for text in (*rest, (tmp_path / "gate.md").read_text(), (tmp_path / "gate.xml").read_text()):
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    assert not any("##[" in line for line in rest)
    html = MarkdownIt("commonmark").enable("table").render((tmp_path / "gate.md").read_text())
    assert "<script" not in html
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "1")
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties["weights_sha256.1"] == "ab" * 32
    assert properties["manifest_sha256.1"] == "cd" * 32


@pytest.mark.parametrize("github", ["true", "false"])
def test_json_stays_one_document(rb, run, monkeypatch, github):
    monkeypatch.setenv("GITHUB_ACTIONS", github)
    done = rb("gate", run, "--min", "accuracy@night(severity=5)=0.9", "--json")
    assert done.code == 3
    assert done.document["verdict"] == "FAIL"
    assert ("::error" in done.err) == (github == "true")
