"""A network judged on what its fold held out, and what all folds come to together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.evaluation import evaluate
from robustbench_lite.intervals import proportion_interval, resampled_interval
from robustbench_lite.metrics import calibration_error, per_class
from robustbench_lite.training.baselines import baselines
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.tensors import tensors_of
from robustbench_lite.training.validating import shifted_images

Row = dict[str, Any]

MEASURES = (
    *("accuracy", "worst_class_accuracy", "ece", "brier", "robust_accuracy", "shift_accuracy"),
    *("majority_class", "nearest_neighbour", "logistic_regression"),
)
_LARGEST = {"brier": 2.0}  # the others end at 1
_BATCH = 256  # images


def attack_of(recipe: Recipe) -> PGD | None:
    """What robust accuracy is measured under: PGD with the budget that the recipe learns from."""
    defence = recipe.adversarial
    return None if defence is None else PGD(eps=defence.eps, norm=defence.norm)  # type: ignore[arg-type]


def judged(
    network: Classifier, train_set: Dataset, held_out: Dataset, recipe: Recipe, seed: int
) -> tuple[Row, pd.DataFrame]:
    """The measures of a network, and a row per image held out.

    Args:
        network: with the history of its training.
        train_set: what it learnt from: simple methods learn from it, too.
        held_out: what it is judged on.
        recipe: with attacks and shifts, it is judged under them as well.
        seed: of all that is drawn.
    """
    attack = attack_of(recipe)
    found = evaluate(network, held_out, [] if attack is None else [attack], seed=seed, probes=False)
    if found.error is not None:
        raise found.error
    if found.status == "interrupted":
        raise KeyboardInterrupt
    clean = found.samples[found.samples["kind"] == "clean"]
    classes = per_class(clean, held_out.class_names, grouped=False)
    worst = min(classes, key=lambda c: float(c["accuracy"]))
    right = clean["prediction"] == clean["label"]
    attacked = found.samples[found.samples["kind"] == "attack"]
    history = network.history or {}
    epochs = history["epochs"]
    row = {
        "epochs": len(epochs),
        "best_epoch": history["best_epoch"],
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "cpu_seconds": sum(epoch["cpu_seconds"] for epoch in epochs),
        "accuracy": float(clean["correct"].mean()),
        "worst_class": worst["class_name"],
        "worst_class_accuracy": float(worst["accuracy"]),
        "ece": calibration_error(clean["confidence"].to_numpy(), right.to_numpy()).error,
        "brier": float(clean["brier"].mean()),
        "robust_accuracy": float(attacked["correct"].mean()) if len(attacked) else None,
        "shift_accuracy": _under_shifts(network, held_out, recipe, seed),
        **{one.name.replace(" ", "_"): one.accuracy for one in baselines(train_set, held_out, seed)},
        "verdicts": [v for v in history["verdicts"] if v["kind"] != "fine"],
    }
    return row, _predictions(clean, held_out.class_names)


def _under_shifts(network: Classifier, held_out: Dataset, recipe: Recipe, seed: int) -> float | None:
    """Accuracy with one draw of the recipe's shifts per image."""
    if not recipe.shifts:
        return None
    data = tensors_of(held_out, str(network.device))
    images = shifted_images(recipe, data, seed)
    if images is None:  # the mixture leaves them out
        return None
    right = 0
    for start in range(0, len(data.labels), _BATCH):
        chunk = slice(start, start + _BATCH)
        right += int((network(images[chunk]).argmax(1) == data.labels[chunk]).sum())
    return right / len(data.labels)


def _predictions(rows: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file": rows["file"].astype(str).to_numpy(),
            "group": rows["group"].to_numpy(),
            "label": [class_names[label] for label in rows["label"]],
            "prediction": [class_names[label] for label in rows["prediction"]],
            "confidence": rows["confidence"].to_numpy(),
            "correct": rows["correct"].to_numpy(),
        }
    )


def summary(rows: Sequence[Row], *, with_interval: bool) -> list[Row]:
    """Mean over the folds of every measure, its standard deviation, smallest and largest value, and interval.

    Args:
        rows: of the folds.
        with_interval: the corrected resampled t; it says nothing of folds that are ordered in time.
    """
    ratio = float(np.mean([row["held_out"] / (row["train"] + row["val"]) for row in rows]))
    found = []
    for name in MEASURES:
        values = [row[name] for row in rows if row[name] is not None]
        if not values:
            continue
        several = len(values) > 1
        spread = with_interval and min(values) < max(values)  # or it would have no width, which is no certainty
        interval = resampled_interval(values, ratio) if spread else None
        found.append(
            {
                "measure": name,
                "folds": len(values),
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)) if several else None,
                "min": min(values),
                "max": max(values),
                "ci_low": None if interval is None else max(0.0, interval.low),
                "ci_high": None if interval is None else min(_LARGEST.get(name, 1.0), interval.high),
            }
        )
    return found


def pooled(predictions: pd.DataFrame, *, grouped: bool) -> Row:
    """The accuracy over all predictions of images held out, with Wilson's interval.

    Units are groups where there are any, and otherwise images, which repeated folds hold out several times.

    Args:
        predictions: of all folds.
        grouped: whether the images have groups.
    """
    repeated = bool(predictions["file"].duplicated().any())
    units = predictions["group"] if grouped else predictions["file"] if repeated else None
    interval = proportion_interval(predictions["correct"].to_numpy(), None if units is None else units.to_numpy())
    return {
        "n": int(predictions["file"].nunique()),
        "predictions": len(predictions),
        "accuracy": float(predictions["correct"].mean()),
        "ci_low": interval.low,
        "ci_high": interval.high,
    }
