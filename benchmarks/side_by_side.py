"""What the sections of attacks.py share: networks with their images, and runs that are measured in turn."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from robustbench_lite import TrainingOptions, load_classifier, load_dataset, norms, registry, train
from robustbench_lite.applying import apply
from robustbench_lite.calibrating import sample_size
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Calibrating, Condition
from robustbench_lite.weights import load_into, read_state

EXAMPLE = Path(__file__).parents[1] / "examples" / "wong_mnist.py"


@dataclass
class Subject:
    """A network, images that it classifies correctly, and the budgets they are attacked with."""

    name: str
    classifier: Classifier
    images: torch.Tensor
    labels: torch.Tensor
    eps: dict[str, float]

    @property
    def classes(self):
        return self.classifier(self.images[:1]).shape[1]


@dataclass
class Runner:
    """Somebody's attack on a subject: what it returns is scored by the subject's own network."""

    name: str
    attack: Callable[[], torch.Tensor]
    spent: Callable[[], tuple[int, int]]  # images forward, gradients, since it was last asked
    seconds: list[float] = field(default_factory=list)


class Counted(torch.nn.Module):
    """A classifier as others take it, images in [0, 1] to logits, its weights frozen; counts what is spent."""

    def __init__(self, classifier):
        super().__init__()
        self.network, self.mean, self.std = classifier.network.eval().requires_grad_(False), None, None
        if classifier.mean:
            self.mean, self.std = (torch.tensor(v).view(1, -1, 1, 1) for v in (classifier.mean, classifier.std))
        self.forwards = self.gradients = 0

    def forward(self, x):
        self.forwards += len(x)
        if torch.is_grad_enabled() and x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self._count)
        return self.network(x if self.mean is None else (x - self.mean) / self.std)

    def _count(self, gradient):
        self.gradients += len(gradient)

    def take_counts(self):
        counts, self.forwards, self.gradients = (self.forwards, self.gradients), 0, 0
        return counts


def subjects(names, arguments):
    """``wong``, ``undefended`` (a small residual network, trained here), or checkpoints of ``rb train``."""
    for name in names:
        options = {"root": arguments.data_root}
        data = load_dataset(arguments.data, first=2 * arguments.images, **options)
        eps = dict(data.eps)
        if name == "wong":
            classifier, eps = wong(arguments.weights), {"linf": 0.1, "l2": 1.5}
        elif name == "undefended":
            parts = [load_dataset(arguments.data, split=s, limit=2000, **options) for s in ("train", "val")]
            network, info = train("resnet(width=8, depth=8)", *parts, TrainingOptions(epochs=3))
            classifier = Classifier(network, mean=info.mean, std=info.std)
        else:
            classifier = load_classifier(name, device="cpu")
        if arguments.eps is not None:
            eps[arguments.norm] = arguments.eps
        batch = next(data.batches(len(data)))
        right = (classifier(batch.images).argmax(1) == batch.labels).nonzero()[: arguments.images, 0]
        yield Subject(name, classifier, batch.images[right], batch.labels[right], eps)


def wong(weights):
    """The provably robust MNIST network of Wong & Kolter (ICML 2018), with its published weights."""
    spec = importlib.util.spec_from_file_location("wong_mnist", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.network()
    load_into(network, read_state(weights)[0], weights)
    return Classifier(network.eval())


def ours(subject, spec, seed, name=None):
    """Our attack, run as an evaluation runs it; None, with a line, if it is not registered."""
    try:
        condition = registry.make(spec)
    except UnknownNameError as error:
        print(f"skipped: {error}", flush=True)
        return None
    x, y, classifier = subject.images, subject.labels, subject.classifier
    ids = tuple(map(str, range(len(x))))

    def attack():
        with classifier.frozen():
            ready = _calibrated(condition, classifier, x, y, ids, seed)
            return apply(ready, classifier, x, y, classifier(x), ids, seed).images

    return Runner(name or f"ours {spec}", attack, lambda: classifier.take_counts()[:2])


def _calibrated(condition, classifier, x, y, ids, seed):
    """With what a sample of the images has shown, as an evaluation does it; its cost counts."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: sample_size(len(x))]
    streams = Streams(seed, "calibration", ids)[order]
    return Condition(
        tuple(
            part.calibrated(classifier, x[order], y[order], streams) if isinstance(part, Calibrating) else part
            for part in condition.parts
        )
    )


def theirs(subject, name, run, seed):
    """Another's attack: ``run(network, images, labels)``, with the global generators it draws from seeded."""
    network = Counted(subject.classifier).eval()

    def attack():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return run(network, subject.images.clone(), subject.labels)

    return Runner(name, attack, network.take_counts)


def measured(subject, runners, *, norm, eps=None, repeats=1):
    """One row per runner: they take turns, so that a busy machine is busy for all; CPU seconds are medians."""
    runners = [runner for runner in runners if runner is not None]
    rows = {}
    for _ in range(repeats):
        for runner in runners:
            runner.spent()
            start = time.process_time()
            found = runner.attack()
            runner.seconds.append(time.process_time() - start)
            forwards, gradients = runner.spent()
            rows[runner.name] = _row(subject, runner.name, found.detach(), norm, eps, forwards, gradients)
    for runner in runners:
        rows[runner.name]["cpu_seconds"] = statistics.median(runner.seconds)
    return list(rows.values())


def _row(subject, name, found, norm, eps, forwards, gradients):
    n = len(subject.labels)
    fooled = subject.classifier(found).argmax(1) != subject.labels
    size = norms.size(found - subject.images, norm)
    if eps is not None:  # beyond the budget it does not count
        fooled &= size <= eps + 1e-6
    return {
        "network": subject.name,
        "attack": name,
        "norm": norm,
        "eps": eps,
        "n": n,
        "robust_accuracy": 1 - fooled.float().mean().item(),
        "median_size": size[fooled].median().item() if fooled.any() else None,
        "gradients_per_image": gradients / n,
        "forwards_per_image": forwards / n,
    }


def with_ratios(rows):
    """How many times the CPU seconds of the first row, which is ours, each takes."""
    for row in rows:
        row["times_ours"] = row["cpu_seconds"] / rows[0]["cpu_seconds"]
    return rows


def print_table(title, rows):
    """A table in plain text; the columns are the keys of the first row."""
    print(f"\n{title}")
    if not rows:
        return
    columns = [key for key in rows[0] if key != "network"]
    text = [columns, *[[_cell(row[key]) for key in columns] for row in rows]]
    widths = [max(len(line[i]) for line in text) for i in range(len(columns))]
    for line in text:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), flush=True)


def _cell(value):
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
