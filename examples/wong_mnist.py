"""The provably robust MNIST network of Wong & Kolter, so that its published weights can be attacked.

E. Wong and J. Z. Kolter, *Provable defenses against adversarial examples via the convex outer adversarial
polytope*, ICML 2018. Images in [0, 1] go in as they are: no --mean, no --std. WEIGHTS is a state dict with the
keys 0, 2, 5 and 7:

    rb attack --method pgd --eps 0.1 --model examples/wong_mnist.py:network --weights WEIGHTS --data mnist \\
        --data-root FOLDER
"""

from torch import nn


def network() -> nn.Module:
    """Two convolutions and two linear layers on 1×28×28 images: 10 logits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
