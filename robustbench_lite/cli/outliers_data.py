"""Images and networks for ``rb outliers``: which split, in which shape, for which detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier
    from robustbench_lite.data.dataset import Dataset, Skipped
    from robustbench_lite.inputs import Inputs
    from robustbench_lite.outliers.detector import Detector
    from robustbench_lite.outliers.opening import ClassifierRecord
    from robustbench_lite.outliers.store import DetectorRecord


def divided(inputs: Inputs, usual: str) -> Inputs:
    """With the split that ``auto`` stands for: the usual one, or everything of a path that is not divided."""
    from robustbench_lite.data.loading import usual_split

    if inputs.split != "auto":
        return inputs
    split = usual_split(
        inputs.data, usual, root=inputs.data_root, download=inputs.download, channels=inputs.channels
    )
    return replace(inputs, split=split)


def loaded(inputs: Inputs, *, asks_classifier: bool) -> tuple[Dataset, tuple[Classifier, ClassifierRecord] | None]:
    """The images; and the classifier, if a score asks one, with the labels in its order."""
    from robustbench_lite import runner

    if not asks_classifier:
        return runner.load_data(inputs), None
    from robustbench_lite.outliers.opening import ClassifierRecord

    prepared = runner.prepare(inputs)
    classifier, dataset = prepared.classifier, prepared.dataset
    record = ClassifierRecord(
        model=inputs.model,
        weights=None if inputs.weights is None else str(inputs.weights.absolute()),
        mean=list(classifier.mean) if inputs.mean else None,
        std=list(classifier.std) if inputs.mean else None,
        classes=len(dataset.class_names),
        shape=dataset.image_shape,
        sha256=classifier.weights_sha256,
    )
    return dataset, (classifier, record)


def opened(
    common: Common, folder: Path, usual: str, *, by_part: bool = False
) -> tuple[Detector, Dataset, DetectorRecord]:
    """A detector, and images brought to the shape that those of its fitting were brought to.

    With ``by_part`` they are also grouped as those were, unless --group says otherwise.
    """
    from robustbench_lite import runner
    from robustbench_lite.classifiers.loading import load_classifier, resolve_device
    from robustbench_lite.inputs import normalisation
    from robustbench_lite.outliers.opening import open_detector, preprocessing, read_networks
    from robustbench_lite.outliers.store import read_detector_record

    record = read_detector_record(folder)
    device, classifier = resolve_device(common.device), None
    if common.model != "demo":
        known = read_networks(record, folder).classifier
        if known is None:
            raise InputError(f"{folder} asks no classifier, so --model means nothing.", "Leave it out.")
        mean, std = normalisation(common.mean, common.std)
        classifier = load_classifier(
            common.model,
            weights=common.weights,
            mean=mean or known.mean,
            std=std or known.std,
            num_classes=known.classes,
            input_shape=known.shape,
            device=device,
        )
    detector = open_detector(folder, classifier, device)
    inputs, known_fit = common.inputs(), preprocessing(record)
    if common.input_size is None and common.resize is None and known_fit["input_size"]:
        size = "x".join(map(str, known_fit["input_size"]))
        inputs = replace(inputs, input_size=size, resize=known_fit["resize"])
    group = record.about.get("data", {}).get("group")
    if by_part and common.group is None:
        inputs = replace(inputs, group=group)
    if common.channels is None:
        inputs = replace(inputs, channels=known_fit["channels"])
    return detector, runner.load_data(divided(inputs, usual)), record


def told(common: Common, notes: Sequence[str], skipped: Sequence[Skipped]) -> None:
    """What was decided while loading, and which images could not be read, on stderr."""
    if not common.quiet:
        for line in notes:
            console.note(f"note: {line}")
    for file, reason in skipped[:5]:
        console.note(f"warning: {file} is left out: {reason}.")
    if len(skipped) > 5:
        console.note(f"warning: {len(skipped) - 5} more images are left out.")
