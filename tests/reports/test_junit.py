"""JUnit XML, against the parser of the standard library and the schema that Jenkins checks its files against."""

import re
from xml.etree import ElementTree

import pytest
from made_gates import EACH, HOSTILE, hostile, match, report, result

from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.reports.junit import junit
from robustbench_lite.reports.safe import plain

# Element -> its children in order, with how often at most; attributes that must and may be there.
# After jenkins-junit.xsd of the xunit plugin.
SCHEMA = {
    "testsuites": ([("testsuite", None)], set(), {"name", "time", "tests", "failures", "disabled", "errors"}),
    "testsuite": (
        [("properties", 1), ("testcase", None), ("system-out", 1), ("system-err", 1)],
        {"name", "tests"},
        {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
    ),
    "properties": ([("property", None)], set(), set()),
    "property": ([], {"name", "value"}, set()),
    "testcase": (
        [("skipped", 1), ("error", None), ("failure", None), ("system-out", None), ("system-err", None)],
        {"name"},
        {"assertions", "time", "classname", "status"},
    ),
    "skipped": ([], set(), {"message"}),
    "error": ([], set(), {"type", "message"}),
    "failure": ([], set(), {"type", "message"}),
    "system-out": ([], set(), set()),
}


def fits(element):
    children, must, may = SCHEMA[element.tag]
    assert must <= set(element.attrib) <= must | may, element.tag
    pattern = "".join(f"(?:<{tag}>){'?' if most == 1 else '*'}" for tag, most in children)
    assert re.fullmatch(pattern, "".join(f"<{child.tag}>" for child in element)), element.tag
    for child in element:
        fits(child)


def read(found):
    root = ElementTree.fromstring(junit(found).encode())
    fits(root)
    (suite,) = root
    counted = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
    assert counted == {
        "failure": int(suite.get("failures")),
        "error": int(suite.get("errors")),
        "skipped": int(suite.get("skipped")),
    }
    assert len(suite.findall("testcase")) == int(suite.get("tests"))
    return suite


def test_each_verdict():
    suite = read(EACH)
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["clean", "night", "pgd-floor", "fog", "worst-class"]
    kinds = {name: [child.tag for child in case] for name, case in cases.items()}
    assert kinds == {
        "clean": ["system-out"],
        "night": ["failure", "system-out"],
        "pgd-floor": ["failure", "system-out"],
        "fog": ["error", "system-out"],
        "worst-class": ["skipped", "system-out"],
    }
    assert cases["night"].find("failure").get("type") == "INCONCLUSIVE"
    assert cases["fog"].find("error").get("type") == "ERROR"
    assert "warning only" in cases["worst-class"].find("skipped").get("message")
    failure = cases["pgd-floor"].find("failure")
    assert failure.get("message") == EACH.results[2].words
    for part in (EACH.results[2].words, "at least 90.0", "Agreed with the line.", "next: Run it again"):
        assert part in failure.text
    assert "runs/new night(severity=3) (n 1000): 93.0 %" in cases["clean"].find("system-out").text


def test_where_it_came_from():
    whole = EACH.model_copy(update={"weights_sha256": ["ab" * 32], "manifest_sha256": ["cd" * 32]})
    suite = read(whole)
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["run_id.1"] == "20260101T000000Z-eval-01234567"
    assert properties["weights_sha256.1"] == "ab" * 32
    assert properties["manifest_sha256.1"] == "cd" * 32
    assert properties["verdict"] == "ERROR"
    assert properties["exit_code"] == "3"
    assert properties["confidence"] == "0.95"
    assert suite.get("timestamp") == "2026-01-02T03:04:05"


@pytest.mark.parametrize(("inconclusive", "tag"), [("fail", "failure"), ("warn", "skipped")])
def test_an_inconclusive_rule_is_never_green(inconclusive, tag):
    found = report(
        result("night", "INCONCLUSIVE"),
        settings=GateSettings(inconclusive=inconclusive),
        exit_code=4 if inconclusive == "fail" else 0,
    )
    case = read(found).find("testcase")
    assert [child.tag for child in case] == [tag, "system-out"]


def test_no_rule_is_an_error_and_no_empty_suite():
    suite = read(report(verdict="ERROR"))
    assert suite.get("errors") == "1"


def test_a_warning_alone_does_not_hide_the_exit_code():
    assert read(report(result("x", "FAIL", level="warn"), verdict="ERROR")).get("errors") == "1"


@pytest.mark.parametrize("most", [1, 100])
def test_hostile_text(most):
    text = junit(hostile(most))
    suite = read(hostile(most))
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", text)
    case = suite.find("testcase")
    assert case.get("name")[:100] == plain(HOSTILE)[:100].replace("\ufffe", "\ufffd")
    assert {child.tag for child in suite.iter()} <= set(SCHEMA)


def test_many_matches_are_counted():
    found = report(result(matches=[match()] * 1500))
    out = read(found).find("testcase/system-out").text
    assert out.endswith("500 more are in gate.json.")


def test_a_hostile_metric_keeps_it_xml():
    source = junit(report(result("r0", metric="a\x00\x1b<b>\ufffe\ud800")))
    assert "<b>" not in source
    assert ElementTree.fromstring(source).find(".//testcase").get("classname").startswith("rb.gate.a")
