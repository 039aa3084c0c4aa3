"""What it costs to keep finished batches for ``--resume``: CPU seconds of ``evaluate`` with a store and without.

    python benchmarks/resuming.py                                             # the demo
    python benchmarks/resuming.py net.safetensors folder:parts shifts 120     # network, data, conditions, images

Pairs, each in turn with the store and without, in the other order every other time; the ratio of each pair.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import robustbench_lite as rb
from robustbench_lite.inputs import Inputs
from robustbench_lite.runner import prepare

PAIRS = 10
CONDITIONS = {
    "shifts": [f"{name}(severity={s})" for name in ("night", "motion_blur", "sensor_noise") for s in (1, 3, 5)],
    "both": ["pgd", "night", "motion_blur", "jpeg", "sensor_noise"],
}


def seconds(prepared, folder):
    """CPU seconds of one evaluation, all threads, and bytes that were kept."""
    start, store = time.process_time(), None
    if folder:
        store = rb.open_store(folder, prepared.classifier, prepared.dataset)
    rb.evaluate(prepared.classifier, prepared.dataset, prepared.conditions, store=store, probes=False)
    size = 0
    if store:
        store.flush()
        size = (store.folder / "units").stat().st_size
        store.remove()
    return time.process_time() - start, size


def main():
    model, data, what, n = (*sys.argv[1:], *("demo", "digits", "both", "361")[len(sys.argv) - 1 :])
    torch.set_num_threads(1)
    prepared = prepare(Inputs(model=model, data=data, first=int(n)), CONDITIONS[what])
    seconds(prepared, None)  # the first warms up
    ratios, spent, size = [], [], 0
    for pair in range(PAIRS):
        with tempfile.TemporaryDirectory() as folder:
            sides = [None, Path(folder)] if pair % 2 else [Path(folder), None]
            took = {side is not None: seconds(prepared, side) for side in sides}
        size = took[True][1]
        spent.append(took[False][0])
        ratios.append(took[True][0] / took[False][0])
    print(
        json.dumps(
            {
                "model": model,
                "data": data,
                "n": len(prepared.dataset),
                "conditions": what,
                "pairs": PAIRS,
                "cpu_seconds_without": round(statistics.median(spent), 2),
                "overhead_percent": {
                    "median": round(100 * (statistics.median(ratios) - 1), 2),
                    "quartiles": [round(100 * (q - 1), 2) for q in statistics.quantiles(ratios, n=4)[::2]],
                },
                "bytes_kept": size,
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
