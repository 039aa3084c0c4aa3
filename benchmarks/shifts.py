"""The published corruptions beside imagecorruptions, albumentations and kornia: distance from the image, CPU time.

    pip install -e ".[benchmarks]"
    python3 -m venv REFERENCE && REFERENCE/bin/pip install -r benchmarks/shifts_reference.txt
    python benchmarks/shifts.py parity speed --reference-python REFERENCE/bin/python --out found.json

Theirs run in their own interpreter (shifts_reference.py, which says what is mended there), one thread each.

parity: PSNR to the clean image at 224 pixels, mean over photographs and crops of them, theirs and ours, with the
parameters of ImageNet-C. Where a known fault of theirs is mended in ours, legacy has it, and is what is compared;
more than 1 dB apart is flagged. Random corruptions draw anew for every image and draw. elastic_transform is
compared with the function of ImageNet-C, for imagecorruptions has another.

speed: CPU seconds per image, severities 1 to 5 in turn. Ours takes and returns a batch of float tensors, of 16
images, of 64 below 100 pixels; imagecorruptions and albumentations one uint8 array after the other, kornia a batch
of float tensors: each what it is made for. The sides take turns, round after round; a ratio is the lower median
over the rounds of theirs / ours. "with conversion" adds to the time of imagecorruptions that of a conversion from
float tensors to such arrays and back, which ours includes. albumentations and kornia have no severities and often
another model: one near severity 3, against our 3.

A corruption that is not registered is left out with a line. Prints tables; --out writes JSON.
"""

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from side_by_side import print_table
from sklearn.datasets import load_sample_image

from robustbench_lite.errors import UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.published import ImageNetC
from robustbench_lite.shifts.published_tables import CORRUPTIONS

SEVERITIES = (1, 2, 3, 4, 5)
FLAG_DB = 1.0


class Reference:
    """The other interpreter; a request and its answer are one line of JSON each."""

    def __init__(self, python):
        script = Path(__file__).with_name("shifts_reference.py")
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PATH": "/usr/bin:/bin", "NO_ALBUMENTATIONS_UPDATE": "1", **threads},
        )

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the reference interpreter ended: try shifts_reference.py by hand")
        reply = json.loads(line)
        if "error" in reply:
            raise SystemExit(f"{request}: {reply['error']}")
        return reply["result"]


def photographs(side, crops):
    """Two photographs as squares of this side, and as many square crops of each: (N, side, side, 3) in uint8."""
    generator, images = np.random.default_rng(0), []
    for name in ("china.jpg", "flower.jpg"):
        photo = Image.fromarray(load_sample_image(name))
        short = min(photo.size)
        left, top = (photo.width - short) // 2, (photo.height - short) // 2
        boxes = [(left, top, short)]
        for _ in range(crops):
            size = int(generator.integers(min(224, short), short))
            boxes.append((*(int(generator.integers(0, end - size + 1)) for end in photo.size), size))
        for x, y, size in boxes:
            images.append(photo.crop((x, y, x + size, y + size)).resize((side, side), Image.Resampling.LANCZOS))
    return np.stack([np.asarray(image) for image in images])


def ours(name, severity, *, legacy=False):
    """Our shift with the published parameters; None if there is none that takes them."""
    try:
        return ImageNetC(name, severity, legacy).shift
    except (UnknownNameError, TypeError):
        return None


def registered(names):
    """Those of the names that we have; a line for each that we have not."""
    found = [name for name in names if ours(name, 1) is not None]
    for name in names:
        if name not in found:
            print(f"skipped: no shift {CORRUPTIONS[name].shift}{CORRUPTIONS[name].arguments}", flush=True)
    return found


def _tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255


def psnr(a, b):
    return float(np.mean(-10 * np.log10(((a - b) ** 2).mean((1, 2, 3)))))


def parity(arguments, reference, folder):
    """PSNR to the clean image, theirs and ours."""
    images = np.concatenate([photographs(224, arguments.crops)] * arguments.draws)
    clean, rows = images / 255.0, []
    batch, streams = _tensor(images), Streams(arguments.seed, "parity", tuple(map(str, range(len(images)))))

    def distance(shift):
        return psnr(shift(batch, streams).permute(0, 2, 3, 1).numpy(), clean)

    np.save(folder / "in.npy", images)
    for name in registered(arguments.only):
        for severity in SEVERITIES:
            reference.ask(
                do="corrupt",
                name="elastic_published" if name == "elastic_transform" else name,
                severity=severity,
                seed=arguments.seed,
                images=str(folder / "in.npy"),
                out=str(folder / "out.npy"),
            )
            theirs = psnr(np.load(folder / "out.npy") / 255.0, clean)
            own, old = ours(name, severity), ours(name, severity, legacy=True)
            row = {"corruption": name, "severity": severity, "theirs_db": theirs, "ours_db": distance(own)}
            row["legacy_db"] = None if own == old else distance(old)
            row["apart"] = (row["ours_db"] if own == old else row["legacy_db"]) - theirs
            rows.append({**row, "flag": "more than 1 dB" if abs(row["apart"]) > FLAG_DB else ""})
    print_table(f"parity: {len(images)} images of 224 px, PSNR to the clean image", rows)
    return rows


def speed(arguments, reference, folder):
    """CPU time per image against each library, and for the whole sweep."""
    rows, names = [], registered(arguments.only)
    for side in arguments.sides:
        images = photographs(side, 7 if side >= 100 else 31)
        file = folder / f"in{side}.npy"
        np.save(file, images)
        sweep = []
        for name in names:
            times = _in_turns(arguments, reference, name, images, file)
            sweep.append(times)
            rows.append(_speed_row(name, side, times))
        if arguments.wheel:
            times = _in_turns(arguments, reference, "glass_blur_wheel", images, file)
            rows.append(_speed_row("glass_blur of the wheel", side, times))
        if len(names) > 1:
            whole = {key: [sum(column) for column in zip(*(t[key] for t in sweep), strict=True)] for key in _SWEEP}
            rows.append(_speed_row(f"all {len(names)}", side, whole))
    print_table(f"speed: CPU ms per image, mean of severities 1-5, {arguments.rounds} rounds", rows)
    return rows


_SWEEP = ("ours", "imagecorruptions", "with conversion")


def _in_turns(arguments, reference, name, images, file):
    """Seconds per image of every side, round by round."""
    batch = _tensor(images)
    streams = Streams(arguments.seed, name, tuple(map(str, range(len(images)))))
    others = ("albumentations", "kornia") if arguments.others else ()
    own = name.removesuffix("_wheel")
    times = {
        "ours": [],
        "ours_3": [],
        "imagecorruptions": [],
        "with conversion": [],
        **{library: [] for library in others},
    }
    for turn in range(arguments.rounds + 1):  # the first warms up
        request = {
            "do": "time",
            "name": name,
            "images": str(file),
            "seconds": arguments.seconds,
            "warm": turn == 0,
        }
        mine = [_timed(ours(own, s), batch, streams, arguments.seconds) for s in SEVERITIES]
        theirs = [reference.ask(library="imagecorruptions", severity=s, **request) for s in SEVERITIES]
        conversion = reference.ask(library="conversion", severity=None, **request)
        rest = {library: reference.ask(library=library, severity=3, **request) for library in others}
        if turn:
            times["ours"].append(statistics.mean(mine))
            times["ours_3"].append(mine[2])
            times["imagecorruptions"].append(statistics.mean(theirs))
            times["with conversion"].append(statistics.mean(theirs) + conversion)
            for library, seconds in rest.items():
                times[library].append(seconds)
    return times


def _timed(shift, batch, streams, seconds):
    start, passes = time.process_time(), 0
    with torch.no_grad():
        while passes == 0 or time.process_time() - start < seconds:
            shift(batch, streams)
            passes += 1
    return (time.process_time() - start) / passes / len(batch)


def _speed_row(name, side, times):
    def ratio(library, own):
        theirs = times.get(library)
        if not theirs or None in theirs:
            return None
        return statistics.median_low([a / b for a, b in zip(theirs, times[own], strict=True)])

    return {
        "corruption": name,
        "pixels": side,
        "ours_ms": 1e3 * statistics.median_low(times["ours"]),
        "imagecorruptions_ms": 1e3 * statistics.median_low(times["imagecorruptions"]),
        "x imagecorruptions": ratio("imagecorruptions", "ours"),
        "x with conversion": ratio("with conversion", "ours"),
        "x albumentations": ratio("albumentations", "ours_3"),
        "x kornia": ratio("kornia", "ours_3"),
    }


SECTIONS = {"parity": parity, "speed": speed}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=SECTIONS)
    parser.add_argument("--reference-python", required=True, help="of the environment of shifts_reference.txt")
    parser.add_argument("--only", nargs="+", choices=CORRUPTIONS, default=list(CORRUPTIONS), metavar="CORRUPTION")
    parser.add_argument("--crops", type=int, default=7, help="of parity, of each photograph, beside the whole")
    parser.add_argument("--draws", type=int, default=8, help="of parity, for every image")
    parser.add_argument("--sides", nargs="+", type=int, default=[224, 32], help="of speed, in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="of speed")
    parser.add_argument("--seconds", type=float, default=0.05, help="of one measurement of speed, at least")
    parser.add_argument("--wheel", action="store_true", help="speed of glass_blur as installed, not compiled")
    parser.add_argument("--no-others", dest="others", action="store_false", help="imagecorruptions only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write JSON here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reference = Reference(arguments.reference_python)
    record = {
        "threads": 1,
        "seed": arguments.seed,
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "reference": reference.ask(do="versions"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(arguments.sections):
            record[name] = SECTIONS[name](arguments, reference, Path(folder))
            if arguments.out:
                arguments.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
