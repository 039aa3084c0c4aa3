"""Finding and reading the file."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robustbench_lite.config.faults import ConfigError, faults, printable
from robustbench_lite.config.schema import Config
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.gates.rule import Rule

FILE, PROJECT = "rb.toml", "pyproject.toml"


@dataclass(frozen=True)
class Loaded:
    """A configuration, and where it came from; ``path`` is None if there is no file."""

    config: Config
    path: Path | None
    given: dict[str, Any]  # what the file says, as it says it
    notes: tuple[str, ...] = ()

    def resolve(self, path: str | Path) -> Path:
        """A path of the file, which is relative to the file's folder."""
        return Path(path) if self.path is None else self.path.parent / Path(path).expanduser()

    def rule(self, name: str) -> Rule:
        """The rule of that id.

        Raises:
            InputError: the configuration has no rules at all.
            UnknownNameError: it has others.
        """
        rules = {rule.id: rule for rule in self.config.gate}
        if not rules:
            place = "there is no configuration" if self.path is None else f"{self.path} has no rules"
            raise InputError(f"unknown rule {name!r}: {place}.", f"Write [[gate]] into {self.path or FILE}.")
        if name not in rules:
            raise UnknownNameError("rule", name, rules)
        return rules[name]


def find_config(folder: Path | None = None) -> Path | None:
    """The ``rb.toml`` of a folder (the current one), or its ``pyproject.toml`` if that has ``[tool.rb]``.

    Folders above are not looked at: what holds is what stands beside you, or what --config names.
    """
    folder = folder or Path()
    if (folder / FILE).is_file():
        return folder / FILE
    return folder / PROJECT if _has_section(folder / PROJECT) else None


def load_config(path: Path | str | None = None) -> Loaded:
    """Read a file, or the ``rb.toml`` or ``pyproject.toml`` of the current folder; no file: every default.

    Raises:
        ConfigError: unknown keys, or values that cannot be; all of them are in its ``faults``.
        InputError: no such file, or no TOML (with line and column).
    """
    found = find_config() if path is None else Path(path)
    if found is None:
        return Loaded(Config(), None, {})
    document, notes = _parsed(found), list[str]()
    if found.name == PROJECT:
        tool = document.get("tool")
        if not isinstance(tool, dict) or "rb" not in tool:
            raise InputError(f"{found} has no [tool.rb].", "Write that section, or give another --config.")
        document = tool["rb"]
    elif path is None and _has_section(found.parent / PROJECT):
        notes.append(f"{found} holds, and not [tool.rb] in {found.parent / PROJECT}")
    if not isinstance(document, dict):
        raise ConfigError(str(found), ["tool.rb: must be a table"])
    try:
        return Loaded(validated(document), found, document, tuple(notes))
    except ValidationError as error:
        told = [f"{place}: {words}" if place else words for place, words in faults(error, Config, document)]
        raise ConfigError(str(found), told) from None


def validated(document: dict[str, Any]) -> Config:
    """A configuration of what TOML says. A text is no number here, and a number no truth value.

    Raises:
        ValidationError: of pydantic.
    """
    # JSON has lists and texts where Python has tuples and paths; strict validation of Python objects wants those.
    return Config.model_validate_json(json.dumps(document, default=str), strict=True)


def _has_section(project: Path) -> bool:
    """Whether there is such a file with ``[tool.rb]``. One that is broken elsewhere is not our concern."""
    try:
        text = project.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    if "rb" not in text:
        return False
    try:
        tool = tomllib.loads(text).get("tool")
    except (ValueError, RecursionError):
        return re.search(r"^\s*\[+tool\.rb\b", text, re.MULTILINE) is not None
    return isinstance(tool, dict) and "rb" in tool


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.", "Check the path.") from None
    try:
        text = content.decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise InputError(f"{path}:{line}:{column}: not UTF-8.", "Save the file as UTF-8.") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply.", "Write it flat.") from None
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        words = str(error)[: place.start()] if place else str(error)
        last = f"{text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10))}"
        where = f"{place[1]}:{place[2]}" if place and place[1] else last
        raise InputError(f"{path}:{where}: {printable(words)}.", "Mend that place (line:column).") from None
