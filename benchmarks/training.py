"""Adversarial training beside a plain loop of the same attack: CPU seconds of an epoch.

    python benchmarks/training.py --data-root MNIST_ROOT
    python benchmarks/training.py --networks "cnn(width=16)" --images 512 --out found.json

One process, one thread; the two take turns, and times are medians: good as ratios only. Both train the same
network on the same batches with PGD of as many gradients, in eval mode during the attack and in train mode at
the step, with the same optimiser and schedule; validation is left out of both. ``plain`` is what one writes by
hand, with frozen weights during the attack, which spares it their gradients. Prints a table; --out writes JSON.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from side_by_side import print_table
from torch.nn import functional as F

from robustbench_lite import load_dataset
from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.training import tensors
from robustbench_lite.training.loop import Hooks, batches, fit, seeded
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.optimising import make_optimizer, make_schedule
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import make_recipe
from robustbench_lite.training.sampling import shuffled
from robustbench_lite.training.trainer import Epoch


def ours(network, data, mean, std, options, recipe):
    """The loop and the loss of ``rb train``."""
    objective = Objective(network, mean, std, data, recipe, options, 10)
    hooks = Hooks(lambda epoch, loss, lr: Epoch(epoch, loss, 0.0, loss, 0.0, lr, 0.0), lambda epoch: None)
    fit(network, len(data.labels), objective, options, hooks)


def plain(network, data, mean, std, options, recipe):
    """The same by hand."""
    defence = recipe.adversarial
    eps, steps = defence.eps, defence.steps
    step_size = 2.5 * eps / steps
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))
    optimizer = make_optimizer(network, options)
    count = len(data.labels)
    schedule = make_schedule(optimizer, options, -(-count // options.batch_size))
    for chunk in batches(shuffled(count, options.seed, 1), options.batch_size):
        x, y = data.images[chunk], data.labels[chunk]
        network.eval()
        network.requires_grad_(False)
        z = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
        for _ in range(steps):
            z.requires_grad_()
            (slope,) = torch.autograd.grad(F.cross_entropy(network((z - mean) / std), y, reduction="sum"), z)
            z = (x + (z.detach() + step_size * slope.sign() - x).clamp(-eps, eps)).clamp(0, 1)
        network.train()
        network.requires_grad_(True)
        optimizer.zero_grad()
        F.cross_entropy(network((z - mean) / std), y).backward()
        optimizer.step()
        schedule.step()


def measured(name, data, arguments):
    options = TrainingOptions(epochs=1, batch_size=arguments.batch_size)
    recipe = make_recipe(adversarial=arguments.method, arguments={"eps": arguments.eps}, warmup=0)
    mean, std = tensors.statistics(data.images)
    seconds = {"ours": [], "plain": []}
    for _ in range(arguments.repeats + 1):
        for kind, run in (("ours", ours), ("plain", plain)):
            with seeded(0, torch.device("cpu")):
                network = build_network(name, num_classes=10, input_shape=tuple(data.images.shape[1:]))
                start = time.process_time()
                run(network, data, mean, std, options, recipe)
                seconds[kind].append(time.process_time() - start)
    mine, theirs = (statistics.median(times[1:]) for times in seconds.values())  # the first warms up
    return {
        "name": name,
        "method": arguments.method,
        "images": len(data.labels),
        "ours_cpu_s": mine,
        "plain_cpu_s": theirs,
        "ratio": statistics.median(a / b for a, b in zip(seconds["ours"][1:], seconds["plain"][1:], strict=True)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["strided", "cnn(width=16)", "cnn"])
    parser.add_argument("--method", default="pgd", help="or fast(step_size=…), pgd(steps=10), …: steps in linf")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--eps", type=float, default=0.3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write JSON here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = {} if arguments.data_root is None else {"root": arguments.data_root}
    data = tensors.tensors_of(load_dataset(arguments.data, split="train", limit=arguments.images, **root), "cpu")
    rows = [measured(name, data, arguments) for name in arguments.networks]
    print_table("an epoch of adversarial training: CPU seconds", rows)
    if arguments.out:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        arguments.out.write_text(
            json.dumps({"threads": 1, "versions": versions, "training": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
