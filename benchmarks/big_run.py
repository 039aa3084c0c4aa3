"""Time and memory of rb gate, report and show on large made-up runs, and size of a page with 200 examples.

python benchmarks/big_run.py                            measure three runs in a temporary folder
python benchmarks/big_run.py make OUT [N CONDITIONS CLASSES EXAMPLES]    only make one (10000 100 10 0)

Runs are drawn with seed 0: every condition has N rows, the first is clean and the last an attack. Examples are
crops of 224 pixels of scikit-learn's two photographs, and the same with noise of 10 % of the range.

Python 3.11, pandas 3.1, pyarrow 26, one run each, one thread. Seconds of one core, start of Python included, and
peak memory; the machine was shared, so that times by the clock say little.

                     rb show        rb report      rb gate        page
    1,000,000 rows   6.9 s 576 MB   6.3 s 606 MB   1.4 s 271 MB   0.43 MB
    1,000 classes    6.7 s 245 MB   5.4 s 243 MB   1.3 s 175 MB   0.35 MB
    200 examples     3.5 s 172 MB   8.2 s 199 MB   1.7 s 164 MB   2.31 MB
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_runs import Made, png, record

from robustbench_lite.records import RunRecord
from robustbench_lite.run_folder import RunFolder

SHIFTS = (
    *("night", "dusk", "fog", "rain", "snow", "frost", "haze", "glare", "shadow", "motion", "defocus"),
    *("gaussian_noise", "dirt", "bloom", "vignetting", "flicker", "rotation", "elastic", "jpeg", "occlusion"),
)
RUNS = {
    "1,000,000 rows": (10_000, 100, 10, 0),
    "1,000 classes": (1_000, 100, 1_000, 0),
    "200 examples": (100, 51, 10, 4),
}
RULES = """
[[gate]]
id = "clean"
metric = "accuracy"
where = { condition = "clean" }
min = 0.9

[[gate]]
id = "every"
metric = "accuracy"
where = { condition = "*" }
min = 0.2
"""


def conditions(count):
    shifts = [(f"{name}(severity={level})", level) for level in range(1, 6) for name in SHIFTS][: count - 2]
    found = [(spec, "shift", float(level), [], 0.97 - 0.1 * level, 0) for spec, level in shifts]
    return [
        ("clean", "clean", None, [], 0.97, 0),
        *found,
        ("pgd(eps=0.1)", "attack", None, [{"norm": "linf", "eps": 0.1}], 0.3, 40),
    ]


def rows(rng, n, found, classes):
    ids = [f"{i:064x}" for i in rng.integers(0, 2**62, n)]
    labels, difficulty = rng.integers(0, classes, n), rng.random(n)
    files = [f"class{label}/image{i:06d}.png" for i, label in enumerate(labels)]
    for spec, kind, severity, threats, accuracy, _ in found:
        right = 0.8 * difficulty + 0.2 * rng.random(n) < accuracy
        wrong = (labels + 1 + rng.integers(0, classes - 1, n)) % classes
        numbers = {name: rng.random(n) for name in ("brier", "margin", "l2", "linf", "l1", "outlier")}
        yield pd.DataFrame(
            {
                "index": range(n),
                "sample_id": ids,
                "file": files,
                "group": None,
                "label": labels,
                "condition": spec,
                "kind": kind,
                "severity": severity,
                "prediction": np.where(right, labels, wrong),
                "correct": right,
                "attacked": bool(threats),
                "succeeded": bool(threats) & ~right,
                "fools_8bit": bool(threats) & ~right,
                "by": None,
                "confidence": 0.5 + 0.5 * rng.random(n),
                **numbers,
                "l0": 5,
                "filled": np.nan,
                "flagged": rng.random(n) < 0.05,
            }
        )


def examples(rng, found, each):
    from sklearn.datasets import load_sample_image

    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    kept, files = [], {}
    for c, (spec, *_) in enumerate(found[1:] if each else ()):
        for i in range(each):
            photo = photos[(c + i) % 2]
            top, left = (rng.integers(0, size - 224) for size in photo.shape[:2])
            clean = photo[top : top + 224, left : left + 224]
            changed = np.clip(clean + rng.normal(0, 25.5, clean.shape), 0, 255).astype(np.uint8)
            names = f"images/{c}-{i}-clean.png", f"images/{c}-{i}-changed.png"
            files.update(zip(names, map(png, (clean, changed)), strict=True))
            entry = {
                "condition": spec,
                "role": "worst" if i else "ordinary",
                "sample_id": f"{c:08x}",
                "file": "a.png",
            }
            numbers = {"label": 1, "clean_prediction": 1, "prediction": 2, "confidence": 0.9}
            kept.append({**entry, **numbers, "clean": names[0], "changed": names[1]})
    return kept, files


def make(out, n=10_000, count=100, classes=10, each=0):
    rng = np.random.default_rng(0)
    found = conditions(count)
    kept, files = examples(rng, found, each)
    made = Made(n=n, conditions=found, class_names=[f"class{i}" for i in range(classes)])
    whole = RunRecord.model_validate({**record(made), "examples": kept})
    return RunFolder(Path(out)).commit(whole, pd.concat(rows(rng, n, found, classes), ignore_index=True), files)


def measured(*words):
    """Seconds of one core and by the clock for the whole command, and the peak of its memory in MB."""
    code = (
        "import resource, sys; from robustbench_lite.__main__ import main; sys.argv[0] = 'rb'\n"
        "try: main()\nexcept SystemExit: pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, file=sys.stderr)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=True
    )
    core, megabytes = done.stderr.split()[-2:]
    return float(core), time.perf_counter() - begin, int(megabytes)


def opened(page):
    """Milliseconds until Chromium has loaded the page: the best of five."""
    from playwright.sync_api import sync_playwright

    script = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        times = []
        for _ in range(5):
            tab = browser.new_context().new_page()
            tab.goto(page.as_uri())
            times.append(tab.evaluate(script))
        browser.close()
    return min(times)


def main():
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2], *map(int, sys.argv[3:]))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rules = folder / "rb.toml"
        rules.write_text(RULES, encoding="utf-8")
        for name, shape in RUNS.items():
            run = folder / name.replace(" ", "-").replace(",", "")
            # In a process of its own: a large parent counts among the memory of its children.
            subprocess.run([sys.executable, __file__, "make", str(run), *map(str, shape)], check=True)
            for words in (("show", run), ("report", run), ("gate", run, "--config", rules)):
                core, clock, megabytes = measured(*words)
                print(
                    f"{name:16s} rb {words[0]:6s} {core:5.1f} s of a core, {clock:5.1f} s in all, {megabytes} MB"
                )
            page = run / "report.html"
            print(f"{name:16s} page {page.stat().st_size / 1e6:.2f} MB, loaded in {opened(page):.0f} ms")


if __name__ == "__main__":
    main()
