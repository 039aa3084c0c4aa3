"""Reports of gates made up by hand."""

from robustbench_lite.gates.rule import GateSettings, Rule
from robustbench_lite.gates.verdict import GateReport, GateResult, Match

EXIT = {"PASS": 0, "FAIL": 3, "INCONCLUSIVE": 4, "ERROR": 3}
WORDS = {
    "PASS": "93.0 % of 1000 images are right, at least 91.5 %.",
    "FAIL": "60.0 % of 1000 images are right, at most 63.1 %.",
    "INCONCLUSIVE": "88.0 % of 50 images are right, between 75.7 % and 95.5 %.",
    "ERROR": "no condition of runs/new fits night(severity=3).",
}


def match(verdict="PASS", condition="night(severity=3)", run="runs/new", **changes):
    values = {
        "run": run,
        "condition": condition,
        "metric": "accuracy",
        "n": 1000,
        "value": 0.93,
        "ci_low": 0.915,
        "ci_high": 0.945,
        "verdict": verdict,
        "words": WORDS[verdict],
    }
    return Match(**{**values, **changes})


def result(id="night", verdict="PASS", level="fail", matches=None, remedy=None, words=None, **rule):
    rule = Rule(
        **{"id": id, "level": level, "where": {"condition": "night(severity=3)"}, "min": 0.9, **rule},
    )
    return GateResult(
        rule=rule,
        verdict=verdict,
        words=WORDS[verdict] if words is None else words,
        remedy=("" if verdict == "PASS" else "Run it again with --limit 2000.") if remedy is None else remedy,
        needed=2000 if verdict == "INCONCLUSIVE" else None,
        matches=([] if verdict == "ERROR" else [match(verdict)]) if matches is None else matches,
    )


def report(*results, verdict=None, exit_code=None, settings=None, **changes):
    order = ("ERROR", "FAIL", "INCONCLUSIVE", "PASS")
    binding = [r.verdict for r in results if r.rule.level == "fail"] or ["PASS"]
    verdict = verdict or min(binding, key=order.index)
    values = {
        "verdict": verdict,
        "exit_code": EXIT[verdict] if exit_code is None else exit_code,
        "created": "2026-01-02T03:04:05.678901+00:00",
        "runs": ["runs/new"],
        "run_ids": ["20260101T000000Z-eval-01234567"],
        "settings": settings or GateSettings(),
        "results": list(results),
    }
    return GateReport(**{**values, **changes})


EACH = report(
    result("clean"),
    result("night", "INCONCLUSIVE"),
    result("pgd-floor", "FAIL", note="Agreed with the line."),
    result("fog", "ERROR"),
    result("worst-class", "FAIL", level="warn"),
)
HOSTILE = (
    "<script>alert(1)</script>|`x`|[a](javascript:b)\n::error::owned\r\n::stop-commands::x\x1b[31m\u202e"
    "##[add-mask]y =cmd() @everyone \"quoted\" 'single' &amp; %0A,:]]>\x00\ufffe"
)


def hostile(most=1):
    """A report of which every text is hostile."""
    name = HOSTILE * most
    matches = [match(v, name, name, words=name) for v in ("PASS", "FAIL", "INCONCLUSIVE")]
    results = [
        result(f"{name}{v}", v, matches=matches, words=name, remedy=name, note=name, where={"condition": name})
        for v in ("PASS", "FAIL", "INCONCLUSIVE", "ERROR")
    ]
    return report(*results, runs=[name], run_ids=[name], baseline_ids=[name], warnings=[name])
