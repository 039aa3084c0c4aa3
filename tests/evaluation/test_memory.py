"""What is kept of a batch when the next one comes: its rows and a few pictures, not its images."""

import pandas as pd
import torch

from robustbench_lite.examples import ExampleKeeper
from robustbench_lite.registry import make
from robustbench_lite.scoring import Tally
from robustbench_lite.units import Unit


def test_a_kept_picture_does_not_keep_its_batch():
    keeper = ExampleKeeper()
    images = torch.rand(50, 1, 8, 8)
    rows = pd.DataFrame({"condition": "a", "sample_id": [f"{i}" for i in range(50)], "label": 0})
    rows = rows.assign(file="f", correct=0, prediction=1, confidence=0.5)
    keeper.offer(rows, [0] * 50, images, images)
    kept = [one for all_kept in keeper._kept.values() for one in all_kept]
    assert len(kept) == 6
    for one in kept:
        for picture in (one.clean, one.changed):
            whole = picture if picture.base is None else picture.base
            assert whole.nbytes == 64


def test_rows_are_kept_in_few_pieces_in_their_order():
    tally = Tally(make("clean"), "clean")
    for i in range(100):
        tally.add(Unit("clean", i, pd.DataFrame({"index": [2 * i, 2 * i + 1]})))
    assert len(tally.rows) < 16
    assert pd.concat(tally.rows)["index"].tolist() == list(range(200))
