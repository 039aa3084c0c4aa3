"""What ``rb train`` was asked for, and who does it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from robustbench_lite import console
from robustbench_lite.cli import train_compare, train_protocol
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_classifier import train_classifier
from robustbench_lite.cli.train_generator import generator_of, run_generator_training
from robustbench_lite.cli.train_inputs import architecture_of
from robustbench_lite.cli.train_stopping import check_place, stopped
from robustbench_lite.errors import InputError
from robustbench_lite.locking import claimed
from robustbench_lite.training.allocating import keep_freed_memory

_FILE = Path("net.safetensors")  # without --out


class Asked(NamedTuple):
    """The options of ``rb train`` alone, as they were written."""

    learning: dict[str, Any]  # of TrainingOptions
    adversarial: str | None
    attack: dict[str, Any]  # arguments of --adversarial that have options of their own
    warmup: float | None
    shift: str | None
    mix: str | None
    tune: str
    compare: str | None
    on: tuple[str, ...]  # of --compare
    protocol: str | None
    order: str
    find_lr: bool
    resume: bool
    overwrite: bool


def run_training(common: Common, asked: Asked) -> None:
    """Train on the train split, choose on the val split, write the file; no other process does so meanwhile."""
    keep_freed_memory()
    _check_mode(common, asked)
    usual = _FILE
    if asked.compare is not None or asked.protocol is not None:
        usual = train_protocol.FOLDER if asked.compare is None else train_compare.FOLDER
    with nullcontext() if common.dry_run else claimed(common.out or usual):
        _run(common, asked)


def _run(common: Common, asked: Asked) -> None:
    if asked.compare is not None:
        train_compare.run_comparison(common, asked)
        return
    if asked.protocol is not None:
        train_protocol.run_protocol(common, asked)
        return
    if common.split not in ("auto", "test"):
        raise InputError(
            f"--split {common.split} means nothing to training.",
            "It learns from train, chooses on val, and reports on test.",
        )
    out = common.out or _FILE
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out} must end in .safetensors.", f"For example --out {out.stem}.safetensors.")
    if out.is_dir():
        raise InputError(f"{out} is a folder.", "Choose another --out.")
    state = check_place(out, resume=asked.resume, overwrite=asked.overwrite or asked.find_lr)
    architecture = architecture_of(common, attacked=asked.adversarial is not None)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.training.options import TrainingOptions

        options = TrainingOptions(**asked.learning)
        maker = _maker(architecture)
    try:
        if maker is not None:
            _check_for_generator(common, asked, maker)
            run_generator_training(common, maker, options, out, state, resume=asked.resume)
        else:
            train_classifier(common, architecture, options, asked, out, state)
    except KeyboardInterrupt:
        stopped(state)
        raise


def _check_mode(common: Common, asked: Asked) -> None:
    """Refuse what --compare, --protocol and --find-lr cannot be together with.

    Raises:
        InputError: two of them, or one with what means nothing to it.
    """
    modes = {"--compare": asked.compare, "--protocol": asked.protocol, "--find-lr": asked.find_lr or None}
    given = [flag for flag, value in modes.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} are two things.", "Give one of them.")
    if asked.find_lr and asked.resume:
        raise InputError("--find-lr keeps no state that --resume could go on from.", "Leave --resume out.")
    if asked.on and asked.compare is None:
        raise InputError(f"--on {asked.on[0]} is about --compare.", "Judge a network by rb eval --on.")
    if asked.order != "name" and asked.protocol is None:
        raise InputError(f"--order {asked.order} is about --protocol time.", "Give that, or leave it out.")
    if given and _maker(common.model) is not None:
        raise InputError(f"{given[0]} means nothing to a model of images.", "Leave it out, or give --model cnn.")


def _maker(model: str) -> Any | None:
    """The model of images that --model describes; None: a classifier, or weights of one."""
    from robustbench_lite.training.starting import is_weights

    return None if is_weights(model) else generator_of(model)


def _check_for_generator(common: Common, asked: Asked, maker: Any) -> None:
    """Refuse what only a classifier has, or only a network."""
    from robustbench_lite.training.options import OF_CLASSIFIERS

    if asked.resume and not hasattr(maker, "network"):
        raise InputError(f"--resume means nothing to {common.model}: it is fitted at once.", "Leave it out.")
    given = [flag for flag in ("weights", "mean", "std") if getattr(common, flag) is not None]
    given += [flag for flag in ("adversarial", "shift", "mix", "warmup") if getattr(asked, flag) is not None]
    given += [flag.replace("_", "-") for flag in asked.attack]
    given += ["tune"] * (asked.tune != "all")
    given += [name.replace("_", "-") for name in OF_CLASSIFIERS if asked.learning[name]]
    for flag in given:
        raise InputError(f"--{flag} means nothing to a model of images.", "Leave it out.")
