"""A run made up without a network: 8 × 8 pictures, an attack, a shift at three severities, and a chain."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from robustbench_lite.records import RunRecord
from robustbench_lite.run_folder import RunFolder
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.runs import Run, read_run

# spec, kind, severity, threat models, accuracy, gradients per image
CONDITIONS = [
    ("clean", "clean", None, [], 0.97, 0),
    ("pgd(eps=0.1)", "attack", None, [{"norm": "linf", "eps": 0.1}], 0.31, 40),
    ("cw(norm=l2)", "attack", None, [{"norm": "l2", "eps": None, "minimal": True}], 0.02, 900),
    ("night(severity=1)", "shift", 1.0, [], 0.95, 0),
    ("night", "shift", 3.0, [], 0.8, 0),
    ("night(severity=5)", "shift", 5.0, [], 0.4, 0),
    ("gaussian_blur(severity=2)", "shift", 2.0, [], 0.9, 0),
    ("night(severity=2) + pgd(eps=4/255)", "chain", 2.0, [{"norm": "linf", "eps": 4 / 255}], 0.5, 40),
]


@dataclass
class Made:
    """What a made-up run is like; a test changes what it is about."""

    n: int = 100
    side: int = 8
    conditions: list = field(default_factory=lambda: list(CONDITIONS))
    class_names: list = field(default_factory=lambda: [str(i) for i in range(10)])
    file: str = "digit-{}.png"
    examples: int = 2  # of each condition that changes images
    record: dict = field(default_factory=dict)  # fields of the record to replace
    data: dict = field(default_factory=dict)  # fields of the data record to replace


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def rows(made):
    frames = []
    for spec, kind, severity, threats, accuracy, _ in made.conditions:
        right = np.arange(made.n) < round(accuracy * made.n)
        labels = np.arange(made.n) % 10
        frames.append(
            pd.DataFrame(
                {
                    "index": range(made.n),
                    "sample_id": [f"id{i}" for i in range(made.n)],
                    "file": [made.file.format(i) for i in range(made.n)],
                    "group": None,
                    "label": labels,
                    "condition": spec,
                    "kind": kind,
                    "severity": severity,
                    "prediction": np.where(right, labels, (labels + 1) % 10),
                    "correct": right,
                    "attacked": bool(threats),
                    "succeeded": bool(threats) & ~right,
                    "fools_8bit": bool(threats) & ~right & (np.arange(made.n) % 4 > 0),
                    "by": np.where(right | (not threats) | ("worst" not in spec), None, "fgsm"),
                    "confidence": 0.9,
                    "brier": np.where(right, 0.02, 1.62),
                    "margin": np.where(right, 2.0, -2.0),
                    "l2": 0.0 if kind == "clean" else np.linspace(0.1, 1, made.n),
                    "linf": 0.0 if kind == "clean" else 0.1,
                    "l1": 0.0 if kind == "clean" else 3.0,
                    "l0": 0 if kind == "clean" else 50,
                    "filled": np.nan,
                    "outlier": np.nan,
                    "flagged": 0,
                }
            )
        )
    return pd.concat(frames).astype(COLUMNS)


def record(made):
    conditions = [
        {
            "spec": spec,
            "kind": kind,
            "severity": severity,
            "parameters": [] if kind == "clean" else [{"name": spec.partition("(")[0], "steps": 10}],
            "threat_model": threats,
            "n": made.n,
            "forwards": made.n * (gradients + 1),
            "gradients": made.n * gradients,
            "seconds": 1.25,
            "curve": [
                {"eps": eps, "accuracy": 0.97 - 0.95 * eps, "ci_low": 0.9 - 0.9 * eps, "ci_high": 1 - 0.9 * eps}
                for eps in (0, 0.25, 0.5, 1)
                if spec.startswith("cw(")
            ],
            "warnings": ["gradients are zero on 12 of 100 images"] if kind == "chain" else [],
        }
        for spec, kind, severity, threats, _, gradients in made.conditions
    ]
    model = {
        "spec": "demo",
        "weights_sha256": "ab" * 32,
        "parameters": 12345,
        "input_shape": [1, made.side, made.side],
        "num_classes": 10,
        "mean": [0.3],
        "std": [0.25],
        "notes": [],
    }
    data = {
        "spec": "digits",
        "split": "test",
        "class_names": made.class_names,
        "manifest_sha256": "cd" * 32,
        "image_shape": [1, made.side, made.side],
        "n_asked": made.n,
        "n_used": made.n,
        "n_skipped": 0,
        "skipped": [],
        "n_groups": None,
        "eps": {"linf": 0.1, "l2": 0.5},
        **made.data,
    }
    whole = {
        "id": "20260101T000000Z-attack-01234567",
        "command": "attack",
        "status": "done",
        "created": "2026-01-01T00:00:00+00:00",
        "argv": ["/usr/bin/rb", "attack", "--on", "pgd(eps=0.1)"],
        "config": {},
        "demo": False,
        "seed": 7,
        "as_8bit": False,
        "packages": {"torch": "2.10.0"},
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "model": model,
        "data": data,
        "device": "cpu",
        "dtype": "float32",
        "seconds": 12.0,
        "conditions": conditions,
        "examples": [],
    }
    return {**whole, **made.record}


def pictures(made, images):
    """Examples with their pictures; the first two of a condition are its worst."""
    rng = np.random.default_rng(0)
    found, files = [], {}
    for c, (spec, kind, *_) in enumerate(made.conditions):
        for i in range(0 if kind == "clean" else made.examples):
            clean = rng.integers(0, 256, (made.side, made.side), dtype=np.uint8) if images is None else images[i]
            noise = rng.integers(-25, 26, clean.shape)
            names = f"images/{c}-{i}-clean.png", f"images/{c}-{i}-changed.png"
            files[names[0]] = png(clean)
            files[names[1]] = png(np.clip(clean + noise, 0, 255).astype(np.uint8))
            worst = i < made.examples // 2
            found.append(
                {
                    "condition": spec,
                    "role": "worst" if worst else "ordinary",
                    "sample_id": f"id{i}",
                    "file": made.file.format(i),
                    "label": i % 10,
                    "clean_prediction": i % 10,
                    "prediction": (i + worst) % 10,
                    "confidence": 0.87,
                    "clean": names[0],
                    "changed": names[1],
                }
            )
    return found, files


def write_made(folder: Path, made: Made, images=None) -> Run:
    examples, files = pictures(made, images)
    whole = RunRecord.model_validate({**record(made), "examples": examples})
    target = RunFolder(folder)
    target.commit(whole, rows(made), files)
    return read_run(folder)


def write_shards(folder: Path, made: Made, count: int = 2, batch_size: int = 8) -> list[Run]:
    """The shards of a made-up run, ``folder/1`` and so on, as ``--shard`` makes them."""
    whole, written = rows(made), []
    for index in range(1, count + 1):
        mine = whole[whole["index"] // batch_size % count == index - 1]
        said = record(made)
        n = len(mine) // len(made.conditions)
        said["conditions"] = [{**condition, "n": n} for condition in said["conditions"]]
        said |= {
            "id": f"{said['id'][:-1]}{index}",
            "config": {"batch_size": batch_size, **said["config"]},
            "data": {**said["data"], "n_used": n},
            "shard": {"index": index, "count": count, "n_whole": made.n},
        }
        target = RunFolder(folder / str(index))
        target.commit(RunRecord.model_validate(said), mine, {})
        written.append(read_run(folder / str(index)))
    return written
