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
    if words[:1] != ["ls"] or not _listed(*words[1:]):
        from robustbench_lite.cli.app import app

        app()


def _listed(*what: str) -> bool:
    """Print the list, unless there is more to the command than the name of one."""
    from robustbench_lite.reports.listing import KINDS, print_listing

    if len(what) > 1 or not set(what) <= set(KINDS):
        return False
    try:
        print_listing(*what)
        sys.stdout.flush()
    except BrokenPipeError:  # rb ls | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    main()
