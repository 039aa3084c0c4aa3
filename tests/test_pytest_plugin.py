"""The pytest plugin, in pytest's own test bench: whole test suites of somebody else's."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from made_runs import CONDITIONS, Made, write_made

import robustbench_lite.gates.gate  # noqa: F401  (what it imports stays: numpy must not be loaded twice)

pytest_plugins = "pytester"
PLUGIN = "robustbench_lite.pytest_plugin"
# Where the package is installed, pytest has loaded it already.
LOAD = [] if entry_points(group="pytest11", name=PLUGIN) else ["-p", PLUGIN]
RULES = """
[[gate]]
id = "clean"
min = 0.9

[[gate]]
id = "night"
where = { condition = "night(severity=*)" }
min = 0.9

[[gate]]
id = "blur"
where = { condition = "gaussian_blur(severity=2)" }
min = 0.89

[[gate]]
id = "told"
level = "warn"
where = { condition = "night(severity=5)" }
min = 0.9

[[gate]]
id = "fog"
where = { condition = "fog(severity=2)" }
min = 0.1
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run a test of somebody's on a made-up run of 1,000 images."""
    monkeypatch.delenv("RB_RUN", raising=False)
    conditions = [one for one in CONDITIONS if one[1] in ("clean", "shift")]
    write_made(pytester.path / "run", Made(n=1000, conditions=conditions, examples=0))

    def run(body, *options, rules=RULES, given=("--rb-run", "run")):
        (pytester.path / "rb.toml").write_text(rules)
        pytester.makepyfile("import pytest\nfrom robustbench_lite.pytest_plugin import GateInconclusive\n" + body)
        return pytester.runpytest(*LOAD, "-W", "default", *given, *options)

    return run


def test_the_verdict_of_a_rule_of_the_configuration(suite):
    result = suite(
        """
def test_clean(rb_run):
    assert rb_run.assert_gate("clean").verdict == "PASS"

def test_night(rb_run):
    rb_run.assert_gate("night")

def test_blur(rb_run):
    rb_run.assert_gate("blur")

@pytest.mark.xfail(raises=GateInconclusive, strict=True)
def test_blur_as_expected(rb_run):
    rb_run.assert_gate("blur")

def test_told(rb_run):
    rb_run.assert_gate("told")

def test_fog(rb_run):
    rb_run.assert_gate("fog")
"""
    )
    result.assert_outcomes(passed=2, failed=3, xfailed=1, warnings=1)
    for lines in (
        ["E *GateFailed: FAIL night: *", "E *night(severity=5)*", "E *next: *"],
        ["E *GateInconclusive: INCONCLUSIVE blur: *", "E *next: *"],
        ["E *GateError: ERROR fog: *", "E *next: *"],
        ["*GateWarning: FAIL told: *"],
        ["FAILED *::test_night*", "FAILED *::test_blur*", "FAILED *::test_fog*"],
    ):
        result.stdout.fnmatch_lines(lines)
    assert "pytest_plugin.py:" not in result.stdout.str()  # no frame of ours


def test_inconclusive_can_be_put_up_with_in_the_configuration(suite):
    body = "def test_it(rb_run):\n    rb_run.assert_gate('blur')\n"
    result = suite(body, rules='[gates]\ninconclusive = "warn"\n' + RULES)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*GateWarning: INCONCLUSIVE blur: *"])


def test_rules_written_in_the_test(suite, pytester):
    other = Made(n=1000, conditions=[CONDITIONS[0], CONDITIONS[3]], examples=0, record={"id": "other"})
    write_made(pytester.path / "other", other)
    result = suite(
        """
def test_where(rb_run):
    found = rb_run.assert_gate(metric="accuracy", where={"condition": "night(severity=1)"}, min=0.9)
    assert found.matches[0].n == 1000

def test_a_text_is_the_condition(rb_run):
    rb_run.assert_gate(where="night(severity=1)", min=0.9)

def test_drop(rb_run):
    rb_run.assert_gate(where="night(severity=1)", max_drop=0.02, baseline="other")

def test_fails(rb_run):
    rb_run.assert_gate(where="night(severity=5)", min=0.9)

def test_hostile(rb_run):
    rb_run.assert_gate(where="::error::owned\\x1b[31m\\n::stop-commands::x", min=0.9)
""",
        rules="",
    )
    result.assert_outcomes(passed=3, failed=2)
    (line,) = [line for line in result.outlines if line.startswith("E ") and "GateError: ERROR" in line]
    assert "owned" in line
    assert "\x1b" not in line
    assert not any(line.lstrip("E ").startswith("::") for line in result.outlines)


def test_calls_that_mean_nothing(suite):
    calls = [
        ("'nigth'", "unknown rule 'nigth'. Did you mean 'night'"),
        ("'night', min=0.9", "'night' is a rule of the configuration"),
        ("", "this is no rule: "),
        ("metric='acuracy', min=0.9", "unknown metric 'acuracy'"),
        ("where={'condicion': 'x'}, min=0.9", "this is no rule: "),
        ("max_drop=0.1, baseline='nowhere'", "nowhere is no run"),
    ]
    body = "".join(
        f"def test_{i}(rb_run):\n    rb_run.assert_gate({call})\n\n" for i, (call, _) in enumerate(calls)
    )
    result = suite(body)
    result.assert_outcomes(failed=len(calls))
    for _, words in calls:
        result.stdout.fnmatch_lines([f"E *GateError: *{words}*"])


def test_a_configuration_without_rules_says_so(suite):
    result = suite("def test_it(rb_run):\n    rb_run.assert_gate('nope')\n", rules="data.limit = 9")
    result.stdout.fnmatch_lines(["E *GateError: unknown rule 'nope': *rb.toml has no rules. Write *"])


def test_without_a_run_it_is_an_error_and_no_skip(suite):
    result = suite("def test_it(rb_run):\n    pass\n", given=())
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no run to judge*--rb-run*"])


def test_where_the_run_comes_from(suite, pytester, monkeypatch):
    body = "def test_it(rb_run):\n    print('judged', *(path.name for path in rb_run.paths), 'end')\n"
    pytester.makeini("[pytest]\nrb_run = run")
    suite(body, "-s", given=()).stdout.fnmatch_lines(["*judged run end*"])
    monkeypatch.setenv("RB_RUN", "one:two")
    suite(body, "-s", given=()).stdout.fnmatch_lines(["*judged one two end*"])
    suite(body, "-s", given=("--rb-run", "run", "--rb-run", "b")).stdout.fnmatch_lines(["*judged run b end*"])


def test_another_configuration_and_a_run_that_is_none(suite, pytester):
    (pytester.path / "strict.toml").write_text('[[gate]]\nid = "clean"\nmin = 0.99\n')
    body = "def test_it(rb_run):\n    rb_run.assert_gate('clean')\n"
    suite(body, "--rb-config", "strict.toml").assert_outcomes(failed=1)
    result = suite(body, given=("--rb-run", "nowhere"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *GateError: *nowhere is no run*"])


@pytest.mark.slow
def test_in_worker_processes_and_where_warnings_are_errors(suite):
    suite("def test_it(rb_run):\n    rb_run.assert_gate('clean')\n", "-n", "2", "-W", "error").assert_outcomes(
        passed=1
    )


@pytest.mark.slow
def test_it_costs_nothing_where_it_is_not_used(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    code = (
        f"import sys, pytest; code = pytest.main([*{LOAD}, '-q'])\n"
        "late = {'torch', 'numpy', 'pandas', 'pydantic', 'typer'} & set(sys.modules)\n"
        "sys.exit(f'imported: {late}' if late else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 passed" in done.stdout
