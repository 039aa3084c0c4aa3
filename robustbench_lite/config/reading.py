"""Finding and reading the file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robustbench_lite.config.schema import Config
from robustbench_lite.errors import InputError

FILE, PROJECT = "rb.toml", "pyproject.toml"


@dataclass(frozen=True)
class Loaded:
    """A configuration, and where it came from; ``path`` is None if there is no file."""

    config: Config
    path: Path | None
    given: dict[str, Any]  # what the file says, as it says it

    def resolve(self, path: str | Path) -> Path:
        """A path of the file, which is relative to the file's folder."""
        return Path(path) if self.path is None else self.path.parent / path


def find_config(folder: Path | None = None) -> Path | None:
    """The ``rb.toml`` of a folder (the current one), or its ``pyproject.toml`` if that has ``[tool.rb]``."""
    folder = folder or Path()
    if (folder / FILE).is_file():
        return folder / FILE
    project = folder / PROJECT
    return project if project.is_file() and "rb" in _parsed(project).get("tool", {}) else None


def load_config(path: Path | str | None = None) -> Loaded:
    """Read a file, or what ``find_config`` finds; without one everything has its default.

    Raises:
        InputError: no such file, no TOML (line and column), an unknown key, or a value that cannot be.
    """
    found = find_config() if path is None else Path(path)
    if found is None:
        return Loaded(Config(), None, {})
    document = _parsed(found)
    given = document.get("tool", {}).get("rb", {}) if found.name == PROJECT else document
    try:
        return Loaded(Config.model_validate(given), found, given)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(place) for place in fault["loc"])
        raise InputError(f"{found}: {where}: {fault['msg']}.", "See rb config schema.") from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.", "Give a file with --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}.", "Mend that place.") from None
