"""``rb`` as it is called, in a folder of its own, with a cache that is not the user's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.runner import Inputs, prepare, run

NETWORKS = """
import torch
from torch import nn
from torch.nn import functional as F


class Bright(nn.Module):
    'Two classes: the mean of the image against its opposite.'

    def __init__(self, gain: float = 10.0):
        super().__init__()
        self.gain = gain
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        mean = self.gain * (x.flatten(1).mean(1, keepdim=True) - 0.5) + self.offset
        return torch.cat([-mean, mean], 1)


class Softmax(Bright):
    def forward(self, x):
        return super().forward(x).softmax(1)


class NaN(Bright):
    def forward(self, x):
        return super().forward(x) * torch.nan


class Seven(Bright):
    def forward(self, x):
        return super().forward(x)[:, [0, 1, 0, 1, 0, 1, 0]]


class Vectors(Bright):
    def forward(self, x):
        return super().forward(x)[:, 0]


class Stopped(Bright):
    def forward(self, x):
        raise KeyboardInterrupt


def number():
    return 3
"""

CONDITIONS = """
from dataclasses import dataclass

from robustbench_lite.types import Attack, Cost

calls = []


@dataclass(frozen=True)
class Second(Attack):
    'Leaves the first batch as it is, and raises in the second.'

    error: str = "ValueError"
    eps: float = 0.1
    norm = "linf"

    def max_cost(self):
        return Cost(0, 0)

    def __call__(self, model, images, labels, streams):
        calls.append(len(images))
        if len(calls) == 2:
            raise {"ValueError": ValueError, "KeyboardInterrupt": KeyboardInterrupt}[self.error]("in the second")
        return images


@dataclass(frozen=True)
class Greedy(Second):
    'Takes more than its budget.'

    def __call__(self, model, images, labels, streams):
        return (images + 2 * self.eps).clamp(0, 1)
"""


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """The demo network is trained once for all tests, and never into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))
        yield


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    """``--dry-run`` times one image once; how good the estimate is, is shown in tests/evaluation."""
    monkeypatch.setattr("robustbench_lite.estimating.SIZES", (1,))
    monkeypatch.setattr("robustbench_lite.estimating._TRIES", 1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """The demo network as a file: what ``rb train`` writes."""
    from robustbench_lite.training.demo import demo

    demo()
    (file,) = (tmp_path_factory.getbasetemp() / "user-cache").rglob("demo-*.safetensors")
    return file


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A small finished run; tests must not change it."""
    place = tmp_path_factory.mktemp("finished") / "run"
    run(prepare(Inputs(limit=20), ["fgsm", "night(severity=2)"]), command="eval", out=place)
    return place


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder with networks, conditions and twelve images: dark ones in parts/a, bright ones in parts/b."""
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "own.py").write_text(CONDITIONS)
    random = np.random.default_rng(0)
    for name, low in (("a", 20), ("b", 150)):
        folder = tmp_path / "parts" / name
        folder.mkdir(parents=True)
        for i in range(6):
            Image.fromarray(random.integers(low, low + 80, (12, 12), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path


@pytest.fixture
def tree():
    """All files below a folder, with sizes and times: what a command that writes nothing leaves the same."""

    def look(folder: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for place, _, names in os.walk(folder):
            for name in names:
                state = os.stat(os.path.join(place, name))
                found[os.path.join(place, name)] = (state.st_size, state.st_mtime_ns)
        return found

    return look
