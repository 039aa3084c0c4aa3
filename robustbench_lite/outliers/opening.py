"""A detector's folder together with the networks that its scores ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_lite import registry
from robustbench_lite.classifiers.loading import load_classifier, model_call
from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import LatentModel
from robustbench_lite.outliers.detector import Detector
from robustbench_lite.outliers.score import Parts
from robustbench_lite.outliers.store import DetectorRecord, load_detector, read_detector_record, save_detector
from robustbench_lite.specs import parse

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier

CLASSIFIER, GENERATOR = "classifier.safetensors", "generator.safetensors"
_NETWORKS = "networks"


class ClassifierRecord(BaseModel):
    """How to load the classifier that a detector asks.

    Args:
        model: its spec; a checkpoint of ``rb train`` is copied into the folder.
        weights: its file of weights, elsewhere.
        mean, std: its normalisation, if it was given.
        classes: number of outputs.
        shape: (C, H, W) of its images.
        sha256: of its weights.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    weights: str | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    classes: int
    shape: tuple[int, int, int]
    sha256: str


class NetworksRecord(BaseModel):
    """The networks of a detector; None: it asks none."""

    model_config = ConfigDict(extra="forbid")

    classifier: ClassifierRecord | None = None
    generator: bool = False


def write_detector(
    detector: Detector,
    folder: Path,
    about: dict[str, Any],
    *,
    classifier: ClassifierRecord | None = None,
    generator: Path | None = None,
) -> None:
    """Write a detector and its networks as a folder, whole or not at all.

    Args:
        detector: with or without a threshold.
        folder: its place.
        about: how it was made; JSON.
        classifier: how to load the one in ``detector.parts``.
        generator: the checkpoint of the one in ``detector.parts``.

    Raises:
        InputError: the place cannot be written, or is taken by something that is no detector.
    """
    files = {}
    if classifier is not None and _is_checkpoint(classifier):
        files[CLASSIFIER] = Path(classifier.model).expanduser()
        classifier = classifier.model_copy(update={"model": CLASSIFIER})
    if generator is not None:
        files[GENERATOR] = generator
    networks = NetworksRecord(classifier=classifier, generator=generator is not None)
    save_detector(detector, folder, {**about, _NETWORKS: networks.model_dump(mode="json")}, files)


def open_detector(folder: Path | str, classifier: Classifier | None = None, device: str = "cpu") -> Detector:
    """Read a detector, and load the networks that its scores ask.

    No code in the folder is run. A classifier of a ``file.py:factory`` is not loaded by itself: give it.

    Args:
        folder: what ``rb outliers fit`` wrote.
        classifier: the one that its scores ask, if it is loaded already.
        device: where the networks go.

    Raises:
        InputError: no detector, a damaged one, or a network that is missing or another than it was fitted with.
    """
    folder = Path(folder)
    record = read_detector_record(folder)
    for member in record.members:
        _check_code(member.spec, folder)
    needs = {registry.make_one("score", member.spec).needs for member in record.members}
    known = read_networks(record, folder).classifier
    asked = _classifier(folder, known, classifier, device) if "classifier" in needs else None
    generator = None
    if "generator" in needs:
        if not (folder / GENERATOR).is_file():
            raise InputError(f"{folder} lacks {GENERATOR}, which its scores ask.", "Fit the detector again.")
        generator = load_parts_generator(folder / GENERATOR, device)
    return load_detector(folder, Parts(asked, generator))


def read_networks(record: DetectorRecord, folder: Path) -> NetworksRecord:
    """What a detector's folder says of its networks.

    Raises:
        InputError: it is damaged.
    """
    try:
        return NetworksRecord.model_validate(record.about.get(_NETWORKS, {}))
    except ValidationError as error:
        raise InputError(f"{folder} is damaged: {error.errors()[0]['msg']}.", "Fit the detector again.") from None


def load_parts_generator(path: Path, device: str = "cpu") -> LatentModel:
    """The model of images in a checkpoint, which must be one that scores can ask.

    Raises:
        InputError: no such checkpoint, or a model without latents.
    """
    import importlib

    from robustbench_lite.generative.latent import LatentModel

    model = (
        importlib.import_module("robustbench_lite.generative.loading").load_generator(path, device=device).model
    )
    if not isinstance(model, LatentModel):
        raise InputError(f"{path} holds a model without latents.", "Train one: rb train --model vae.")
    return model


def preprocessing(record: DetectorRecord) -> dict[str, Any]:
    """``input_size`` (H, W), ``resize`` and ``channels`` that the detector's images were brought to, or None."""
    found = record.about.get("preprocessing") or {}
    return {name: found.get(name) for name in ("input_size", "resize", "channels")}


def _is_checkpoint(record: ClassifierRecord) -> bool:
    return record.weights is None and Path(record.model).suffix == ".safetensors"


def _check_code(spec: str, folder: Path) -> None:
    """Refuse a score whose code lies in the folder: who sends a detector sends no program."""
    where, _, _ = parse(spec)[0].name.rpartition(":")
    if where.endswith(".py") and Path(where).expanduser().resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} names code of its own, {where}.", "Nothing in it is run: fit your own.")


def _classifier(
    folder: Path, record: ClassifierRecord | None, given: Classifier | None, device: str
) -> Classifier | None:
    if record is None:
        return given
    if given is None:
        if registry.is_code("model", model_call(record.model).name):
            weights = f" --weights {record.weights}" if record.weights else ""
            raise InputError(
                f"{folder} asks the classifier {record.model}, which is code of yours.",
                f"Give it: --model {record.model}{weights}.",
            )
        given = load_classifier(
            str(folder / CLASSIFIER) if record.model == CLASSIFIER else record.model,
            weights=record.weights,
            mean=record.mean,
            std=record.std,
            num_classes=record.classes,
            input_shape=record.shape,
            device=device,
        )
    if given.weights_sha256 != record.sha256:
        raise InputError(
            f"the classifier {given.spec} is not the one that {folder} was fitted with.",
            f"Give that one ({record.model}), or fit the detector again.",
        )
    return given
