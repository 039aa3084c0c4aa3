"""Columns whose truth is known otherwise: Brier's score from scikit-learn, the filled share by construction."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.scoring import brier
from robustbench_lite.types import Condition


def dataset(n=12):
    images = np.random.default_rng(0).random((n, 1, 8, 8), dtype=np.float32)
    return Dataset(
        spec="made",
        split="test",
        class_names=("a", "b", "c"),
        labels=np.arange(n) % 3,
        files=tuple(map(str, range(n))),
        sample_ids=tuple(f"{i:016x}" for i in range(n)),
        read=lambda i: images[i],
        eps={"linf": 0.1},
    )


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))


@dataclass(frozen=True)
class Border:
    """Invents so many rows at the top."""

    kind: ClassVar[str] = "shift"
    severity: float = 1
    rows: int = 2

    def __call__(self, images, streams):
        out = images.clone()
        out[:, :, : self.rows] = 0
        return out

    def filled(self, images, streams):
        return torch.full((len(images),), self.rows / images.shape[-2])


@dataclass(frozen=True)
class Liar(Border):
    fault: str = "shape"

    def filled(self, images, streams):
        return {"shape": torch.zeros(2), "range": torch.full((len(images),), 1.5), "none": None}[self.fault]


def test_brier_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(50, 4, generator=generator), torch.arange(50) % 4
    theirs = brier_score_loss(
        labels.numpy(), logits.double().softmax(1).numpy(), labels=range(4), scale_by_half=False
    )
    assert float(brier(logits, labels).mean()) == pytest.approx(theirs, rel=1e-5)


def test_brier_runs_from_0_to_2_and_is_2_where_nothing_is_said():
    logits = torch.tensor([[100.0, 0, 0], [0, 100.0, 0], [0, 0, 0], [torch.nan, 0, 0], [torch.inf, 0, 0]])
    assert brier(logits, torch.zeros(5, dtype=torch.long)).tolist() == pytest.approx([0, 2, 2 / 3, 2, 2])


def test_the_rows_have_the_score_of_the_images_as_they_were_scored():
    rows = evaluate(network(), dataset(), ["brightness(severity=5)"]).samples
    for condition, part in rows.groupby("condition"):
        right = part["prediction"] == part["label"]
        assert (part["brier"][~right] >= part["confidence"][~right] ** 2).all(), condition
        assert (part["brier"][right] >= (1 - part["confidence"][right]) ** 2 - 1e-6).all(), condition
    assert rows.groupby("condition")["brier"].mean().nunique() == 2


def test_the_filled_share_is_that_of_the_shift_and_in_a_chain_the_largest():
    few, many = Border(rows=2), Border(rows=4)
    chain = evaluate(network(), dataset(), [few]).samples
    assert chain["filled"].isna().sum() == 12  # the clean images: nothing could be filled
    assert (chain[chain["kind"] == "shift"]["filled"] == 0.25).all()

    both = evaluate(network(), dataset(), [Condition((few, many)), Condition((many, few)), "brightness"]).samples
    assert (both[both["kind"] == "chain"]["filled"] == 0.5).all()
    assert both[both["kind"] == "shift"]["filled"].isna().all()


@pytest.mark.parametrize(
    ("fault", "message"), [("shape", "no share"), ("none", "no share"), ("range", r"outside \[0, 1\]")]
)
def test_no_share_is_taken_on_trust(fault, message):
    result = evaluate(network(), dataset(), [Liar(fault=fault)])
    assert result.status == "failed"
    assert isinstance(result.error, InputError)
    with pytest.raises(InputError, match=message):
        raise result.error
