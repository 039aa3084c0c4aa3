"""Attacks beside those of torchattacks and foolbox: verdict, size, gradients, CPU seconds.

    pip install -e ".[benchmarks,torchattacks]"
    python benchmarks/attacks.py gradient
    python benchmarks/attacks.py pgd minimal --weights WEIGHTS --data-root MNIST_ROOT
    python benchmarks/attacks.py adaptive --networks net.safetensors --data cifar10 --norm l2 --out found.json

One process, one thread; the attacks take turns, and times are medians: good as ratios only. All attack the same
images, which the network classifies correctly; each result is classified afresh, and counts only within the
budget. Others get the network with frozen weights, which spares them the weights' gradients. An attack that is not
registered, and a library that is not installed, is left out with a line. Prints tables; --out writes JSON.
"""

import argparse
import json
import platform
import statistics
import time
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from side_by_side import measured, ours, print_table, subjects, theirs, with_ratios
from torch.nn import functional as F

from robustbench_lite.classifiers import networks
from robustbench_lite.classifiers.classifier import Classifier

try:
    import foolbox
except ImportError:
    foolbox = None
try:
    import torchattacks
except ImportError:
    torchattacks = None


def gradient(arguments):
    """The cost of a gradient: the network as it is, and the copy that steers attacks."""
    from torchvision.models import mobilenet_v2, resnet18

    small, colour, large = (1, 28, 28), (3, 32, 32), (3, 64, 64)
    made = {
        "linear": (networks.linear(input_shape=small, num_classes=10), small, 128),
        "mlp": (networks.mlp(input_shape=small, num_classes=10), small, 128),
        "wong": (_wong_untrained(), small, 128),
        "cnn": (networks.cnn(input_shape=colour, num_classes=10), colour, 64),
        "resnet": (networks.resnet(input_shape=colour, num_classes=10), colour, 64),
        "torchvision:resnet18": (resnet18(num_classes=10), large, 16),
        "torchvision:mobilenet_v2": (mobilenet_v2(num_classes=10), large, 16),
    }
    chosen = arguments.only or made
    rows = [_gradient_row(name, *made[name], arguments) for name in chosen]
    print_table("gradient: CPU ms per 1,000 images", rows)
    return rows


def _wong_untrained():
    from side_by_side import EXAMPLE

    from robustbench_lite import load_classifier

    return load_classifier(f"{EXAMPLE}:network", device="cpu").network


def _gradient_row(name, network, shape, batch, arguments):
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after training
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    classifier, x = Classifier(network), torch.rand(batch, *shape)
    labels = torch.zeros(batch, dtype=torch.int64)

    def loss(logits):
        return F.cross_entropy(logits, labels, reduction="none")

    with classifier.frozen():
        draft = classifier.draft(x)
        seconds = {"plain": [], "draft": []}
        models = {"plain": classifier, "draft": draft or classifier}
        if arguments.bf16:
            seconds["bf16"] = []
            models["bf16"] = Classifier(_InBfloat16((draft or classifier).network))
        for _ in range(arguments.repeats + 1):
            for kind, model in models.items():
                start = time.process_time()
                for _ in range(arguments.inner):
                    model.gradient(x, loss)
                seconds[kind].append((time.process_time() - start) / arguments.inner / batch * 1e6)
    plain, cheap, *half = (statistics.median(times[1:]) for times in seconds.values())  # the first warms up
    return {
        "network": name,
        "name": name,
        "images": f"{batch}x{'x'.join(map(str, shape))}",
        "copy": "none" if draft is None else "folded",
        "plain_ms": plain,
        "draft_ms": cheap,
        "ratio": 1.0 if draft is None else cheap / plain,
        **({"bf16_ms": half[0]} if half else {}),
    }


class _InBfloat16(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = deepcopy(network).to(torch.bfloat16)

    def forward(self, x):
        return self.network(x.to(torch.bfloat16)).float()


def pgd(arguments):
    """PGD with 40 gradients, in linf or l2."""
    found = []
    for subject in subjects(arguments.networks, arguments):
        norm, seed = arguments.norm, arguments.seed
        eps = subject.eps[norm]
        step = 2.5 * eps / 40
        runners = [ours(subject, f"pgd(eps={eps}, norm={norm}, steps=40)", seed)]
        runners += [ours(subject, f"pgd(eps={eps}, norm={norm}, steps=40, step_size={step})", seed)]
        if torchattacks:
            cls = torchattacks.PGD if norm == "linf" else torchattacks.PGDL2

            def library(network, x, y, cls=cls, eps=eps, step=step):
                return cls(network, eps=eps, alpha=step, steps=40)(x, y)

            runners.append(theirs(subject, f"torchattacks {cls.__name__}", library, seed))
        if foolbox:
            kind = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
            attack = kind(steps=40, abs_stepsize=step)
            runners.append(theirs(subject, f"foolbox {kind.__name__}", _foolbox(attack, eps), seed))
        rows = measured(subject, runners, norm=norm, eps=eps, repeats=arguments.repeats)
        print_table(f"pgd: {subject.name}, {norm}, eps {eps:g}", with_ratios(rows))
        found += rows
    return found


def _foolbox(attack, eps):
    def run(network, x, y):
        model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        return attack(model, x, y, epsilons=eps)[1]

    return run


def autoattack(arguments):
    """Our portfolio at the published budgets, beside the library's with theirs set right."""
    return _portfolio("autoattack", arguments)


def adaptive(arguments):
    """Our own portfolio beside the library's AutoAttack with its budgets set right."""
    return _portfolio("adaptive", arguments)


def _portfolio(name, arguments):
    found = []
    for subject in subjects(arguments.networks, arguments):
        norm, seed = arguments.norm, arguments.seed
        eps = subject.eps[norm]
        runners = [ours(subject, f"{name}(eps={eps}{'' if norm == 'linf' else f', norm={norm}'})", seed)]
        if runners == [None]:
            continue
        if torchattacks:
            run = _torchattacks_standard(eps, norm, subject.classes, seed)
            runners.append(theirs(subject, "torchattacks, 100 steps", run, seed))
        rows = measured(subject, runners, norm=norm, eps=eps, repeats=1)
        print_table(f"{name}: {subject.name}, {norm}, eps {eps:g}", with_ratios(rows))
        found += rows
    return found


def _torchattacks_standard(eps, norm, classes, seed):
    """Its AutoAttack has 10 steps; this is the same with the published 100."""
    given = {"eps": eps, "norm": {"linf": "Linf", "l2": "L2"}[norm], "seed": seed}

    def run(network, x, y):
        members = [
            torchattacks.APGD(network, steps=100, n_restarts=1, **given),
            torchattacks.APGDT(network, steps=100, n_restarts=1, n_classes=classes, **given),
            torchattacks.FAB(network, steps=100, multi_targeted=True, n_classes=classes, **given),
            torchattacks.Square(network, n_queries=5000, **given),
        ]
        return torchattacks.MultiAttack(members)(x, y)

    return run


def minimal(arguments):
    """Attacks for the smallest change: ours, and those of the libraries, each with what it takes by default."""
    found = []
    for subject in subjects(arguments.networks, arguments):
        for norm in ("l2", "linf"):
            runners = [ours(subject, spec, arguments.seed) for spec in _MINIMAL[norm]]
            for name, attack in _foolbox_minimal(norm):
                runners.append(theirs(subject, f"foolbox {name}", _foolbox(attack, None), arguments.seed))
            for name, options in _TORCHATTACKS_MINIMAL[norm] if torchattacks else ():

                def library(network, x, y, name=name, options=options):
                    return getattr(torchattacks, name)(network, **options)(x, y)

                runners.append(theirs(subject, f"torchattacks {name}{options or ''}", library, arguments.seed))
            rows = measured(subject, runners, norm=norm)
            print_table(f"minimal: {subject.name}, {norm}", rows)
            found += rows
    return found


_MINIMAL = {
    "l2": ("ddn", "ddn(steps=1000)", "fmn", "cw", "cw(steps=50)", "deepfool", "fab(norm=l2)", "lbfgs"),
    "linf": ("fmn(norm=linf)", "cw(norm=linf)", "deepfool(norm=linf)", "fab(norm=linf)"),
}
_TORCHATTACKS_MINIMAL = {
    "l2": (
        ("CW", {"c": 1, "steps": 1000}),
        ("DeepFool", {}),
        ("FAB", {"norm": "L2", "eps": 100, "steps": 100}),
    ),
    "linf": (("FAB", {"norm": "Linf", "eps": 1, "steps": 100}),),
}


def _foolbox_minimal(norm):
    if foolbox is None:
        return []
    f = foolbox.attacks
    if norm == "linf":
        return [
            ("LInfFMN(100)", f.LInfFMNAttack(steps=100, max_stepsize=10)),
            ("LinfDeepFool(50)", f.LinfDeepFoolAttack(steps=50)),
        ]
    return [
        ("DDN(100)", f.DDNAttack(steps=100)),
        ("DDN(1000)", f.DDNAttack(steps=1000)),
        ("L2FMN(100)", f.L2FMNAttack(steps=100)),
        ("L2DeepFool(50)", f.L2DeepFoolAttack(steps=50)),
        ("L2CarliniWagner(9x100)", f.L2CarliniWagnerAttack(binary_search_steps=9, steps=100)),
    ]


SECTIONS = {f.__name__: f for f in (gradient, pgd, autoattack, adaptive, minimal)}


def versions():
    found = {"python": platform.python_version()}
    for package in ("torch", "torchattacks", "foolbox"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            print(f"skipped: {package} is not installed")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=SECTIONS)
    parser.add_argument("--networks", nargs="+", default=["wong", "undefended"], help="or files of rb train")
    parser.add_argument("--weights", type=Path, help="of the network wong")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf")
    parser.add_argument("--eps", type=float, help="by default 0.1 (l2: 1.5) for wong, else the usual for the data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="of gradient and pgd")
    parser.add_argument("--only", nargs="+", help="networks of gradient")
    parser.add_argument("--bf16", action="store_true", help="gradient: the copy in bfloat16 too")
    parser.add_argument("--inner", type=int, default=3, help="gradients that are timed at once")
    parser.add_argument("--out", type=Path, help="write JSON here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    record = {"threads": 1, "seed": arguments.seed, "versions": versions()}
    for name in dict.fromkeys(arguments.sections):
        record[name] = SECTIONS[name](arguments)
        if arguments.out:
            arguments.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
