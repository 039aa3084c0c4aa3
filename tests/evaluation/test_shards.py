"""Shards: put together they are the unsharded run, row by row."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

import robustbench_lite as rb
from robustbench_lite.cli.app import app
from robustbench_lite.errors import InputError
from robustbench_lite.runner import Inputs, prepare, run
from robustbench_lite.sharding import WHOLE, Shard, parse_shard

CONDITIONS = [
    "pgd(steps=4)",
    "adaptive(eps=0.06)",  # most resist, which is dear near the border: at 0.1 it takes three times as long
    "evade(steps=4, restarts=1)",
    "night(severity=3)",
    "occlusion(severity=2)",
    "ddn(steps=10)",
    "gaussian_noise(severity=2) + fgsm",
]
NETWORK = """
import torch


class Bright(torch.nn.Module):
    'Two classes: the mean of the image against its opposite.'

    def forward(self, x):
        mean = x.flatten(1).mean(1, keepdim=True) - 0.5
        return torch.cat([-mean, mean], 1)
"""
BATCH, N = 8, 50  # seven batches, the last with two images


@pytest.mark.parametrize(
    ("n", "batch", "count"), [(100, 16, 4), (100, 16, 7), (5, 128, 5), (361, 1024, 8), (3, 1, 2)]
)
def test_shards_share_all_batches_among_them(n, batch, count):
    shards = [Shard(i, count) for i in range(1, count + 1)]
    (size,) = {shard.batch_size(n, batch) for shard in shards}
    numbers = [number for shard in shards for number in shard.numbers(n, size)]
    assert sorted(numbers) == list(range(-(-n // size)))
    assert sum(shard.images(n, size) for shard in shards) == n
    assert all(shard.images(n, size) for shard in shards)
    assert size == batch or -(-n // batch) < count  # smaller only where it must be


def test_shards_are_read_and_refused():
    assert parse_shard(" 2 / 4 ") == Shard(2, 4)
    assert WHOLE.batch_size(3, 128) == 128
    for text in ("0/4", "5/4", "1", "a/b", "1/4/2", "-1/4", "1/0", "٣/٤"):
        with pytest.raises(InputError, match="is no part of a whole"):
            parse_shard(text)
    with pytest.raises(InputError, match="3 images cannot be 4 shards"):
        Shard(1, 4).batch_size(3, 128)


def made(place: Path, shard: Shard = WHOLE, conditions=CONDITIONS, probes=False, **inputs) -> rb.Run:
    """A run, or a shard of it, with a detector beside the network."""
    asked = Inputs(**{"first": N, "batch_size": BATCH, **inputs})
    detector = place.parent / "detector" if (place.parent / "detector").exists() else None
    return run(
        prepare(asked, conditions, shard=shard, detector=detector), command="eval", out=place, probes=probes
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The run as a whole, and in parts: count → runs. Tests must not change them."""
    place = tmp_path_factory.mktemp("shards")
    words = ["outliers", "fit", "--score", "image_statistics", "--false-alarms", "0.02", "--limit", "200"]
    done = CliRunner().invoke(
        app, [*words, "--no-probes", "--out", str(place / "detector"), "-q"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    whole = made(place / "whole")
    return {1: [whole], **{n: [made(place / f"{n}-{i}", Shard(i, n)) for i in range(1, n + 1)] for n in (2, 4)}}


@pytest.mark.parametrize("count", [2, 4])
def test_the_merged_run_is_the_unsharded_one_row_by_row(shards, tmp_path, count):
    (whole,), parts = shards[1], list(shards[count])
    random.Random(count).shuffle(parts)
    merged = rb.merge(parts, tmp_path / "merged")
    assert_frame_equal(merged.samples, whole.samples, check_exact=True)
    record, wanted = merged.record, whole.record
    assert (record.status, record.shard) == ("done", None)
    assert record.merged == [part.record.id for part in shards[count]]
    assert record.examples == wanted.examples
    for example in record.examples:
        for name in (example.clean, example.changed):
            assert (merged.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert record.data == wanted.data
    assert record.model == wanted.model
    assert record.detector == wanted.detector
    assert record.config == wanted.config
    for now, then in zip(record.conditions, wanted.conditions, strict=True):
        assert (now.spec, now.n, now.curve, now.parameters) == (then.spec, then.n, then.curve, then.parameters)
        assert now.threat_model == then.threat_model
        assert [c.name for c in now.checks] == [c.name for c in then.checks]
        assert [c for c in now.checks if c.name == "above_clean"] == [
            c for c in then.checks if c.name == "above_clean"
        ]
        if not now.spec.startswith("adaptive"):  # which is calibrated in every shard
            assert (now.forwards, now.gradients) == (then.forwards, then.gradients)
            assert (now.detector_forwards, now.detector_gradients) == (
                then.detector_forwards,
                then.detector_gradients,
            )
    assert record.checks == wanted.checks


def test_a_shard_says_what_it_is(shards):
    part = shards[4][1].record
    assert part.shard is not None
    assert part.shard.model_dump() == {"index": 2, "count": 4, "n_whole": N}
    assert part.data.n_used == 2 * BATCH  # batches 2 and 6
    assert part.data.manifest_sha256 == shards[1][0].record.data.manifest_sha256


def test_an_interrupted_shard_goes_on(shards, tmp_path, monkeypatch):
    shutil.copytree(shards[4][0].path.parent / "detector", tmp_path / "detector")
    asked = Inputs(first=N, batch_size=BATCH)

    def part(resume, on_progress=lambda progress: None):
        prepared = prepare(asked, CONDITIONS, shard=Shard(2, 4), detector=tmp_path / "detector")
        return run(
            prepared, command="eval", out=tmp_path / "part", resume=resume, probes=False, on_progress=on_progress
        )

    def stop(progress):
        if progress.done > 1.5 * BATCH * len(CONDITIONS):
            raise KeyboardInterrupt

    assert part(False, stop).record.status == "interrupted"
    again = part(True)
    assert again.record.resumed == 1
    assert_frame_equal(again.samples, shards[4][1].samples, check_exact=True)


def test_of_few_images_the_batches_are_made_smaller_and_that_is_said(tmp_path):
    prepared = prepare(Inputs(first=20), ["flip"], shard=Shard(3, 4))
    assert prepared.inputs.batch_size == 5
    (note,) = prepared.notes
    assert "batches of 5 images instead of 1024" in note
    assert "--batch-size 5" in note
    part = run(prepared, command="eval", out=tmp_path / "part")
    assert part.samples["index"].tolist() == [*range(10, 15)] * 2
    whole = made(tmp_path / "whole", conditions=["flip"], first=20, batch_size=5)
    same = whole.samples[whole.samples["index"].isin(part.samples["index"])].reset_index(drop=True)
    assert_frame_equal(part.samples, same, check_exact=True)


def changed(source: rb.Run, place: Path, **fields) -> Path:
    """A copy of a run with another record."""
    shutil.copytree(source.path, place)
    record = json.loads((place / "run.json").read_text())
    for path, value in fields.items():
        *above, last = path.split("__")
        inside = record
        for key in above:
            inside = inside[int(key) if key.isdecimal() else key]
        inside[last] = value
    (place / "run.json").write_text(json.dumps(record))
    return place


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("model__weights_sha256", "0" * 64, "they differ in network"),
        ("data__manifest_sha256", "0" * 64, "they differ in images"),
        ("seed", 1, "they differ in seed"),
        ("conditions__1__spec", "fgsm", "they differ in conditions"),
        ("code_sha256", "0" * 64, "they differ in code"),
        ("config__batch_size", 17, "they differ in batch size"),
        ("shard__count", 3, "they differ in number of shards"),
        ("shard__index", 1, "overlap: both are shard 1/2"),
        ("shard", None, "is no shard: it has all images"),
        ("status", "interrupted", "shard 2/2, is unfinished (interrupted)"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(shards, tmp_path, field, value, told):
    first, second = shards[2]
    other = changed(second, tmp_path / "other", **{field: value, "id": "another"})
    with pytest.raises(InputError) as error:
        rb.merge([first, other], tmp_path / "merged")
    assert told in str(error.value)
    assert not (tmp_path / "merged").exists()


def test_missing_shards_are_named_or_put_up_with(shards, tmp_path):
    first, _, third, _ = shards[4]
    with pytest.raises(InputError, match=r"missing: shard 2/4, 4/4\."):
        rb.merge([third, first], tmp_path / "merged")
    merged = rb.merge([third, first], tmp_path / "merged", allow_missing=True)
    assert merged.record.status == "interrupted"
    assert merged.record.data.n_used == len(merged.samples) / len(merged.record.conditions) < N
    assert "merged without shard 2/4, 4/4: 26 of 50 images are in it" in merged.record.data.notes
    with pytest.raises(InputError, match="has been merged already"):
        rb.merge([merged, first], tmp_path / "again")


def test_the_same_run_twice_and_nothing_at_all_are_refused(shards, tmp_path):
    first, second = shards[2]
    copy = changed(first, tmp_path / "copy")
    with pytest.raises(InputError, match="are the same run"):
        rb.merge([first, second, copy], tmp_path / "merged")
    with pytest.raises(InputError, match="nothing was given"):
        rb.merge([], tmp_path / "merged")
    with pytest.raises(InputError, match="exists already"):
        rb.merge([first, second], tmp_path / "copy")


def test_what_is_found_in_one_shard_is_said_with_its_name(shards, tmp_path):
    first, second = shards[2]
    check = {
        "name": "progress",
        "status": "triggered",
        "seen": "on 3 of 8 images …",
        "advice": "Mend it.",
        "next": "square",
        "command": "rb attack --method square",
    }
    checks = [c.model_dump() for c in second.record.conditions[1].checks if c.name != "progress"]
    warned = {"conditions__1__checks": [*checks, check], "conditions__1__warnings": ["it is weak"]}
    other = changed(second, tmp_path / "other", **warned)
    pgd = rb.merge([other, first], tmp_path / "merged").record.conditions[1]
    (progress,) = (c for c in pgd.checks if c.name == "progress")
    assert progress.model_dump() == {**check, "seen": "shard 2/2: on 3 of 8 images …"}
    assert pgd.warnings == ["shard 2/2: it is weak"]


def test_a_record_that_was_sent_names_no_file_elsewhere(shards, tmp_path):
    first, second = shards[2]
    (tmp_path / "secret.png").write_bytes(b"secret")
    names = {f"examples__{i}__changed": "images/../../secret.png" for i in range(len(second.record.examples))}
    other = changed(second, tmp_path / "other", **names)
    with pytest.raises(InputError, match="is damaged: a picture is not in images/"):
        rb.merge([first, other], tmp_path / "merged")


def test_images_that_are_damaged_are_those_of_the_whole(tmp_path):
    """A folder with two files that are no images, which every shard leaves out where it meets them."""
    (tmp_path / "nets.py").write_text(NETWORK)
    import numpy as np
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "parts" / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng([ord(label), i]).integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "parts" / label / f"{i:02}.png")
        file = tmp_path / "parts" / label / "05.png"
        file.write_bytes(file.read_bytes()[:-30])
    asked = Inputs(
        model=f"{tmp_path / 'nets.py'}:Bright",
        data=f"folder:{tmp_path / 'parts'}",
        split="all",
        batch_size=4,
        channels=1,
        max_damaged=0.5,
    )
    runs = [
        run(prepare(asked, ["flip"], shard=shard), command="eval", out=tmp_path / str(shard).replace("/", "-"))
        for shard in (WHOLE, Shard(1, 2), Shard(2, 2))
    ]
    merged = rb.merge(runs[1:], tmp_path / "merged")
    assert_frame_equal(merged.samples, runs[0].samples, check_exact=True)
    assert merged.record.data.n_skipped == runs[0].record.data.n_skipped == 2
    assert len(pd.unique(merged.samples["index"])) == 22
