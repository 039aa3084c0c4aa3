"""Attacks for the smallest change, ours beside foolbox's, at the same number of gradients.

    pip install -e ".[benchmarks]"
    python benchmarks/minimal.py --weights WEIGHTS --data-root MNIST_ROOT

Network and images are those of cw.py: the provably robust MNIST network of Wong & Kolter, 100 test images that it
classifies correctly, in data order; one process, seed 0. Prints JSON, one line per attack.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import foolbox
import torch
from cw import Counted, load

from robustbench_lite import norms, registry
from robustbench_lite.rng import Streams

PAIRS = [
    ("ddn", foolbox.attacks.DDNAttack(steps=100)),
    ("ddn(gamma=0.05)", None),
    ("ddn(steps=30)", foolbox.attacks.DDNAttack(steps=30)),
    ("fmn", foolbox.attacks.L2FMNAttack(steps=100)),
    ("fmn(norm=linf)", foolbox.attacks.LInfFMNAttack(steps=100, max_stepsize=10)),
    ("fmn(norm=l1)", foolbox.attacks.L1FMNAttack(steps=100)),
    ("fmn(norm=l0)", foolbox.attacks.L0FMNAttack(steps=100)),
    ("fmn(step_size=1, gamma=0.05)", None),
    ("fmn(norm=linf, step_size=10, gamma=0.05)", None),
    ("fmn(norm=l1, step_size=1, gamma=0.05)", None),
    ("deepfool", foolbox.attacks.L2DeepFoolAttack(steps=50)),
    ("deepfool(norm=linf)", foolbox.attacks.LinfDeepFoolAttack(steps=50)),
    ("ddn(steps=1000)", foolbox.attacks.DDNAttack(steps=1000)),
]


def ours(classifier, images, labels, spec):
    (attack,) = registry.make(spec).parts
    streams = Streams(0, spec, tuple(map(str, range(len(images)))))
    classifier.take_counts()
    adversarial = attack(classifier, images, labels, streams)
    return adversarial, classifier.take_counts().gradients


def theirs(classifier, images, labels, attack):
    network = Counted(classifier.network).eval()
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    _, adversarial, _ = attack(model, images, labels, epsilons=None)
    return adversarial, network.gradients


def measure(name, norm, classifier, images, labels, run, attack):
    start = time.perf_counter()
    adversarial, gradients = run(classifier, images, labels, attack)
    seconds = time.perf_counter() - start
    fooled = classifier(adversarial).argmax(1) != labels
    size = norms.size(adversarial - images, norm)[fooled]
    return {
        "attack": name,
        "norm": norm,
        "success": fooled.float().mean().item(),
        "median": size.median().item() if len(size) else None,
        "mean": size.mean().item() if len(size) else None,
        "gradients_per_image": gradients / len(images),
        "seconds": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--only", default="", help="only attacks whose spec begins so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classifier, images, labels = load(arguments.weights, arguments.data_root, arguments.n)
    results = []
    for spec, peer in PAIRS:
        if not spec.startswith(arguments.only):
            continue
        norm = registry.make(spec).attacks[0].norm
        runs = [(spec, ours, spec)]
        if peer is not None:
            runs += [(f"foolbox {type(peer).__name__}(steps={peer.steps})", theirs, peer)]
        for name, run, attack in runs:
            results.append(measure(name, norm, classifier, images, labels, run, attack))
            print(json.dumps(results[-1]), flush=True)
    versions = {"torch": torch.__version__, "foolbox": foolbox.__version__, "python": platform.python_version()}
    print(json.dumps({"n": len(images), "seed": 0, "threads": 1, "versions": versions, "results": results}))


if __name__ == "__main__":
    main()
