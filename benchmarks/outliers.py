"""Outlier scores: images per second, beside those of pytorch-ood, and how well they tell other images.

    pip install -e ".[benchmarks]"
    python benchmarks/outliers.py speed
    python benchmarks/outliers.py auroc --model neu.safetensors --data folder:neu-steel --mnist DATA

speed: every registered score that takes one pass per image, and those that pytorch-ood has too, on one thread. The
images are crops of 64×64 pixels, in colour, of scikit-learn's photographs, in batches of 64; the classifier is
cnn(width=8) and the generator a vae, both untrained: weights change nothing here. The time of a score that
asks one of them is mostly the network's, which has a row of its own: a larger network makes it that much slower.
Ours and theirs take turns, round after round; images per second are those of the median round, in CPU seconds, and
the ratio is the median over the rounds of theirs / ours. Both get images in [0, 1] and the same network, theirs
without a graph where it needs none. In the classifier's row theirs is the bare network: ours goes through it in
smaller pieces (classifiers/pieces.py), which pays for larger networks than this.

auroc: scores fitted to the training images of a data set; its test images against MNIST, noise, the inverted test
images and constant ones. The area under the ROC curve: 0.5 is chance; below, outliers look more normal than normal
ones.
"""

import argparse
import platform
import statistics
import time
from importlib.metadata import version

import numpy as np
import torch
from side_by_side import print_table
from sklearn.datasets import load_sample_image
from sklearn.metrics import roc_auc_score
from torch import nn

from robustbench_lite import load_classifier, load_dataset, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.outliers.score import Normals, Parts, in_batches

SIDE, BATCH = 64, 64
BRIEFLY: dict[str, str] = {}  # scores that train a network are given few steps: the speed is the same
OF_CLASSIFIER = ("msp", "max_logit", "energy", "odin", "mahalanobis", "knn", "vim")


def photographs(n, seed):
    """Crops (n, 3, 64, 64) in [0, 1] of two photographs."""
    random = np.random.default_rng(seed)
    pictures = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    height, width, _ = pictures[0].shape
    corners = zip(random.integers(0, height - SIDE, n), random.integers(0, width - SIDE, n), strict=True)
    crops = [pictures[i % 2][y : y + SIDE, x : x + SIDE] for i, (y, x) in enumerate(corners)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().contiguous() / 255


def theirs_of(classifier, normals):
    """The detectors of pytorch-ood on the same network: name -> images to scores."""
    from pytorch_ood import detector

    network = classifier.network.eval().requires_grad_(False)
    encoder, head = nn.Sequential(*list(network)[:-1]), network[-1]
    with torch.no_grad():
        features = encoder(normals.images)
    fitted = {
        "msp": detector.MaxSoftmax(network),
        "max_logit": detector.MaxLogit(network),
        "energy": detector.EnergyBased(network),
        "odin": detector.ODIN(network),
        "mahalanobis": detector.Mahalanobis(encoder).fit_features(features, normals.labels),
        "knn": detector.KNN(encoder, k=1).fit_features(features, normals.labels),
        "vim": detector.ViM(encoder, features.shape[1] // 2, head.weight, head.bias),
    }
    fitted["vim"].fit_features(features, normals.labels)
    for one in fitted.values():
        one.to("cpu")

    def ask(one):
        def predict(images):
            with torch.set_grad_enabled(isinstance(one, detector.ODIN)):
                return one.predict(images)

        return predict

    return {"": network} | {name: ask(one) for name, one in fitted.items()}


def untrained():
    """A classifier and a generator."""
    shape = (3, SIDE, SIDE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("cnn(width=8)", num_classes=10, input_shape=shape)
        generator = registry.make_one("generator", "vae").network(shape).eval().requires_grad_(False)
    return Parts(Classifier(network), generator)


def seconds(ask, images):
    start = time.process_time()
    with torch.no_grad():
        for batch in images.split(BATCH):
            ask(batch)
    return time.process_time() - start


def speed(names, rounds, count):
    torch.set_num_threads(1)
    parts, images = untrained(), photographs(count, 1)
    normals = Normals(photographs(500, 0), torch.arange(500) % 2)
    theirs = theirs_of(parts.classifier, normals)
    subjects = {
        "the classifier alone": (parts.classifier, theirs.pop("")),
        "the generator alone": (lambda x: parts.generator.decode(parts.generator.encode(x)), None),
    }
    for name in names or sorted(registry.names("score")):
        score = registry.make_one("score", BRIEFLY.get(name, name))
        if names or name in theirs or score.cost().forwards <= 1:
            subjects[name] = (score.fit(normals, parts), theirs.get(name))
    rows = []
    for name, (ours, other) in subjects.items():
        taken = []
        for k in range(rounds + 1):
            pair = seconds(ours, images), seconds(other, images) if other else None
            taken += [pair] if k else []  # the first warms up
        row = {"score": name, "images/s": round(count / statistics.median(a for a, _ in taken))}
        row["pytorch-ood"] = round(count / statistics.median(b for _, b in taken)) if other else None
        row["ratio"] = statistics.median(b / a for a, b in taken) if other else None
        rows.append(row)
    print_table(
        f"{SIDE}×{SIDE}×3, batches of {BATCH}, one thread, median of {rounds} rounds of {count} images", rows
    )


def auroc(names, model, data, mnist, side, channels):
    def load(spec, split, **options):
        batches = list(load_dataset(spec, split=split, input_size=side, channels=channels, **options).batches(128))
        return Normals(torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches]))

    classifier = load_classifier(model, device="cpu")
    normals, test = load(data, "train"), load(data, "test")
    n, random = len(test), torch.Generator().manual_seed(0)
    outliers = {
        "MNIST": load("mnist", "test", root=mnist, limit=n).images,
        "noise": torch.rand(test.images.shape, generator=random),
        "inverted": 1 - test.images,
        "constant": torch.linspace(0, 1, n).view(-1, 1, 1, 1).expand_as(test.images),
    }
    accuracy = float((in_batches(lambda x: classifier(x).argmax(1), test.images) == test.labels).float().mean())
    rows = []
    for name in names or OF_CLASSIFIER:
        scorer = registry.make_one("score", name).fit(normals, Parts(classifier))
        normal, row = in_batches(scorer, test.images), {"score": name}
        for kind, images in outliers.items():
            both = torch.cat([normal, in_batches(scorer, images)])
            row[kind] = round(float(roc_auc_score([0] * n + [1] * len(images), both)), 3)
        rows.append(row)
    print_table(f"fitted to {len(normals)}, AUROC of {n} against {n}; accuracy on them {accuracy:.1%}", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=("speed", "auroc"))
    parser.add_argument("--scores", nargs="*", help="specs; by default all that the section is about")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=512, help="images of a round")
    parser.add_argument("--model", help="a checkpoint")
    parser.add_argument("--data", help="what it was trained on")
    parser.add_argument("--mnist", help="where MNIST is")
    parser.add_argument("--input-size", type=int, default=96)
    parser.add_argument("--channels", type=int, default=1)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "pytorch-ood", "scikit-learn"))
    print(f"{versions}, Python {platform.python_version()}, {platform.machine()}")
    if options.section == "speed":
        speed(options.scores, options.rounds, options.count)
    else:
        auroc(
            *(options.scores, options.model, options.data, options.mnist),
            *(options.input_size, options.channels),
        )


if __name__ == "__main__":
    main()
