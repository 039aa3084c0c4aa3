"""The pytest plugin: ``rb_run``, a finished run that tests hold to rules.

Where no test asks for it, pytest pays for two options and nothing else: everything is imported when it is used.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robustbench_lite.config.reading import Loaded
    from robustbench_lite.gates.rule import Rule
    from robustbench_lite.gates.verdict import GateReport, GateResult
    from robustbench_lite.runs import Run

_NO_RUN = (
    "there is no run to judge, and a gate that did not run is not green. "
    "Give --rb-run RUN, the variable RB_RUN, or rb_run in pytest's ini file."
)


class GateFailed(AssertionError):
    """FAIL: the rule is broken, by more than chance."""


class GateInconclusive(AssertionError):
    """INCONCLUSIVE: too few images to say."""


class GateError(Exception):
    """ERROR: the rule could not be judged."""


class GateWarning(UserWarning):
    """A rule of level warn did not pass, or one is inconclusive where that is put up with."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest."""
    group = parser.getgroup("robustbench_lite")
    group.addoption(
        "--rb-run", action="append", metavar="RUN", help="Run folder for the fixture rb_run; may be repeated."
    )
    group.addoption("--rb-config", metavar="FILE", help="The rules. (default: rb.toml in pytest's root folder)")
    parser.addini("rb_run", "Run folders for the fixture rb_run, relative to this file.", type="paths", default=[])


@pytest.fixture(scope="session")
def rb_run(request: pytest.FixtureRequest) -> GatedRun:
    """The run that --rb-run, RB_RUN or the ini file names, with ``assert_gate``."""
    found = _given(request.config)
    if not found:
        pytest.fail(_NO_RUN, pytrace=False)
    return GatedRun(found, request.config.rootpath, request.config.getoption("--rb-config"))


def _given(config: pytest.Config) -> list[Path]:
    """An option before the variable before the ini file; the first two are relative to where pytest was called."""
    given = config.getoption("--rb-run") or os.environ.get("RB_RUN", "").split(os.pathsep)
    return [config.invocation_params.dir / path for path in given if path] or list(config.getini("rb_run"))


class GatedRun:
    """Runs that were given to pytest, and the rules of the configuration.

    Args:
        paths: run folders.
        root: folder whose ``rb.toml`` holds, and which baselines given in tests are relative to.
        config: another configuration.
    """

    def __init__(self, paths: Sequence[Path], root: Path, config: str | None = None) -> None:
        self.paths = tuple(paths)
        self._root, self._config = root, config
        self._reports: dict[str, GateReport] = {}

    def __repr__(self) -> str:
        return f"rb_run({', '.join(map(str, self.paths))})"

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs, read back."""
        from robustbench_lite.runs import read_run

        return tuple(read_run(path) for path in self.paths)

    def assert_gate(
        self,
        rule: str | None = None,
        *,
        metric: str = "accuracy",
        where: Mapping[str, Any] | str | None = None,
        min: float | None = None,  # as in rb.toml
        max: float | None = None,
        max_drop: float | None = None,
        max_rise: float | None = None,
        min_n: int | None = None,
        baseline: Run | Path | str | None = None,
    ) -> GateResult:
        """Hold the runs to one rule: a rule of the configuration by its id, or one written here.

        A rule by its id is judged together with all others of the configuration, so its verdict is that of
        ``rb gate``. One that is written here is judged alone: ten of them are ten chances of a false alarm.

        Args:
            rule: id of a rule of the configuration.
            metric: and what follows: a rule, as ``[[gate]]`` in ``rb.toml``. A ``where`` that is a text is its
                condition.
            baseline: run that ``max_drop`` and ``max_rise`` compare with, for a rule that names none.

        Returns:
            The result, if the rule holds.

        Raises:
            GateFailed: FAIL.
            GateInconclusive: INCONCLUSIVE, unless the configuration puts up with that: then it warns.
            GateError: ERROR, or the rule, the runs or the configuration cannot be read.
        """
        __tracebackhide__ = True
        limits = {"min": min, "max": max, "max_drop": max_drop, "max_rise": max_rise, "min_n": min_n}
        given = {name: value for name, value in limits.items() if value is not None}
        if rule is not None and (given or where is not None or metric != "accuracy"):
            raise GateError(f"{rule!r} is a rule of the configuration: give no other argument than baseline.")
        result = self._made(metric, where, given, baseline) if rule is None else self._by_id(rule, baseline)
        self._tell(result)
        return result

    def _by_id(self, name: str, baseline: Run | Path | str | None) -> GateResult:
        from robustbench_lite.errors import InputError

        __tracebackhide__ = True
        try:
            self._loaded.rule(name)
        except InputError as error:
            raise GateError(str(error)) from None
        key = str(baseline)
        if key not in self._reports:
            self._reports[key] = self._judged(list(self._loaded.config.gate), baseline)
        return next(result for result in self._reports[key].results if result.rule.id == name)

    def _made(
        self,
        metric: str,
        where: Mapping[str, Any] | str | None,
        limits: dict[str, Any],
        baseline: Run | Path | str | None,
    ) -> GateResult:
        from pydantic import ValidationError

        from robustbench_lite.gates.rule import Rule

        __tracebackhide__ = True
        chosen = {"condition": where} if isinstance(where, str) else dict(where or {})
        name = " ".join([metric, *map(str, chosen.values())])
        try:
            made = Rule.model_validate({"id": name, "metric": metric, "where": chosen, **limits})
        except ValidationError as error:
            raise GateError(f"this is no rule: {error.errors()[0]['msg']}.") from None
        return self._judged([made], baseline).results[0]

    def _judged(self, rules: list[Rule], baseline: Run | Path | str | None) -> GateReport:
        from robustbench_lite.errors import InputError
        from robustbench_lite.gates.gate import gate
        from robustbench_lite.reports.safe import short, terminal

        __tracebackhide__ = True
        if isinstance(baseline, str | Path):
            baseline = self._root / baseline
        folder = self._loaded.path.parent if self._loaded.path else self._root
        try:
            report = gate(self.runs, rules, self._loaded.config.gates, baseline, folder=folder)
        except InputError as error:
            raise GateError(str(error)) from None
        for text in report.warnings:
            warnings.warn(terminal(short(text, 1000)), GateWarning, stacklevel=4)
        return report

    @cached_property
    def _loaded(self) -> Loaded:
        from robustbench_lite.config.reading import Loaded, find_config, load_config
        from robustbench_lite.config.schema import Config
        from robustbench_lite.errors import InputError

        __tracebackhide__ = True
        try:
            path = Path(self._config) if self._config else find_config(self._root)
            # Without a file in the root folder there is none: that of the current folder is somebody else's.
            return Loaded(Config(), None, {}) if path is None else load_config(path)
        except InputError as error:
            raise GateError(str(error)) from None

    def _tell(self, result: GateResult) -> None:
        __tracebackhide__ = True
        if result.verdict == "PASS":
            return
        from robustbench_lite.reports.safe import short, terminal

        lines = [f"{result.verdict} {result.rule.id}: {result.words}"]
        lines += [f"next: {result.remedy}"] if result.remedy else []
        if len(result.matches) > 1:
            others = [match for match in result.matches if match.verdict == result.verdict]
            lines[1:1] = [f"{match.run}, {match.condition}: {match.words}" for match in others[:10]]
        text = "\n".join(terminal(short(line, 1000)) for line in lines)
        tolerated = result.verdict == "INCONCLUSIVE" and self._loaded.config.gates.inconclusive == "warn"
        if result.rule.level == "warn" or tolerated:
            warnings.warn(text, GateWarning, stacklevel=3)
            return
        raise {"FAIL": GateFailed, "INCONCLUSIVE": GateInconclusive, "ERROR": GateError}[result.verdict](text)
