"""Keys as they are named outside the file, and paths of the file as seen from the current folder."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustbench_lite.config.faults import is_table, keys, nearest, printable, table_at, unknown
from robustbench_lite.config.schema import Config
from robustbench_lite.errors import InputError

Key = tuple[str, ...]

# The shared options of the command line, and the keys that they go before.
OPTIONS: dict[str, Key] = {
    "model": ("model", "spec"),
    **{name: ("model", name) for name in ("weights", "mean", "std")},
    "data": ("data", "spec"),
    "data_root": ("data", "root"),
    **{name: ("data", name) for name in ("download", "split", "limit", "first", "group")},
    **{name: ("data", name) for name in ("input_size", "resize", "channels", "max_damaged")},
    **{name: ("run", name) for name in ("seed", "batch_size", "device")},
}
_CHECKPOINTS = (".safetensors", ".pt", ".pth")
_OF_PATHS = ("folder", "images", "npz", "run")


def variables() -> dict[str, Key]:
    """Every variable that means something, and the key that it stands for."""
    tables = {name: table_at(Config, (name,)) for name in ("model", "data", "run")}
    found: dict[str, Key] = {
        f"RB_{name.upper()}_{key.upper()}": (name, key) for name, t in tables.items() if t for key in keys(t)
    }
    for name in ("model", "data"):
        del found[f"RB_{name.upper()}_SPEC"]
        found[f"RB_{name.upper()}"] = (name, "spec")
    return found


def parse_key(text: str) -> Key:
    """``data.split`` as a key that --set may set.

    Raises:
        InputError: there is none of that name, or it is no single value.
    """
    key = tuple(part.strip() for part in text.split("."))
    told = f"--set {printable(text)}"
    if key[0] in ("gate", "gates", "report"):
        raise InputError(f"{told}: what is judged and signed stands in the file only.", "Write it there.")
    above = table_at(Config, key[:-1])
    if above is None or key[-1] not in keys(above):
        near = nearest(text, [".".join(known) for known in variables().values()])
        raise InputError(f"{told}: " + (f"unknown key; did you mean {near!r}?" if near else unknown(Config, key)))
    if len(key) == 1:
        example = next((".".join(known) for known in variables().values() if known[0] == key[0]), f"{key[0]}.NAME")
        raise InputError(f"{told} is a table.", f"Name one of its keys, like {example}.")
    return key


def parse_value(key: Key, text: str) -> Any:
    """A value of --set or of a variable: what TOML makes of it, else the text as it is."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = document["value"]
    if set(document) != {"value"} or (_is_text(_annotation(key)) and not isinstance(value, str)):
        return text
    return value


def _annotation(key: Key) -> Any:
    table = table_at(Config, key[:-1])
    fields = {} if table is None else {field.alias or name: field for name, field in table.model_fields.items()}
    return fields[key[-1]].annotation


def _is_text(annotation: Any) -> bool:
    """Whether a text may stand there: ``str``, ``Path``, either or None, but no list of them."""
    if typing.get_origin(annotation) is tuple or is_table(annotation):
        return False
    inner = typing.get_args(annotation)
    return annotation in (str, Path) or any(_is_text(one) for one in inner)


def anchored(values: Mapping[Key, Any], folder: Path) -> dict[Key, Any]:
    """The values of a file with their paths, which start at the file's folder, from the current one."""
    how = {
        ("model", "spec"): _model,
        ("data", "spec"): _data,
        ("model", "weights"): _joined,
        ("data", "root"): _joined,
        ("run", "detector"): _joined,
    }
    return {key: how[key](value, folder) if key in how else value for key, value in values.items()}


def _joined(path: str, folder: Path) -> str:
    if folder == Path() or not path:
        return path
    return str(folder / Path(path).expanduser())


def _model(spec: str, folder: Path) -> str:
    """``net.safetensors`` and ``nets.py:factory(width=3)`` are paths; ``cnn`` and ``timm:NAME`` are not."""
    file, colon, rest = spec.partition(".py:")
    if colon:
        return f"{_joined(f'{file}.py', folder)}:{rest}"
    return _joined(spec, folder) if Path(spec).suffix.lower() in _CHECKPOINTS else spec


def _data(spec: str, folder: Path) -> str:
    """``folder:PATH``, ``npz:PATH``, ``run:PATH#CONDITION``, and ``file.py:loader``."""
    file, colon, rest = spec.partition(".py:")
    kind, named, path = spec.partition(":")
    if named and kind.strip().lower() in _OF_PATHS:
        return f"{kind}:{_joined(path, folder)}"
    return f"{_joined(f'{file}.py', folder)}:{rest}" if colon else spec
