"""``python -m robustbench_lite`` is ``rb``."""

from robustbench_lite.cli import main

main()
