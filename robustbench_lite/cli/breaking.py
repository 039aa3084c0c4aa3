"""``rb shift --until``: the severity at which a shift takes too much accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_lite.cli.evaluate import run_evaluation
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.running import Running
from robustbench_lite.cli.sweeps import Sweep, levels_of


def seek(
    common: Common,
    running: Running,
    found: Sequence[Sweep],
    share: float,
    severities: str,
    tolerance: float | None,
) -> None:
    """Find the breaking point of every shift; the severities are those of the scan."""
    from robustbench_lite.breaking import Until, scalable

    until = Until(share, tuple(levels_of(severities)))
    until = (until if tolerance is None else until._replace(tolerance=tolerance)).checked()
    for sweep in found:
        scalable(sweep.text)
    named = [sweep.text for sweep in found if not sweep.optional]
    optional = {sweep.text for sweep in found if sweep.optional} - set(named)
    texts = [sweep.text for sweep in found]
    run_evaluation("shift", common, running, texts, optional=optional, until=until)
