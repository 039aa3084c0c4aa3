"""Entry point of ``rb`` and of ``python -m robustbench_lite``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line. ``rb ls`` goes past typer, which takes longer to import than the list to print."""
    # To be told to stop keeps what was computed, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    words = sys.argv[1:]
    try:
        if words[:1] != ["ls"] or not _listed(*words[1:]):
            from robustbench_lite.cli.app import app

            app()
    finally:
        _flush()


def _flush() -> None:
    """What is left to be written; when Python ends it could only complain of a closed pipe."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _listed(*what: str) -> bool:
    """Print the list, unless there is more to the command than the name of one, or suites of one's own."""
    from robustbench_lite.reports.listing import LISTS, print_listing

    if len(what) > 1 or not set(what) <= set(LISTS) or (set(what) <= {"suites"} and _is_configured()):
        return False
    try:
        print_listing("".join(what))
        sys.stdout.flush()
    except BrokenPipeError:  # rb ls | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _is_configured() -> bool:
    """Whether there may be a configuration here; to read it takes longer than to print the list."""
    if os.path.exists("rb.toml"):
        return True
    try:
        with open("pyproject.toml", "rb") as file:
            return b"tool.rb" in file.read()
    except OSError:
        return False


if __name__ == "__main__":
    main()
