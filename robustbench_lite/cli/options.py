"""The options that all commands share, written once."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from robustbench_lite import console

if TYPE_CHECKING:
    from robustbench_lite.config.schema import Config
    from robustbench_lite.inputs import Inputs

NETWORK, DATA, OUTPUT = "Network", "Data", "Run and output"

# Shared options that the file and variables are not asked for: there they say what is judged, on which images, and
# that is not what is learnt.
UNREAD_LEARNING = ("model", "weights", "mean", "std", "split", "limit", "first", "batch_size")
# The shape of the images and the network are those that the detector was fitted with.
UNREAD_DETECTING = ("model", "weights", "mean", "std", "input_size", "resize", "channels")

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="What is not given here. (default: rb.toml or pyproject.toml here)",
        rich_help_panel=OUTPUT,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="In place of a key of the file: data.limit=100.", rich_help_panel=OUTPUT
    ),
]


@dataclass(frozen=True)
class Common:
    """Shared options. Their names and defaults are those of inputs.Inputs, and the ones of output.

    ``settled`` is no option, but what the file, the variables and --set come to.
    """

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="net.safetensors, torchvision:resnet18, timm:NAME, file.py:factory, or demo.",
            rich_help_panel=NETWORK,
        ),
    ] = "demo"
    weights: Annotated[
        Path | None,
        typer.Option(help="State dict: .safetensors, .pt or .pth. Never runs code.", rich_help_panel=NETWORK),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            help="Normalisation of images in [0, 1]: 0.5 or 0.485,0.456,0.406 or imagenet (with its std).",
            rich_help_panel=NETWORK,
        ),
    ] = None
    std: Annotated[
        str | None, typer.Option(help="As --mean: 0.5 or one per channel.", rich_help_panel=NETWORK)
    ] = None
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            help="folder:PATH (a folder per class), npz:PATH, mnist, cifar10, digits, …; see rb ls data.",
            rich_help_panel=DATA,
        ),
    ] = "digits"
    data_root: Annotated[
        Path | None, typer.Option(help="Where mnist, cifar10, … are. (default: data)", rich_help_panel=DATA)
    ] = None
    download: Annotated[
        bool, typer.Option("--download", help="Fetch mnist, cifar10, … if missing.", rich_help_panel=DATA)
    ] = False
    split: Annotated[str, typer.Option(help="train, val, test or all.", rich_help_panel=DATA)] = "test"
    limit: Annotated[
        int | None, typer.Option(help="Draw this many images, seeded, by class.", rich_help_panel=DATA)
    ] = None
    first: Annotated[
        int | None, typer.Option(help="Take the first so many, in data order.", rich_help_panel=DATA)
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            help=r"Pictures of one part: a pattern in the file name ('part(\d+)'), level:N, or column:NAME.",
            rich_help_panel=DATA,
        ),
    ] = None
    input_size: Annotated[
        str | None, typer.Option(help="Scale and crop images: 96 or 96x128 (H x W).", rich_help_panel=DATA)
    ] = None
    resize: Annotated[
        int | None,
        typer.Option(help="Shorter side before the crop. (default: just covers it)", rich_help_panel=DATA),
    ] = None
    channels: Annotated[int | None, typer.Option(help="1 (grey), 3 (colour) or 4.", rich_help_panel=DATA)] = None
    max_damaged: Annotated[
        float, typer.Option(help="Share of unreadable images that is put up with.", rich_help_panel=DATA)
    ] = 0.01
    seed: Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=OUTPUT)] = 0
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images at a time. (default: 128, small ones up to 1024 on the CPU; training: 64)",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …", rich_help_panel=OUTPUT)] = "auto"
    out: Path | None = None
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT)] = (
        False
    )
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only.", rich_help_panel=OUTPUT)
    ] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more on stderr.", rich_help_panel=OUTPUT)
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Load and check, say what would be done.", rich_help_panel=OUTPUT),
    ] = False

    config: ConfigFile = None
    sets: Settings = None
    origins: dict[str, str] = field(default_factory=dict)
    settled: Any = None  # Settled: its module is imported when it is needed

    @property
    def configuration(self) -> Config:
        """All of the file, with what goes before it. Paths in model, data and run start at the current folder."""
        found: Config = self.settled.config
        return found

    def given(self, *names: str) -> bool:
        """Whether one of these options was given, itself or by --set."""
        return any(self.origins.get(name) in ("option", "--set") for name in names)

    def inputs(self) -> Inputs:
        """The part that says which network and which images."""
        from robustbench_lite.inputs import Inputs

        return Inputs(**{f.name: getattr(self, f.name) for f in fields(Inputs)})


Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="RUN", help="Of another network on a published set: the reference of mCE."),
]


def _out(default: str) -> Any:
    help_text = f"Where the result goes. (default: {default})"
    return Annotated[Path | None, typer.Option("--out", "-o", help=help_text, rich_help_panel=OUTPUT)]


@functools.cache
def _options(kind: type[Any]) -> list[inspect.Parameter]:
    """The fields of a dataclass as options."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(kind)
        if f.name not in ("origins", "settled")
    ]


def with_common(
    command: Callable[..., None], *, out: str = "runs/…", unread: Collection[str] = (), **defaults: Any
) -> Callable[..., None]:
    """Replace a command's parameter ``common`` by the shared options; some with another default. ``running``, if
    it has one, is replaced by the fields of its class.

    What is not given is looked for in --set, in the variables ``RB_…`` and in the file; in --set alone where the
    command has another default than the others, or the option is among ``unread``. ``out`` is what the help calls
    the default of --out.
    """
    signature = inspect.signature(command, eval_str=True)
    running = signature.parameters.get("running")
    of_runs = [] if running is None else _options(running.annotation)
    own = [*(p for p in signature.parameters.values() if p.name not in ("common", "running")), *of_runs]
    shared = [p.replace(default=defaults.get(p.name, p.default)) for p in _options(Common)]
    shared = [p.replace(annotation=_out(out)) if p.name == "out" else p for p in shared]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    settled = console.guarded(functools.partial(_settled, unread={*unread, *defaults}))

    @functools.wraps(command)
    def wrapped(context: typer.Context, **values: Any) -> None:
        found = {p.name: values.pop(p.name) for p in shared}
        from_line = {name for name in found if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
        if running is not None:
            values["running"] = running.annotation(**{p.name: values.pop(p.name) for p in of_runs})
        command(**values, common=settled(found, from_line))

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [context, *keyword_only, *shared]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def _settled(values: dict[str, Any], from_line: Collection[str], *, unread: Collection[str]) -> Common:
    """The shared options, with what goes for those that were not given."""
    from robustbench_lite.config.places import OPTIONS
    from robustbench_lite.config.settling import settle

    given = {name: values[name] for name in OPTIONS if name in from_line}
    asked = [name for name in unread if name in OPTIONS]
    settled = settle(values["config"], values["sets"] or (), os.environ, options=given, unread=asked)
    origins = {**dict.fromkeys(OPTIONS, "default"), **dict.fromkeys(given, "option")}
    for name, (value, origin) in settled.options().items():
        if name not in given:
            values[name], origins[name] = value, origin
    for line in settled.warnings:
        console.note(f"warning: {line}")
    for line in () if values["quiet"] else settled.notes:
        console.note(f"note: {line}")
    return Common(**values, origins=origins, settled=settled)
