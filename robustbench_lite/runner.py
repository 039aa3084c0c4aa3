"""From a few strings to a run: load the network and the data, evaluate, write the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from robustbench_lite import runs
from robustbench_lite.applying import check_fits, needing_colour, resolve
from robustbench_lite.beginning import begun, in_batches, told_if_unwritten
from robustbench_lite.breaking import Until, breaking_points
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import load_classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.data.saved import of_demo
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import Evaluation, check_gradients, evaluate
from robustbench_lite.guarding import check_detector, plan_guarded
from robustbench_lite.inputs import DEMO_DATA, Inputs, check_demo, normalisation, parse_size
from robustbench_lite.recording import n_asked, record
from robustbench_lite.registry import make, spec, without_severity
from robustbench_lite.run_folder import new_id
from robustbench_lite.saving import ImageWriter
from robustbench_lite.search import TRIES, Found, check_ranges, search
from robustbench_lite.sharding import WHOLE, Shard
from robustbench_lite.types import Condition, Shift, is_shift
from robustbench_lite.working import Progress

if TYPE_CHECKING:
    from robustbench_lite.outliers.detector import Detector


@dataclass(frozen=True)
class Prepared:
    """Everything that an evaluation needs, loaded and found to fit."""

    inputs: Inputs
    classifier: Classifier
    dataset: Dataset
    conditions: list[Condition]
    notes: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    tries: int = TRIES
    detector: Detector | None = None
    detector_folder: Path | None = None
    suites: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shard: Shard = WHOLE


def prepare(
    inputs: Inputs,
    conditions: Sequence[str | Condition] = (),
    *,
    if_colour: Sequence[Condition] = (),
    ranges: Sequence[str] = (),
    tries: int = TRIES,
    detector: Path | None = None,
    suites: Mapping[str, Sequence[str]] | None = None,
    shard: Shard = WHOLE,
) -> Prepared:
    """Load the network and the data, and fill in what each says about the other.

    Args:
        inputs: which network and which images.
        conditions: what will be done to the images.
        ranges: chains of shifts whose worst case inside ranges of their arguments is looked for.
        tries: points that such a search looks at, per image.
        detector: the folder of an outlier detector, which judges every image.
        if_colour: those of the conditions that are left out, with a note, if they change colour and there is none.
        suites: the named lists that the conditions come from, to be written down.
        shard: which part of the images.

    Raises:
        InputError: a wrong name, a missing file, or parts that do not fit.
    """
    known = not inputs.demo or inputs.data == DEMO_DATA or of_demo(inputs.data, DEMO_DATA)
    check_demo(inputs.model, inputs.data, known=known)
    mean, std = normalisation(inputs.mean, inputs.std)
    options: dict[str, Any] = {"weights": inputs.weights, "mean": mean, "std": std, "device": inputs.device}
    if _knows_itself(inputs):
        classifier = load_classifier(inputs.model, **options)
        dataset = load_data(inputs, shape=classifier.input_shape)
    else:
        zoo = inputs.model.partition(":")[0].lower() in ("torchvision", "timm")
        colour = replace(inputs, channels=3) if zoo and inputs.channels is None else inputs
        dataset = load_data(colour)
        classifier = load_classifier(
            inputs.model, class_names=dataset.class_names, input_shape=dataset.image_shape, **options
        )
    dataset = _noted(aligned(dataset, classifier), classifier)
    left_out = needing_colour(if_colour, dataset.image_shape[0])
    spaces = check_ranges(ranges, tries)
    if len(left_out) == len(conditions):  # nothing would be left: refused below
        left_out = []
    opened = None if detector is None else _opened(detector, classifier, dataset)
    wanted = [condition for condition in conditions if condition not in left_out]
    planned = plan_guarded(wanted, dataset.eps, has_detector=opened is not None)
    check_gradients(planned, classifier)
    searched = [Condition(space.parts) for space in spaces]
    check_fits([*planned, *searched], dataset.spec, dataset.labels, len(dataset.class_names), dataset.image_shape)
    notes = colour_note(left_out, dataset.image_shape[0])
    listed = {
        name: [spec(resolve(make(text), dataset.eps)) for text in specs] for name, specs in (suites or {}).items()
    }
    inputs, told = in_batches(inputs, shard, dataset, classifier)
    notes = (*notes, *told, *inputs.fewer(n_asked(dataset)))
    return Prepared(
        inputs, classifier, dataset, planned, notes, tuple(ranges), tries, opened, detector, listed, shard
    )


def _opened(folder: Path, classifier: Classifier, dataset: Dataset) -> Detector:
    """The detector in a folder, if it can judge these images."""
    from robustbench_lite.outliers.opening import open_detector

    found = open_detector(folder, classifier, str(classifier.device))
    check_detector(found, dataset.image_shape)
    return found


def colour_note(left_out: Sequence[Condition], channels: int) -> tuple[str, ...]:
    """What is said of conditions that change colour, and were left out because the images have none."""
    names = dict.fromkeys(map(without_severity, left_out))
    if not names:
        return ()
    return (f"left out, because they change colour and the images have {channels} channel(s): {', '.join(names)}",)


def _noted(dataset: Dataset, classifier: Classifier) -> Dataset:
    """The data, with a note if the network was trained on them."""
    if (classifier.history or {}).get("train_manifest_sha256") != dataset.manifest_hash:
        return dataset
    note = "the network was trained on exactly these images: its accuracy on others will be lower"
    return replace(dataset, notes=(*dataset.notes, note))


def _knows_itself(inputs: Inputs) -> bool:
    """Whether the network brings its own classes and input shape."""
    checkpoint = inputs.weights is None and Path(inputs.model).suffix in (".safetensors", ".pt", ".pth")
    return inputs.demo or checkpoint


def load_images(inputs: Inputs) -> Dataset:
    """The images for one who asks no network, in the shape that the network of ``inputs`` would get them in."""
    if inputs.demo or not _knows_itself(inputs):
        return load_data(inputs)
    return load_data(inputs, shape=load_classifier(inputs.model, device="cpu").input_shape)


def load_data(inputs: Inputs, *, shape: tuple[int, int, int] | None = None) -> Dataset:
    """The images, in the shape that the network was made for unless another is asked for."""
    size = parse_size(inputs.input_size)
    return load_dataset(
        inputs.data,
        split=inputs.split,
        root=inputs.data_root,
        download=inputs.download,
        input_size=size or (shape and shape[1:]),
        resize=inputs.resize,
        channels=inputs.channels or (shape[0] if shape and shape[0] in (1, 3, 4) else None),
        group=inputs.group,
        limit=inputs.limit,
        first=inputs.first,
        seed=inputs.seed,
        max_damaged=inputs.max_damaged,
    )


def aligned(dataset: Dataset, classifier: Classifier) -> Dataset:
    """The data with their labels in the network's order of classes, if the network names its classes.

    Raises:
        InputError: the data have a class that the network does not know.
    """
    known = classifier.class_names
    if known is None or known == dataset.class_names:
        return dataset
    strange = [name for name in dataset.class_names if name not in known]
    if strange:
        raise InputError(
            f"the network does not know the class {strange[0]!r} of {dataset.spec}; "
            f"it knows {', '.join(known[:6])}{', …' if len(known) > 6 else ''}.",
            "Give the data that it was trained for, or the right network.",
        )
    import numpy as np

    place = np.array([known.index(name) for name in dataset.class_names], dtype=np.int64)
    return replace(dataset, class_names=known, labels=place[dataset.labels])


def run(
    prepared: Prepared,
    *,
    command: str,
    out: Path | None = None,
    argv: Sequence[str] = (),
    as_8bit: bool = False,
    probes: bool = True,
    save_images: bool = False,
    until: Until | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> runs.Run:
    """Evaluate and write the run folder, whatever became of the evaluation.

    Args:
        prepared: network, images and conditions.
        command: a word for the run's name.
        out: the folder; by default a new one in ``runs/``.
        argv: the command line.
        as_8bit: adversarial images are rounded to 8 bits, within the budget, before they are scored.
        save_images: write every image of every condition into the folder.
        until: seek the breaking points of the conditions, which are shifts, at whatever severities that takes.
        resume: go on with an unfinished run of the same beside ``out``, or in it, which is then replaced.
        on_progress: as for ``evaluate``.

    Returns:
        The run as it was written; its record's ``status`` tells whether it is complete.

    Raises:
        InputError: the folder cannot be written, or there is no going on; said before anything is computed.
        Exception: what broke the evaluation, after the finished part has been written.
    """
    inputs, identity = prepared.inputs, new_id(command)
    path = out or Path("runs") / identity
    store, folder = begun(prepared, path, as_8bit=as_8bit, save_images=save_images, resume=resume)
    writer = ImageWriter(folder.work)
    options: dict[str, Any] = {
        "seed": inputs.seed,
        "batch_size": inputs.batch_size,
        "store": store,
        **({} if prepared.shard == WHOLE else {"shard": prepared.shard}),
        "on_progress": on_progress,
        **({"on_images": writer.add} if save_images else {}),
    }
    try:
        searched = [_searched(prepared, ranges, on_progress) for ranges in prepared.ranges]
        found = [condition for s in searched for condition in (s.together, Condition((s.each,)))]
        result = _evaluated(prepared, found, as_8bit=as_8bit, probes=probes, until=until, options=options)
        if any(s.interrupted for s in searched) and result.status == "done":
            result.status = "interrupted"
        with told_if_unwritten(path, store):
            saved = writer.finish(result.samples, prepared.dataset.class_names)
            result.conditions = [c.model_copy(update={"saved": saved.get(c.spec)}) for c in result.conditions]
            if searched:
                tables = [s.table.assign(search=s.space.text) for s in searched]
                pd.concat(tables, ignore_index=True).to_parquet(folder.work / "search.parquet", index=False)
            written = record(prepared, result, identity, command, argv, as_8bit, searched, store)
            folder.commit(written, result.samples, result.images)
        if store and result.status == "done":
            store.remove()
    except BaseException:
        folder.discard()
        raise
    finally:
        if store:
            store.close()
    if result.error is not None:
        result.error.add_note(f"What was finished is in {path}.")
        raise result.error
    return runs.read_run(path)


def _evaluated(
    prepared: Prepared,
    found: Sequence[Condition],
    *,
    as_8bit: bool,
    probes: bool,
    until: Until | None,
    options: dict[str, Any],
) -> Evaluation:
    """The evaluation, or search for breaking points; failed if too many images could not be read."""
    classifier, dataset = prepared.classifier, prepared.dataset
    if until is None:
        conditions, judge = [*prepared.conditions, *found], prepared.detector
        result = evaluate(
            classifier, dataset, conditions, as_8bit=as_8bit, probes=probes, detector=judge, **options
        )
    else:
        result = breaking_points(classifier, dataset, _shifts(prepared.conditions), **options, **until._asdict())
    if result.status == "done" and len(result.skipped) > prepared.inputs.max_damaged * n_asked(dataset):
        result.status = "failed"
        result.error = InputError(
            f"{len(result.skipped)} of {n_asked(dataset)} images could not be read, "
            f"the first: {result.skipped[0].file}.",
            "Delete or replace them, or raise --max-damaged.",
        )
    return result


def _shifts(conditions: Sequence[Condition]) -> list[Shift]:
    """The shifts among the conditions; clean is left out."""
    return [part for condition in conditions for part in condition.parts if is_shift(part)]


def _searched(prepared: Prepared, ranges: str, on_progress: Callable[[Progress], None]) -> Found:
    return search(
        prepared.classifier,
        prepared.dataset,
        ranges,
        tries=prepared.tries,
        seed=prepared.inputs.seed,
        batch_size=prepared.inputs.batch_size,
        on_progress=lambda *progress: on_progress(Progress(*progress)),
    )
