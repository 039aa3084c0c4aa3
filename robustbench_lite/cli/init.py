"""The command ``rb init``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from robustbench_lite import console
from robustbench_lite.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from robustbench_lite.config.folder import Images, Network
    from robustbench_lite.config.writing import Proposal

_FILE = Path("rb.toml")
_GITHUB, _GITLAB = Path(".github/workflows/robustness.yml"), Path(".gitlab-ci.yml")
_INCLUDED = Path("robustness.gitlab-ci.yml")
_TRIES = 3  # wrong answers to one question
_T = TypeVar("_T")
_HOSTS = ("github", "gitlab")


@console.guarded
def init(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what was found.")] = False,
    ci: Annotated[
        str | None, typer.Option("--ci", metavar="|".join(_HOSTS), help="Write a workflow for it, too.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Write rb.toml for this folder: its newest checkpoint, its images, a suite, and gates to begin with.

    With --ci also a workflow that evaluates, gates and reports; an rb.toml that is there is kept then.

    Examples:

      rb init

      rb init --yes --ci github
    """
    from robustbench_lite.config.folder import find_images, find_network
    from robustbench_lite.config.reading import find_config, load_config
    from robustbench_lite.config.writing import config_file, workflow
    from robustbench_lite.files import write_file

    if ci is not None and ci not in _HOSTS:
        raise UnknownNameError("--ci", ci, _HOSTS)
    there = find_config()
    keeps = there is not None and not (overwrite and there == _FILE)
    if there is not None and keeps and ci is None:
        remedy = (
            "Give --overwrite." if there == _FILE else "Take [tool.rb] out of it first: rb.toml would hide it."
        )
        raise InputError(f"{there} has a configuration already.", remedy)
    written: dict[Path, str] = {}
    proposal: Proposal | None = None
    suite: str | None = None  # what the workflow has to name, since the file names none
    if there is not None and keeps:
        suite = None if load_config(there).config.run.suite else "inspection"
    else:
        network, images = find_network(Path()), find_images(Path())
        _tell(network, images)
        proposal = _proposal(network, images, asks=not yes)
        written[_FILE] = config_file(proposal)
    if ci is not None:
        place = _place(ci, overwrite=overwrite)
        written[place] = workflow(ci, suite, str(there if there is not None and keeps else _FILE))
    for path, text in written.items():
        write_file(path, text.encode(), option="")
        sys.stdout.write(f"{path}\n")
    _say_next(proposal, written)


def _place(ci: str, *, overwrite: bool) -> Path:
    """Where the workflow goes. A pipeline of GitLab that has more than our job is never replaced."""
    from robustbench_lite.config.writing import is_our_pipeline

    own = _GITLAB.exists() and not is_our_pipeline(_GITLAB)
    place = _GITHUB if ci == "github" else _INCLUDED if own else _GITLAB
    if place.exists() and not overwrite:
        raise InputError(f"{place} exists already.", "Give --overwrite.")
    return place


def _tell(network: Network | None, images: Images | None) -> None:
    if network is None:
        console.note("note: no checkpoint (*.safetensors) was found here")
    elif network.classes is None:
        console.note(f"note: {network.path} does not say what network its weights are of: it is left out")
    else:
        console.note(f"note: found {network.path}, a classifier of {network.classes} classes")
    if images is None:
        console.note("note: no folder with a folder of images per class was found here")
    else:
        splits = f", divided into {', '.join(images.splits)}" if images.splits else ""
        console.note(f"note: found {images.path}/, {images.images} images of {images.classes} classes{splits}")
    if network and images and network.classes not in (None, images.classes):
        console.note(f"warning: the network knows {network.classes} classes, the images have {images.classes}")


def _proposal(network: Network | None, images: Images | None, *, asks: bool) -> Proposal:
    from robustbench_lite.config.writing import Proposal
    from robustbench_lite.suites import find_suite

    known = network is not None and network.classes is not None
    model = network.path if network is not None and known else "net.safetensors" if images else "demo"
    data = f"folder:{images.path}" if images else "folder:PATH" if known else "digits"
    suite, floor, night = "inspection", 0.9, 0.5
    if not asks:
        return Proposal(model, data, suite, floor, night)
    if not _can_ask():
        raise InputError("there is no terminal to ask on.", "Give --yes, and change what it writes.")
    model = _asked(
        "Network (checkpoint, torchvision:NAME, file.py:factory)", model, partial(_there, proposed=model)
    )
    data = _asked("Images (folder:PATH, npz:PATH, mnist, …)", data, partial(_there, proposed=data))
    suite = _asked("Suite (rb ls suites)", suite, lambda answer: find_suite(answer).name)
    floor = _asked("Lowest accuracy on clean images, a share", floor, _share)
    night = _asked("Lowest accuracy in a bad case (night, or under attack)", night, _share)
    return Proposal(model, data, suite, floor, night, _asked("Title of the report", "", str))


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _asked(question: str, default: _T, read: Callable[[str], _T]) -> _T:
    """The answer, as ``read`` returns it; what it refuses is said, and asked again.

    Raises:
        InputError: the answer was refused three times, or there is none any more.
    """
    for left in reversed(range(_TRIES)):
        try:
            answer: str = typer.prompt(question, default=default, type=str, err=True)
        except typer.Abort:
            raise InputError("there is no answer.", "Give --yes, and change what it writes.") from None
        try:
            return read(answer)
        except InputError as error:
            if not left:
                raise
            console.note(str(error))
    raise AssertionError("unreachable")


def _there(spec: str, proposed: str) -> str:
    """A network or images as they were named, if what is named as a file or a folder is there.

    What was ``proposed`` passes: it may be the name of what is still to be made.
    """
    kind, _, place = spec.partition(":")
    if spec == proposed:
        return spec
    if kind.lower() in ("folder", "images") and not Path(place).expanduser().is_dir():
        raise InputError(f"no such folder: {place}.", "Check the path.")
    file = place if kind.lower() == "npz" else f"{spec.partition('.py:')[0]}.py" if ".py:" in spec else spec
    is_file = kind.lower() == "npz" or Path(file).suffix in (".safetensors", ".pt", ".pth", ".py")
    if is_file and not Path(file).expanduser().is_file():
        raise InputError(f"no such file: {file}.", "Check the path.")
    return spec


def _share(answer: str) -> float:
    try:
        found = float(answer)
    except ValueError:
        found = math.nan
    if not 0 < found < 1:
        raise InputError(f"{answer} is no share.", "Give a number between 0 and 1.")
    return found


def _say_next(proposal: Proposal | None, written: dict[Path, str]) -> None:
    if _INCLUDED in written:
        console.note(f"{_GITLAB} is yours, and was left as it is. Write in it:\ninclude:\n  - local: {_INCLUDED}")
    if proposal is not None and proposal.demo:
        console.note(
            "The demo network stands in until you name one of yours in rb.toml (model.spec) with its images "
            "(data.spec). rb gate lets no demo pass: to try it, rb gate RUN --allow-demo."
        )
    if proposal is not None and proposal.model == "net.safetensors" and not Path(proposal.model).exists():
        console.note(f"Next: rb train --out {proposal.model}, with the images of {_FILE}.")
    if any(path != _FILE for path in written):
        console.note(
            "Next: set the install line of the workflow (pip install …): where the package comes from is a guess."
        )
    console.note("Next: rb config check, then rb eval, rb gate RUN and rb report RUN.")
