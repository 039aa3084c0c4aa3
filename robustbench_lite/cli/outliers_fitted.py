"""What ``rb outliers fit`` and ``rb outliers calibrate`` print, and the parts of their JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_lite import console

if TYPE_CHECKING:
    from robustbench_lite.outliers.conformal import Threshold
    from robustbench_lite.outliers.gathering import Division
    from robustbench_lite.training.generators import TrainedGenerator


def expected(division: Division, rate: float, unit: str) -> dict[str, Any]:
    """What will be promised: the promise follows from the number of images alone."""
    if not division.units:
        return {"promise": None}
    import numpy as np

    from robustbench_lite.outliers.conformal import promise
    from robustbench_lite.outliers.conformal import threshold as chosen

    return {"promise": promise(chosen(np.arange(division.units, dtype=float), rate), unit)}


def threshold(found: Threshold | None, unit: str) -> dict[str, Any]:
    from robustbench_lite.outliers.conformal import promise

    if found is None:
        return {"threshold": None, "promise": None}
    return {"threshold": found._asdict(), "promise": promise(found, unit)}


def training(found: TrainedGenerator) -> dict[str, Any]:
    """What is to be said of the generator that was trained because none was given."""
    epochs, best = found.history["epochs"], found.history["best_epoch"]
    return {
        "generator": found.spec,
        "shape": list(found.network.shape),
        "likelihood": found.network.likelihood,
        "epochs": len(epochs),
        "best_epoch": best,
        "val_loss": epochs[best - 1]["val_loss"],
        "seconds": found.history["seconds"],
    }


def print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.print_json(plan)
        return
    for key, value in plan.items():
        if key == "scores":
            value = ", ".join(f"{m['score']} (weight {m['weight']:g}, {m['passes']} passes)" for m in value)
        console.stdout().print(f"{key.replace('_', ' ')}: {value}", markup=False, soft_wrap=True)


def print_fitted(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.print_json(result)
        return
    out = console.stdout()
    if "scores" in result:
        scores = ", ".join(f"{m['score']} ({m['weight']:g})" for m in result["scores"])
        out.print(f"scores (weights): {scores}", markup=False, soft_wrap=True)
        if result["trained"]:
            made = result["trained"]
            text = f"{made['epochs']} epochs, validation loss {made['val_loss']:.2f} nats ({made['likelihood']})"
            out.print(f"trained {made['generator']}: {text}, {made['seconds']} s", markup=False, soft_wrap=True)
        whom = ", ".join(result["normal"]) or "all classes"
        text = f"fitted to {result['n_fit']} images of {result['data']}, {result['split']} split, normal: {whom}"
        out.print(text, markup=False, soft_wrap=True)
    if result["threshold"] is None:
        out.print("no threshold: rb outliers calibrate chooses one", markup=False)
    else:
        found = result["threshold"]
        out.print(
            f"threshold {found['value']:.3f}, chosen with {found['n']} {result['unit']} used for nothing else",
            markup=False,
        )
        out.print(f"promise: {result['promise']}", markup=False, soft_wrap=True)
    out.print(f"detector: {result['detector']}", markup=False, soft_wrap=True)
