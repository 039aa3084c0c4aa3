"""Memory that training frees stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from robustbench_lite.training.allocating import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
before = 0
for round in range(6):
    if round == 1:  # what the first one asked for is there now
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"1") * 20_000_000 for _ in range(4)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word):
    done = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_not_asked_for_twice():
    """80 MB a round are 20,000 pages, which are cleared anew each round unless they are kept."""
    assert faults("keep") < 2_000
    assert faults("give back") > 20_000
