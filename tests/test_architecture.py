"""Which module may import which. Read from the source, so that a wrong import fails even if nothing runs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import robustbench_lite

PACKAGE = "robustbench_lite"
FOLDER = Path(robustbench_lite.__file__).parent
MOST_LINES = 320

BASE = {"errors", "rng", "normals", "norms", "specs", "types", "records", "run_rows", "__init__"}
# Module or folder -> what it may import beside itself and BASE. New modules must be entered here.
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set() for name in BASE},
    "references": set(),
    "names": set(),
    "files": set(),
    "registry": {"references", "names"},
    "descriptions": {"registry"},
    "attacks": {"registry", "checks"},
    "shifts": {"registry"},
    "checks": set(),
    "weights": {"files"},
    "generative": {"registry", "weights", "intervals"},
    "classifiers": {"registry", "descriptions", "weights"},
    "data": {"registry", "runs"},
    "provenance": set(),
    "runs": set(),
    "intervals": set(),
    "selective": {"intervals"},
    "metrics": {"intervals", "runs", "selective"},
    "sweeps": {"intervals", "runs"},
    "bisection": {"intervals", "runs"},
    "journal": set(),
    "units": {"examples"},
    "sharding": set(),
    "locking": set(),
    "unfinished": {"journal", "locking", "units"},
    "run_folder": {"files", "locking", "runs", "unfinished"},
    "pairing": {"runs"},
    "paired_rows": {"pairing", "runs"},
    "changed_images": {"paired_rows", "pairing", "runs"},
    "significance": set(),
    "comparison": {"intervals", "metrics", "paired_rows", "pairing", "runs", "significance"},
    "gates": {
        "runs",
        "pairing",
        "intervals",
        "metrics",
        "significance",
        "sweeps",
        "corruption_error",
        "corruption_sets",
    },
    "config": {"gates", "registry", "descriptions", "references", "suites"},
    "corruption_sets": {"names", "runs", "shifts"},
    "corruption_error": {"corruption_sets", "names", "runs", "shifts"},
    "suites": {"names", "shifts"},
    "agreeing": {"runs", "sharding"},
    "merged_record": {"agreeing", "checks", "metrics", "runs"},
    "merging": {"agreeing", "merged_record", "run_folder", "runs"},
    "reports": {
        "files",
        "suites",
        "registry",
        "names",
        "descriptions",
        "runs",
        "metrics",
        "sweeps",
        "corruption_error",
        "intervals",
        "pairing",
        "selective",
        "comparison",
        "changed_images",
        "gates",
        "config",
    },
    "pytest_plugin": {"config", "gates", "reports", "runs"},
    "examples": {"runs"},
    "saving": {"data", "examples"},
    "training": {
        *("registry", "classifiers", "data", "attacks", "shifts", "applying", "search_space", "generative"),
        *("weights", "intervals", "names", "references"),
    },
    "outliers": {
        *("registry", "references", "intervals", "classifiers", "data", "generative", "weights", "applying"),
        *("training", "sheets"),
    },
    "applying": {"registry", "attacks", "shifts"},
    "calibrating": {"registry", "classifiers", "data"},
    "followup": {"registry", "runs"},
    "guarding": {"registry", "applying", "attacks", "classifiers", "outliers", "runs"},
    "condition_records": {"registry", "applying", "data", "guarding", "metrics", "runs", "scoring"},
    "probes": {"registry", "attacks", "checks", "classifiers", "data", "followup"},
    "scoring": {
        "registry",
        "attacks",
        "checks",
        "classifiers",
        "data",
        "runs",
        "examples",
        "applying",
        "calibrating",
        "guarding",
        "units",
    },
    "identity": {"registry", "classifiers", "data", "provenance", "unfinished"},
    "working": {"sharding", "classifiers", "data", "identity", "probes", "scoring", "unfinished", "units"},
    "evaluation": {
        *("registry", "checks", "classifiers", "data", "runs", "metrics", "examples", "applying", "scoring"),
        *("probes", "guarding", "condition_records", "identity", "unfinished", "working", "sharding"),
    },
    "comparing": {"registry", "applying", "data", "training", "weights"},
    "tradeoff_rows": {"intervals", "comparing", "evaluation", "training"},
    "tradeoff": {"classifiers", "data", "comparing", "evaluation", "tradeoff_rows", "training", "weights"},
    "fold_rows": {"attacks", "classifiers", "data", "evaluation", "intervals", "metrics", "training"},
    "fold_plan": {"registry", "data", "comparing", "fold_rows", "training"},
    "protocols": {"classifiers", "data", "fold_plan", "fold_rows", "training", "weights"},
    "inputs": {"classifiers"},
    "breaking": {
        "registry",
        "shifts",
        "classifiers",
        "data",
        "runs",
        "bisection",
        "evaluation",
        "unfinished",
        "working",
    },
    "recording": {
        *("registry", "search", "data", "runs", "evaluation", "followup", "provenance", "identity", "sharding"),
    },
    "beginning": {"classifiers", "sharding", "identity", "locking", "recording", "run_folder", "unfinished"},
    "sheets": set(),
    "search_space": {"registry", "applying", "shifts"},
    "search_refining": {"attacks", "applying", "classifiers", "search_space"},
    "search": {"registry", "applying", "classifiers", "data", "search_refining", "search_space"},
    "severities": {"registry", "data", "applying", "shifts"},
    "previews": {"registry", "data", "applying", "shifts", "sheets"},
    "estimating": {"working", "registry", "attacks", "classifiers", "evaluation", "guarding", "search"},
    "runner": {
        *("registry", "classifiers", "data", "runs", "evaluation", "applying", "recording", "saving"),
        *("inputs", "breaking", "beginning", "run_folder", "search", "guarding", "outliers", "working"),
        "sharding",
    },
}
COMMAND_LINE = ("cli", "console", "__main__")  # may import everything; nothing else may import it
WITHOUT_TORCH = (
    "pytest_plugin",
    "errors",
    "rng",
    "specs",
    "types",
    "references",
    "names",
    "registry",
    "descriptions",
    "run_rows",
    "records",
    "runs",
    "examples",
    "files",
    "journal",
    "locking",
    "units",
    "unfinished",
    "run_folder",
    "intervals",
    "selective",
    "metrics",
    "sweeps",
    "corruption_sets",
    "corruption_error",
    "bisection",
    "pairing",
    "paired_rows",
    "changed_images",
    "significance",
    "comparison",
    "gates",
    "config",
    "suites",
    "checks",
    "agreeing",
    "merged_record",
    "merging",
    "sharding",
    "reports",
)


def module_name(file: Path) -> str:
    parts = (PACKAGE, *file.relative_to(FOLDER).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(FOLDER.rglob("*.py"))}


def group(module: str) -> str:
    """``attacks`` for robustbench_lite.attacks.pgd, ``runs`` for robustbench_lite.runs."""
    return [*module.split("."), "__init__"][1]


def is_command_line(name: str) -> bool:
    return name.startswith(COMMAND_LINE)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _names(node: ast.stmt, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert not node.level, f"{module}: relative imports hide the direction"
    whole = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else str(node.module) for name in whole]


@cache
def imports(module: str, *, late: bool = True) -> frozenset[str]:
    """Modules that a module imports; with ``late`` also inside functions, without only when it is imported."""
    found: set[str] = set()

    def walk(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            found.update(_names(node, module))
            if _only_for_types(node):
                walk(node.orelse)  # type: ignore[attr-defined]
            elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for part in ("body", "orelse", "finalbody"):
                    walk(getattr(node, part, []))
                for handler in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                    walk(handler.body)

    walk(ast.parse(MODULES[module].read_text(encoding="utf-8")).body)
    return frozenset(found)


def ours(module: str, *, late: bool = True) -> set[str]:
    return {name for name in imports(module, late=late) if name in MODULES and name != module}


def test_imports_are_found_at_all():
    """The walk must see what it judges."""
    assert f"{PACKAGE}.rng" in ours(f"{PACKAGE}.norms")
    assert f"{PACKAGE}.norms" in ours(f"{PACKAGE}.attacks.pgd")
    assert f"{PACKAGE}.runner" in ours(f"{PACKAGE}.cli.evaluate")  # inside a function
    assert f"{PACKAGE}.runner" not in ours(f"{PACKAGE}.cli.evaluate", late=False)
    assert "torch" in imports(f"{PACKAGE}.norms")
    assert "torch" not in imports(f"{PACKAGE}.types")  # for types only
    assert len(MODULES) > 50


def test_there_is_no_cycle():
    graph = {module: ours(module) for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_module_has_its_place():
    unknown = {group(m) for m in MODULES} - set(MAY_IMPORT)
    assert {name for name in unknown if not is_command_line(name)} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if not is_command_line(group(m))])
def test_imports_go_one_way(module):
    here = group(module)
    allowed = MAY_IMPORT[here] | BASE | {here}
    if here in BASE:
        allowed = BASE
    wrong = {name for name in ours(module) if group(name) not in allowed}
    assert wrong == set()


def test_the_table_itself_goes_one_way():
    TopologicalSorter(MAY_IMPORT).prepare()


@pytest.mark.parametrize("module", [m for m in MODULES if group(m) in WITHOUT_TORCH])
def test_no_torch_where_none_is_needed(module):
    """Neither itself, nor through what it imports."""
    seen, waiting = set(), [module]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        heavy = {name for name in imports(here, late=False) if name.partition(".")[0] in ("torch", "torchvision")}
        assert not heavy, f"{module} reaches {heavy} through {here}"
        waiting += ours(here, late=False)


def test_no_torch_is_loaded():
    """The same in a process: what is imported by name in a string is not in the source."""
    light = [m for m in MODULES if group(m) in WITHOUT_TORCH or is_command_line(group(m)) or m == PACKAGE]
    light = [m for m in light if not m.endswith("__main__")]
    code = (
        f"import importlib, sys\nfor m in {light!r}:\n    importlib.import_module(m)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_attacks_and_shifts_know_no_network_and_no_file():
    """They see a Model, images and streams: so they run on anything."""
    for module in MODULES:
        if group(module) in ("attacks", "shifts"):
            foreign = {name.partition(".")[0] for name in imports(module)} - {PACKAGE, "__future__"}
            assert not foreign & {"torchvision", "timm", "os", "sys", "pathlib", "pandas", "typer", "random"}, (
                module
            )


@pytest.mark.parametrize("module", MODULES)
def test_files_stay_short(module):
    name = MODULES[module].relative_to(FOLDER).as_posix()
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, name


def test_folders_are_one_level_deep():
    assert {len(file.relative_to(FOLDER).parts) for file in MODULES.values()} <= {1, 2}


def test_no_global_randomness():
    """Nothing but one stream per sample."""
    for module, file in MODULES.items():
        if module.endswith("attacks.torchattacks"):  # a library that draws from the global generators only
            continue
        source = file.read_text(encoding="utf-8")
        for call in (
            "np.random.",
            "numpy.random.",
            "random.seed(",
            "torch.manual_seed(",
            "torch.rand(",
            "torch.randn(",
        ):
            assert call not in source, f"{call} in {module}"


def test_public_names_exist():
    for name in robustbench_lite.__all__:
        assert getattr(robustbench_lite, name) is not None
    assert set(dir(robustbench_lite)) == set(robustbench_lite.__all__)
    assert {*robustbench_lite._PUBLIC, "__version__"} == set(robustbench_lite.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = robustbench_lite.nothing
