"""Published error rates of a published network, and a peer's verdicts side by side."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.evaluation import evaluate
from robustbench_lite.weights import load_into, read_state

SHARED = Path(__file__).parents[3] / "shared"
WEIGHTS = SHARED / "models" / "wong2018-mnist.pth"
needs_wong = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the published weights are not beside the project")


def wong():
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    load_into(network, read_state(WEIGHTS)[0], WEIGHTS)
    return Classifier(network)


def mnist(first):
    return load_dataset("mnist", root=SHARED / "data", first=first)


@needs_wong
@pytest.mark.slow
def test_the_published_error_rates_of_a_provably_robust_network():
    """Wong & Kolter, ICML 2018, MNIST, linf 0.1: clean 1.80 %, FGSM 3.90 %, PGD 4.1 %, none above 5.82 %."""
    result = evaluate(
        wong(),
        mnist(10_000),
        ["fgsm(eps=0.1)", "pgd(eps=0.1, steps=40, step_size=0.01, random_start=false)"],
        batch_size=500,
    )
    error = 1 - result.samples.groupby("condition", sort=False)["correct"].mean()
    assert error.iloc[0] == pytest.approx(0.0180, abs=1e-9)
    assert error.iloc[1] == pytest.approx(0.0390, abs=0.0002)
    assert 0.0406 <= round(error.iloc[2], 4) <= 0.0582


@needs_wong
@pytest.mark.slow
def test_cw_fools_all_and_stays_small():
    """Under foolbox's C&W with 9 × 1,000 steps the median is 2.52 (benchmarks/cw.py)."""
    result = evaluate(wong(), mnist(100), ["cw(steps=50)"])
    rows = result.samples[result.samples["condition"].str.startswith("cw")]
    assert rows["correct"].sum() == 0
    assert rows[rows["succeeded"] == 1]["l2"].median() < 2.1


@needs_wong
def test_fgsm_and_pgd_agree_with_torchattacks():
    torchattacks = pytest.importorskip("torchattacks", reason="the extra [torchattacks] is not installed")
    classifier = wong()
    data = mnist(256)
    result = evaluate(
        classifier, data, ["fgsm(eps=0.2)", "pgd(eps=0.2, steps=20, step_size=0.02, random_start=false)"]
    )
    batch = next(data.batches(256))
    network = classifier.network.eval()
    theirs = {
        "fgsm": torchattacks.FGSM(network, eps=0.2),
        "pgd": torchattacks.PGD(network, eps=0.2, alpha=0.02, steps=20, random_start=False),
    }
    for name, attack in theirs.items():
        adversarial = attack(batch.images, batch.labels)
        with torch.no_grad():
            right = (network(adversarial).argmax(1) == batch.labels).numpy()
        rows = result.samples[result.samples["condition"].str.startswith(name)]
        ours = rows["correct"].to_numpy().astype(bool)
        if name == "fgsm":
            assert np.array_equal(ours, right)
        else:  # ours also counts iterates before the last
            assert (ours <= right).all()
            assert right.sum() - ours.sum() <= 5
