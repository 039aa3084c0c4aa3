"""How long the command line takes to answer, as a ratio to importing typer and rich.

    python benchmarks/startup.py

Every command in turn, 15 rounds, medians: one round's load is every command's load.
"""

import json
import platform
import statistics
import subprocess
import sys
import time

BASE = "import typer, rich"
COMMANDS = {
    BASE: [sys.executable, "-c", BASE],
    "rb --help": [sys.executable, "-m", "robustbench_lite", "--help"],
    "rb ls": [sys.executable, "-m", "robustbench_lite", "ls"],
}


def main():
    seconds = {name: [] for name in COMMANDS}
    for _ in range(15):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: round(median / medians[BASE], 2) for name, median in medians.items()}
    print(json.dumps({"python": platform.python_version(), "seconds": medians, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
