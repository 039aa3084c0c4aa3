"""The embedded default network: trained on the embedded digits on first use, then kept in the user's cache."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from platformdirs import user_cache_path

from robustbench_lite import __version__
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import load_classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.trainer import Trained, train
from robustbench_lite.weights import save_checkpoint

log = logging.getLogger(__name__)

ARCHITECTURE = "cnn(width=16)"
OPTIONS = TrainingOptions(epochs=15)


def demo() -> Classifier:
    """The embedded default: a small network for the digits, trained on first use (seconds) and cached."""
    path = _cache_file()
    if path.is_file():
        try:
            classifier = load_classifier(str(path), device="cpu")
        except InputError:
            log.warning("the cached demo network %s is damaged; training it again", path)
        else:
            classifier.spec = "demo"
            return classifier
    log.info("training the demo network on the digits, once")
    trained = _train()
    try:
        save_checkpoint(path, trained.network, trained.info)
    except InputError as error:
        log.warning("the demo network cannot be kept: %s", error.what)
    return Classifier(
        trained.network,
        mean=trained.info.mean,
        std=trained.info.std,
        class_names=trained.info.class_names,
        input_shape=trained.info.input_shape,
        spec="demo",
        history=trained.info.history,
    )


def _cache_file() -> Path:
    # Everything that the weights depend on is in the name, so an old file is never taken for a new one.
    key = stable_hash(__version__, torch.__version__, ARCHITECTURE, OPTIONS)
    return user_cache_path("robustbench_lite") / f"demo-{key:016x}.safetensors"


def _train() -> Trained:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that every machine of one kind trains the same network
    try:
        digits = load_dataset("digits", split="train"), load_dataset("digits", split="val")
        return train(ARCHITECTURE, *digits, OPTIONS, baselines=False)
    finally:
        torch.set_num_threads(threads)
