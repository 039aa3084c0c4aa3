"""The command ``rb attack``."""

from __future__ import annotations

from typing import Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Common, with_common
from robustbench_lite.cli.running import Attacking


@with_common
@console.guarded
def attack(
    common: Common,
    running: Attacking,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-a", help="A name (rb ls attacks) or a spec; may be repeated. (default: pgd)"),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Budget: 0.03 or 8/255. (default: suits the data)")] = None,
    norm: Annotated[str | None, typer.Option(help="linf, l2 or l1.")] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps.")] = None,
    step_size: Annotated[str | None, typer.Option(help="Length of a step: 0.01 or 2/255.")] = None,
    restarts: Annotated[int | None, typer.Option(help="Tries, each from a random start.")] = None,
    loss: Annotated[str | None, typer.Option(help="ce, margin or dlr.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="To reach: a class index, least-likely, or (0.5, 0.5, 0), a share each."),
    ] = None,
) -> None:
    """Accuracy under adversarial attack, beside the clean accuracy.

    Examples:

      rb attack --method pgd

      rb attack --method pgd --eps 4/255 --steps 20 --model net.safetensors --data folder:parts

      rb attack --method cw --first 100 --json
    """
    from robustbench_lite.cli.evaluate import run_evaluation, with_arguments
    from robustbench_lite.specs import format_value, parse_value

    flags = {
        "eps": eps,
        "norm": norm,
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "loss": loss,
        "target": target,
    }
    given = {k: parse_value(v) if isinstance(v, str) else v for k, v in flags.items() if v is not None}
    extra = ", ".join(f"{key}={format_value(value)}" for key, value in given.items())
    specs = [with_arguments("attack", name, extra) for name in method or ["pgd"]]
    run_evaluation("attack", common, running, specs)
