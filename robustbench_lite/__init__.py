"""What is left of an image classifier's accuracy when it is attacked, or when its world changes.

>>> import robustbench_lite as rb
>>> rb.spec(rb.make("PGD(steps=10, eps=8/255)"))
'pgd(eps=8/255, steps=10)'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from robustbench_lite.breaking import breaking_points
    from robustbench_lite.classifiers.classifier import Classifier
    from robustbench_lite.classifiers.loading import load_classifier
    from robustbench_lite.comparison import Comparison, compare
    from robustbench_lite.config.reading import load_config
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.data.loading import load_dataset
    from robustbench_lite.errors import InputError, RbError
    from robustbench_lite.evaluation import evaluate
    from robustbench_lite.gates.gate import gate
    from robustbench_lite.gates.rule import GateSettings, Rule
    from robustbench_lite.generative.loading import load_generator
    from robustbench_lite.identity import open_store
    from robustbench_lite.merging import merge
    from robustbench_lite.outliers.fitting import fit_detector
    from robustbench_lite.outliers.opening import open_detector
    from robustbench_lite.protocols import CrossValidated, cross_validate
    from robustbench_lite.registry import make, spec
    from robustbench_lite.reports.html import html_report
    from robustbench_lite.reports.plots import plot
    from robustbench_lite.runs import Run, read_run
    from robustbench_lite.suites import suite
    from robustbench_lite.tradeoff import TradeOff, trade_off
    from robustbench_lite.training.baselines import baselines
    from robustbench_lite.training.generators import train_generator
    from robustbench_lite.training.lr_range import find_lr
    from robustbench_lite.training.options import TrainingOptions
    from robustbench_lite.training.recipe import Recipe, make_recipe
    from robustbench_lite.training.starting import Start
    from robustbench_lite.training.trainer import train
    from robustbench_lite.types import Condition

# Public names and where they live. They are imported when they are first used: torch takes seconds.
_PUBLIC = {
    "Classifier": "classifiers.classifier",
    "Comparison": "comparison",
    "Condition": "types",
    "CrossValidated": "protocols",
    "Dataset": "data.dataset",
    "GateSettings": "gates.rule",
    "InputError": "errors",
    "RbError": "errors",
    "Recipe": "training.recipe",
    "Rule": "gates.rule",
    "Run": "runs",
    "Start": "training.starting",
    "TradeOff": "tradeoff",
    "TrainingOptions": "training.options",
    "baselines": "training.baselines",
    "breaking_points": "breaking",
    "compare": "comparison",
    "cross_validate": "protocols",
    "evaluate": "evaluation",
    "find_lr": "training.lr_range",
    "fit_detector": "outliers.fitting",
    "gate": "gates.gate",
    "html_report": "reports.html",
    "load_classifier": "classifiers.loading",
    "load_config": "config.reading",
    "load_dataset": "data.loading",
    "load_generator": "generative.loading",
    "make": "registry",
    "make_recipe": "training.recipe",
    "merge": "merging",
    "open_detector": "outliers.opening",
    "open_store": "identity",
    "plot": "reports.plots",
    "read_run": "runs",
    "spec": "registry",
    "suite": "suites",
    "trade_off": "tradeoff",
    "train": "training.trainer",
    "train_generator": "training.generators",
}

__all__ = [
    "Classifier",
    "Comparison",
    "Condition",
    "CrossValidated",
    "Dataset",
    "GateSettings",
    "InputError",
    "RbError",
    "Recipe",
    "Rule",
    "Run",
    "Start",
    "TradeOff",
    "TrainingOptions",
    "__version__",
    "baselines",
    "breaking_points",
    "compare",
    "cross_validate",
    "evaluate",
    "find_lr",
    "fit_detector",
    "gate",
    "html_report",
    "load_classifier",
    "load_config",
    "load_dataset",
    "load_generator",
    "make",
    "make_recipe",
    "merge",
    "open_detector",
    "open_store",
    "plot",
    "read_run",
    "spec",
    "suite",
    "trade_off",
    "train",
    "train_generator",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
