"""Annotations, read as GitHub's runner reads the lines of a log."""

import pytest
from made_gates import EACH, hostile, report, result

from robustbench_lite.reports.annotations import style_of, workflow_commands


def read(line):
    """Command, properties and message, by the rules of actions/runner (ActionCommand.cs, TryParseV2)."""
    assert line.startswith("::")
    head, _, data = line[2:].partition("::")
    command, _, pairs = head.partition(" ")
    properties = dict(pair.split("=", 1) for pair in pairs.split(",") if pair)
    for token, escape in (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25")):
        properties = {name: value.replace(escape, token) for name, value in properties.items()}
        data = data if token in ":," else data.replace(escape, token)
    return command, properties, data


def test_each_verdict():
    found = [read(line) for line in workflow_commands(EACH, "github")]
    assert [(command, properties["title"]) for command, properties, _ in found] == [
        ("error", "ERROR: fog"),
        ("error", "FAIL: pgd-floor"),
        ("warning", "FAIL: worst-class"),
        ("warning", "INCONCLUSIVE: night"),
    ]
    assert found[1][2] == f"{EACH.results[2].words} {EACH.results[2].remedy}"


@pytest.mark.parametrize(
    ("environment", "style"),
    [
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITHUB_ACTIONS": "false"}, "none"),
        ({"GITLAB_CI": "true"}, "none"),
        ({}, "none"),
    ],
)
def test_the_job_chooses(environment, style):
    assert style_of(environment) == style


def test_what_the_verdict_warns_of_is_one_of_the_ten():
    found = report(*(result(f"r{i}", "INCONCLUSIVE") for i in range(12)))
    found.warnings.extend(["allow_demo is set.", "No rule can stop a build."])
    lines = workflow_commands(found, "github")
    assert len(lines) == 10
    assert read(lines[0]) == ("warning", {"title": "gate"}, "allow_demo is set. No rule can stop a build.")
    assert read(lines[-1])[1:] == ({"title": "4 more rules"}, "r8, r9, r10, r11")


def test_elsewhere_there_are_none():
    assert workflow_commands(EACH, "none") == []


def test_github_shows_ten_of_a_kind():
    lines = workflow_commands(report(*(result(f"r{i}", "FAIL") for i in range(12))), "github")
    assert len(lines) == 10
    assert read(lines[-1])[1:] == ({"title": "3 more rules"}, "r9, r10, r11")
    assert len(workflow_commands(report(*(result(f"r{i}", "FAIL") for i in range(10))), "github")) == 10


@pytest.mark.parametrize("most", [1, 100])
def test_hostile_text_is_one_command_per_rule(most):
    lines = workflow_commands(hostile(most), "github")
    assert len(lines) == 4  # and one for what the verdict warns of
    for line in lines:
        assert len(line.splitlines()) == 1
        command, properties, message = read(line)
        assert command in ("error", "warning")
        assert list(properties) == ["title"]
        assert "\x1b" not in line
        assert len(message) < 1100
