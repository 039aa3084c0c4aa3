"""The numbers of a comparison: a row per recipe, from the evaluation of its network."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from robustbench_lite.comparing import learns_from
from robustbench_lite.evaluation import Evaluation
from robustbench_lite.intervals import paired_interval, proportion_interval
from robustbench_lite.training.recipe import Recipe

Row = dict[str, Any]  # numbers, texts, None, and lists and dicts of these

_NUMBERS = ("accuracy", "ci_low", "ci_high", "gain", "gain_low", "gain_high")
_TRAINING = ("file", "epochs", "best_epoch", "seconds", "cpu_seconds", "times", "cpu_times")


class Judged(NamedTuple):
    """A network under all conditions, in their order."""

    result: Evaluation

    def row(self, standard: Judged | None) -> Row:
        """Its numbers, and how far they are above those of the standard network on the same images."""
        found = [self.under(record.spec, standard) for record in self.result.conditions]
        clean, *shifts, robust = found
        worst = min(shifts, key=lambda shift: float(shift["accuracy"]))
        return {
            "n": self.result.conditions[0].n,
            **{f"clean_{key}": value for key, value in clean.items() if key != "condition"},
            **{f"robust_{key}": value for key, value in robust.items() if key != "condition"},
            "worst_shift": worst["condition"],
            **{f"worst_shift_{key}": worst[key] for key in ("accuracy", "ci_low", "ci_high")},
            "shifts": shifts,
            "doubts": [
                f"{record.spec}: {check.seen}"
                for record in self.result.conditions
                for check in record.checks
                if check.status == "triggered"
            ],
        }

    def under(self, condition: str, standard: Judged | None) -> Row:
        """Accuracy with its interval; ``gain`` is against the standard network, None without one."""
        rows = self.rows(condition)
        right = rows["correct"].to_numpy()
        groups = rows["group"].to_numpy() if rows["group"].notna().all() else None
        low, high = proportion_interval(right, groups)
        found: Row = {"condition": condition, "accuracy": float(right.mean()), "ci_low": low, "ci_high": high}
        gain: dict[str, float | None] = dict.fromkeys(("gain", "gain_low", "gain_high"))
        if standard is not None and standard is not self:
            before = standard.rows(condition)["correct"].to_numpy()
            fall = paired_interval(before, right, groups)
            gain = {"gain": float(right.mean() - before.mean()), "gain_low": -fall.high, "gain_high": -fall.low}
        return found | gain

    def rows(self, condition: str) -> pd.DataFrame:
        samples = self.result.samples
        return samples[samples["condition"] == condition].sort_values("index")


def empty_row(name: str, recipe: Recipe) -> Row:
    """A row without numbers, which has all keys."""
    numbers = [f"{kind}_{key}" for kind in ("clean", "robust") for key in _NUMBERS]
    worst = ["worst_shift", *(f"worst_shift_{key}" for key in _NUMBERS[:3])]
    return {
        "recipe": name,
        "learns_from": learns_from(recipe),
        "status": "",
        "reason": "",
        **dict.fromkeys(("n", *numbers, *worst, *_TRAINING)),
        "shifts": [],
        "doubts": [],
    }
