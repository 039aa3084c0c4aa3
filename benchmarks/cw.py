"""C&W l2, ours beside foolbox's, at no more gradients: success, median and mean size, gradients, seconds.

    pip install -e ".[benchmarks]"
    python benchmarks/cw.py --weights WEIGHTS --data-root MNIST_ROOT

The network is the provably robust MNIST network of Wong & Kolter (examples/wong_mnist.py); 100 test images that it
classifies correctly, in data order. Both run in one process; seconds are of this machine and only good as a ratio.
"""

import argparse
import importlib.util
import json
import platform
import time
from pathlib import Path

import foolbox
import torch

from robustbench_lite.attacks.cw import CW
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.rng import Streams
from robustbench_lite.weights import load_into, read_state

EXAMPLE = Path(__file__).parents[1] / "examples" / "wong_mnist.py"


class Counted(torch.nn.Module):
    """Counts the images that go forward with a graph, which foolbox turns into one gradient each."""

    def __init__(self, network):
        super().__init__()
        self.network, self.gradients = network, 0

    def forward(self, x):
        self.gradients += len(x) * torch.is_grad_enabled()
        return self.network(x)


def load(weights, data_root, n):
    spec = importlib.util.spec_from_file_location("wong_mnist", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.network()
    load_into(network, read_state(weights)[0], weights)
    classifier = Classifier(network.eval())
    batch = next(load_dataset("mnist", root=data_root, first=2 * n).batches(2 * n))
    right = (classifier(batch.images).argmax(1) == batch.labels).nonzero()[:n, 0]
    return classifier, batch.images[right], batch.labels[right]


def measure(name, network, images, labels, attack):
    start = time.perf_counter()
    adversarial, gradients = attack()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        fooled = network(adversarial).argmax(1) != labels
    size = (adversarial - images).flatten(1).norm(dim=1)[fooled]
    return {
        "attack": name,
        "success": fooled.float().mean().item(),
        "median_l2": size.median().item() if len(size) else None,
        "mean_l2": size.mean().item() if len(size) else None,
        "gradients_per_image": gradients / len(images),
        "seconds": round(seconds, 1),
    }


def ours(classifier, images, labels, attack):
    def run():
        classifier.take_counts()
        streams = Streams(0, "cw", tuple(map(str, range(len(images)))))
        return attack(classifier, images, labels, streams), classifier.take_counts().gradients

    return run


def theirs(classifier, images, labels, search_steps, steps):
    def run():
        network = Counted(classifier.network).eval()
        model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=search_steps, steps=steps)
        _, adversarial, _ = attack(model, images, labels, epsilons=None)
        return adversarial, network.gradients

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="leave out foolbox's 9 x 1,000 steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classifier, images, labels = load(arguments.weights, arguments.data_root, arguments.n)
    runs = [("ours 9x50", ours(classifier, images, labels, CW(steps=50)))]
    runs += [("foolbox 9x100", theirs(classifier, images, labels, 9, 100))]
    runs += [("ours 9x100 (default)", ours(classifier, images, labels, CW()))]
    if not arguments.quick:
        runs += [("foolbox 9x1000", theirs(classifier, images, labels, 9, 1000))]
    results = []
    for name, run in runs:
        results.append(measure(name, classifier.network, images, labels, run))
        print(json.dumps(results[-1]), flush=True)
    versions = {"torch": torch.__version__, "foolbox": foolbox.__version__, "python": platform.python_version()}
    print(json.dumps({"n": len(images), "threads": 1, "versions": versions, "results": results}))


if __name__ == "__main__":
    main()
