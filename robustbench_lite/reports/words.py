"""What a run says, in words: used by every report that is read by people."""

from __future__ import annotations

from typing import Any

from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.reports.safe import plain as plain
from robustbench_lite.reports.trust import triggered
from robustbench_lite.runs import Run
from robustbench_lite.specs import format_value

Result = dict[str, Any]  # an entry of metrics.summarise


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent; a dash where there is none (None or NaN)."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """A number with few digits; a dash where there is none (None or NaN)."""
    return "–" if value is None or value != value else f"{value:.{digits}g}"


def short(spec: str) -> str:
    """A network or data without the folders of its path, for headings; the evidence has all of it."""
    return spec if "(" in spec else ":".join(map(_last, spec.split(":")))


def _last(path: str) -> str:
    """The last part of a path; in time that grows with its length alone."""
    whole = path.rstrip("/\\")
    return path[max(whole.rfind("/"), whole.rfind("\\")) + 1 :]


def class_name(record: RunRecord, index: int) -> str:
    """The name of a class, also of one that the data do not name."""
    if index < 0:
        return "no finite answer"
    names = record.data.class_names
    return names[index] if index < len(names) else f"class {index}"


def physical(condition: ConditionRecord) -> list[str]:
    """What follows the severity of a shift, such as ``cct_k 5500``."""
    values = condition.values.items()
    return [f"{name} {f'{value:.0f}' if 1000 <= abs(value) < 1e6 else number(value)}" for name, value in values]


def threat(condition: ConditionRecord) -> str:
    """What a condition may do to an image: severity, norm, budget and goal."""
    if condition.kind == "clean":
        return "as they are"
    parts = [] if condition.severity is None else [f"severity {number(condition.severity)}"]
    parts += physical(condition)
    for model in condition.threat_model:
        size = f", at most {format_value(float(model.eps))}" if model.eps is not None else ""
        size = ", smallest change" if model.minimal else size
        parts.append(f"{model.norm}{size}" + (f", towards {model.target}" if model.target else ""))
    return "; ".join(parts)


def verdict(run: Run, results: list[Result]) -> list[str]:
    """The outcome in sentences: counts as they are and under the conditions, then the worst condition.

    An attack without a budget is kept apart: that it succeeds says little, the size of its change does.
    """
    if not results:
        return ["No image was classified: this page holds no result."]
    free = {c.spec: c for c in run.record.conditions if any(t.minimal for t in c.threat_model)}
    clean = next((r for r in results if r["kind"] == "clean"), None)
    bounded = [r for r in results if r["kind"] != "clean" and r["condition"] not in free]
    sentences = _counts(run, clean, bounded, max(r["n"] for r in results))
    if bounded:
        worst = _worst(bounded)
        among = "" if len(bounded) == 1 else f" of {len(bounded)}"
        sentences.append(
            f"Worst condition{among}: {worst['condition']}, {percent(worst['accuracy'])} correct "
            f"(95\N{NO-BREAK SPACE}% interval {percent(worst['ci_low'])} to {percent(worst['ci_high'])})."
        )
    sentences += [_smallest(r, free[r["condition"]]) for r in results if r["condition"] in free]
    return sentences if len(results) > 1 or not clean else [*sentences, "No attack and no shift was tested."]


def _counts(run: Run, clean: Result | None, bounded: list[Result], n: int) -> list[str]:
    # One count in three places reads well; a dozen does not.
    named = bounded if len(bounded) <= 3 else [_worst(bounded)]
    counts = [f"{_correct(clean, n)} correctly as they are"] if clean else []
    counts += [f"{_correct(r, n)} {'' if clean else 'correctly '}under {r['condition']}" for r in named]
    network = "the demo network" if run.record.demo else "this network"
    return [f"Of {n} image{'s' * (n != 1)}, {network} classifies {join(counts)}."] if counts else []


def _smallest(result: Result, condition: ConditionRecord) -> str:
    norm = condition.threat_model[-1].norm
    size = result.get(f"median_{norm}")
    how = f", with a change of {number(size)} ({norm}, median)" if size is not None else ""
    return (
        f"{result['condition']} looks for the smallest change that fools the network: it succeeds on "
        f"{percent(result['success_rate'])} of the images it was run on{how}."
    )


def _worst(results: list[Result]) -> Result:
    return min(results, key=lambda r: float(r["accuracy"]))


def _correct(result: Result, n: int) -> str:
    correct = round(result["accuracy"] * result["n"])
    return f"{correct}" if result["n"] == n else f"{correct} of {result['n']}"


def join(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def alarms(run: Run) -> list[str]:
    """What must be read before any number: an unfinished run, and a demonstration."""
    record, found = run.record, []
    if record.status == "interrupted":
        found.append("INTERRUPTED: this run was stopped before its end. The numbers cover only what was done.")
    if record.status == "failed":
        found.append("FAILED: this run ended with an error. Do not rely on these numbers.")
    if record.shard is not None:
        found.append(
            f"PART: shard {record.shard.index} of {record.shard.count}, with {record.data.n_used} of "
            f"{record.shard.n_whole} images. These numbers lack the others; rb merge puts shards together."
        )
    if record.demo:
        found.append(
            "DEMO: network and data come with this package, to show what the tools do. "
            "The numbers say nothing about any network of yours."
        )
    return found


def warnings(run: Run) -> list[str]:
    """Everything that the run warned of, and what it left out."""
    record, data = run.record, run.record.data
    found = [*record.model.notes, *data.notes]
    found += [
        f"{c.spec}: only {c.n} of {data.n_used} images were done"
        for c in record.conditions
        if 0 < c.n < data.n_used
    ]
    found += [f"{c.spec}: {w}" for c in record.conditions for w in c.warnings]
    found += [sentence for sentence, _ in triggered(run)]
    if record.detector is not None and record.detector.n_seen:
        found.append(
            f"The detector was fitted to or calibrated on {record.detector.n_seen} of the {data.n_used} images: "
            "on others it raises more false alarms."
        )
    if data.n_skipped:
        found.append(f"{data.n_skipped} of {data.n_asked} images could not be used; see the evidence below.")
    return list(dict.fromkeys(found))
