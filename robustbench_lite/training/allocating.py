"""Memory that training gives back to the system only to ask for it again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, on Linux with glibc; elsewhere nothing happens.

    Every step of a training frees its activations, and glibc returns pieces so large to the system, which clears
    them page by page when they are asked for again.
    """
    if sys.platform != "linux":
        return
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    tune(_MMAP_MAX, 0)
    tune(_TRIM_THRESHOLD, 2**31 - 1)
    tune(_TOP_PAD, 64 * 2**20)
