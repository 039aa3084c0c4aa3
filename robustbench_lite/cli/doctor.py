"""What ``rb doctor`` looks at and prints."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from typing import NamedTuple

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.errors import ExitCode

LOOKED_AT = 256  # images


class Finding(NamedTuple):
    """One line: what was looked at, whether it is well (None: only told), and what was found."""

    what: str
    ok: bool | None
    found: str


def run_doctor(common: Common) -> None:
    """Print the findings; exit code 2 if one is bad."""
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("looking", quiet=common.quiet):
        findings = _installation() + _network(common)
    if common.json:
        console.print_json({"findings": [f._asdict() for f in findings]})
    else:
        for finding in findings:
            mark = {True: "ok ", False: "BAD", None: "   "}[finding.ok]
            sys.stdout.write(f"{mark} {finding.what}: {finding.found}\n")
    if any(f.ok is False for f in findings):
        import typer

        raise typer.Exit(ExitCode.REFUSED)


def _installation() -> list[Finding]:
    import torch

    from robustbench_lite.provenance import package_versions

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    return [
        Finding("python", None, f"{platform.python_version()} on {platform.platform()}"),
        Finding("packages", None, versions),
        Finding("devices", None, f"cpu with {torch.get_num_threads()} threads, cuda: {cuda}"),
    ]


def _network(common: Common) -> list[Finding]:
    """Looks at the network and some images of every class."""
    import torch

    from robustbench_lite import checks
    from robustbench_lite.runner import prepare

    inputs = common.inputs()
    if not common.given("limit", "first"):
        inputs = replace(
            inputs, limit=LOOKED_AT, first=None
        )  # drawn from all classes: folders are in the order of theirs
    prepared = prepare(inputs)
    classifier, dataset = prepared.classifier, prepared.dataset
    training = [name for name, module in classifier.network.named_modules() if module.training]
    batch = next(dataset.batches(LOOKED_AT))
    images, labels = batch.images.to(classifier.device), batch.labels.to(classifier.device)
    logits = classifier(images)
    low, high = float(images.min()), float(images.max())
    right = int((logits.argmax(1) == labels).sum())
    counts = torch.bincount(labels, minlength=len(dataset.class_names)).tolist()
    fits = logits.shape[1] == len(dataset.class_names)
    finite = bool(logits.isfinite().all())
    shape = "×".join(map(str, images.shape[1:]))
    normalised = f"mean {classifier.mean}, std {classifier.std}" if classifier.mean else "none"

    def judged(what: str, check: checks.Check) -> Finding:
        return Finding(what, check.status == "passed", f"{check.seen} {check.advice}".rstrip())

    return [
        Finding("network", None, f"{classifier.spec}, {classifier.num_parameters:,} parameters"),
        *(Finding("loading", None, line) for line in classifier.notes),
        Finding("images", None, f"{dataset.spec}, {dataset.split} split, {len(dataset)} images of {shape}"),
        Finding("inputs in [0, 1]", 0 <= low <= high <= 1 and high > low, f"{low:.3f} to {high:.3f}"),
        Finding("normalisation", None, normalised),
        Finding("classes", fits, f"{logits.shape[1]} outputs, {len(dataset.class_names)} classes in the data"),
        Finding("finite outputs", finite, "yes" if finite else "NaN or infinity on unchanged images"),
        judged("logits", checks.logit_outputs(logits)),
        judged("deterministic", checks.repeatable(classifier, images)),
        Finding(
            "eval mode",
            True,
            "set while it is used" + (f" (was in train mode: {len(training)} modules)" if training else ""),
        ),
        judged("accuracy", checks.better_than_majority(right, counts, dataset.class_names))
        if fits
        else Finding("accuracy", False, "cannot be told"),
    ]
