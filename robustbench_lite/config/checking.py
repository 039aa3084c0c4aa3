"""What is wrong with a configuration beyond its form: names that do not exist, files that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from robustbench_lite import registry
from robustbench_lite.config.covering import covers
from robustbench_lite.config.faults import ConfigError, printable
from robustbench_lite.config.folder import class_names, splits_of
from robustbench_lite.config.patterns import check_spec, never
from robustbench_lite.config.places import anchored
from robustbench_lite.config.reading import Loaded, load_config
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.gates.matching import fits
from robustbench_lite.gates.metrics import check_rule, metric_of
from robustbench_lite.gates.rule import Rule
from robustbench_lite.references import is_reference
from robustbench_lite.specs import parse
from robustbench_lite.suites import find_suite, suites
from robustbench_lite.types import SPLITS


class Finding(NamedTuple):
    """Something that is wrong: an error, or a warning of what is not there yet."""

    is_error: bool
    place: str
    words: str


def check(path: Path | str | None = None) -> tuple[Loaded | None, list[Finding]]:
    """Read a file, and look at what it names. Nothing is imported, and no network or image is loaded.

    Raises:
        InputError: no such file, or no TOML.
    """
    try:
        loaded = load_config(path)
    except ConfigError as error:
        return None, [Finding(True, *_split(fault)) for fault in error.faults]
    found = [*_model(loaded), *_data(loaded), *_suites(loaded), *_run(loaded)]
    return loaded, [*found, *(finding for rule in loaded.config.gate for finding in _gate(rule, loaded))]


def _split(fault: str) -> tuple[str, str]:
    place, colon, words = fault.partition(": ")
    return (place, words) if colon else ("", fault)


def _model(loaded: Loaded) -> Iterator[Finding]:
    model = loaded.config.model
    alone = [name for name in ("weights", "mean", "std") if getattr(model, name) is not None]
    if alone and "spec" not in model.model_fields_set:
        yield Finding(True, f"model.{alone[0]}", "of which network? Say model.spec, too")
    if (model.mean is None) != (model.std is None) and model.mean != "imagenet":
        yield Finding(True, "model.mean", "mean and std belong together")
    spec = anchored({("model", "spec"): model.spec}, _folder(loaded))["model", "spec"]
    file = spec.partition(".py:")[0] + ".py" if ".py:" in spec else spec
    if Path(file).suffix in (".safetensors", ".pt", ".pth", ".py"):
        yield from _missing("model.spec", Path(file))
    else:
        yield from _named("model", "model.spec", spec)
    if model.weights is not None:
        yield from _missing("model.weights", loaded.resolve(model.weights))


def _data(loaded: Loaded) -> Iterator[Finding]:
    data = loaded.config.data
    if data.limit is not None and data.first is not None:
        yield Finding(True, "data.first", "limit and first exclude each other")
    if data.split not in SPLITS:
        yield Finding(True, "data.split", str(UnknownNameError("split", printable(data.split), SPLITS)))
    spec = anchored({("data", "spec"): data.spec}, _folder(loaded))["data", "spec"]
    kind, _, place = spec.partition(":")
    has = splits_of(Path(place).expanduser()) if kind.lower() in ("folder", "images") else set()
    if has and data.split in SPLITS and data.split not in {*has, "all"}:
        yield Finding(False, "data.split", f"{printable(spec)} has no {data.split}/, but {', '.join(sorted(has))}")
    if ".py:" in spec and not is_reference(kind) and kind.lower() not in ("folder", "images", "npz", "run"):
        yield from _missing("data.spec", Path(spec.partition(".py:")[0] + ".py"))
        return
    yield from _named("data", "data.spec", kind)
    if kind.lower() in ("folder", "images", "npz", "run"):
        yield from _missing("data.spec", Path(place.partition("#")[0] if kind.lower() == "run" else place))


def _named(kind: str, place: str, spec: str) -> Iterator[Finding]:
    try:
        name = parse(spec)[0].name
        known = registry.canonical_name(kind, name) or registry.canonical_name(kind, name.partition(":")[0])
        if known is None and not is_reference(name):
            raise UnknownNameError("data set" if kind == "data" else kind, name, registry.names(kind))
    except InputError as error:
        yield Finding(True, place, str(error))


def _suites(loaded: Loaded) -> Iterator[Finding]:
    for name, suite in loaded.config.suites.items():
        for text in suite.conditions:
            try:
                check_spec(text)
            except InputError as error:
                yield Finding(True, f"suites.{printable(name)}", str(error))
    try:
        known = suites(loaded.config.suites)
    except InputError as error:  # it names the suite
        yield Finding(True, "suites", str(error))
        return
    wanted = loaded.config.run.suite
    try:
        if wanted is not None:
            find_suite(wanted, loaded.config.suites)
    except InputError:
        yield Finding(True, "run.suite", str(UnknownNameError("suite", wanted or "", known)))


def _run(loaded: Loaded) -> Iterator[Finding]:
    run = loaded.config.run
    if run.detector is not None:
        yield from _missing("run.detector", loaded.resolve(run.detector))


def _gate(rule: Rule, loaded: Loaded) -> Iterator[Finding]:
    place = f"gate[{printable(rule.id)}]"
    where = rule.where
    if reason := never(where.condition, where.kind, where.severity):
        yield Finding(True, f"{place}.where", f"this rule can never match: {reason}")
    elif missing := _not_in_suite(rule, loaded):
        yield Finding(False, f"{place}.where", missing)
    if missing := _no_class(where.class_, loaded):
        yield Finding(False, f"{place}.where.class", missing)
    try:
        metric_of(rule.metric)
    except InputError as error:
        yield Finding(True, f"{place}.metric", str(error))
    else:
        try:
            check_rule(rule)
        except InputError as error:
            yield Finding(True, place, str(error))
    if rule.baseline is not None:
        folder = loaded.resolve(rule.baseline)
        if folder.is_dir() and not (folder / "run.json").is_file():
            yield Finding(False, f"{place}.baseline", f"{folder} is no run: it has no run.json")
        yield from _missing(f"{place}.baseline", folder)


def _not_in_suite(rule: Rule, loaded: Loaded) -> str:
    """Why a run of the suite has nothing that the rule is about; empty if it has, or if that is not known."""
    name, where = loaded.config.run.suite, rule.where
    if name is None or (where.condition, where.kind, where.severity) == (None, None, None):
        return ""
    try:
        specs = find_suite(name, loaded.config.suites).conditions
    except InputError:  # told where the suite is checked
        return ""
    if covers(specs, where):
        return ""
    return f"no condition of run.suite ({printable(name)}) matches: after a plain rb eval, rb gate ends with ERROR"


def _no_class(pattern: str | None, loaded: Loaded) -> str:
    """Why no image is of a class; empty if some are, or if the classes are not known without reading the data."""
    spec = anchored({("data", "spec"): loaded.config.data.spec}, _folder(loaded))["data", "spec"]
    kind, _, place = spec.partition(":")
    known = class_names(Path(place).expanduser()) if kind.lower() in ("folder", "images") else []
    if pattern is None or not known or any(fits(pattern, name) for name in known):
        return ""
    return str(UnknownNameError("class", pattern, known))


def _missing(place: str, path: Path) -> Iterator[Finding]:
    if not path.expanduser().exists():
        yield Finding(False, place, f"there is no {printable(path)}")


def _folder(loaded: Loaded) -> Path:
    return Path() if loaded.path is None else loaded.path.parent
