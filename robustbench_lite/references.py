"""Things named by where they are: ``path/to/file.py:Class`` or ``package.module:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import stable_hash

FILE_MODULE = "_rb_file_"
"""How the names of modules begin that were loaded from a file.py."""


def is_reference(name: str) -> bool:
    """Whether a name says where something is: ``file.py:Class`` or ``package.module:Class``."""
    return bool(re.fullmatch(r".+\.py:\w+|[A-Za-z_][\w.]*:[A-Za-z_]\w*", name))


def load_reference(reference: str) -> Any:
    """The member of a module or file named by ``package.module:member`` or ``path/to/file.py:member``."""
    where, _, member = reference.rpartition(":")
    module = _load_file(where) if where.endswith(".py") else _load_module(where)
    if not hasattr(module, member):
        theirs = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__]
        raise UnknownNameError(f"member of {where}", member, theirs)
    return getattr(module, member)


def _load_module(where: str) -> Any:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(f"{error.name}.")):
            raise InputError(f"no module named {where!r}.", "Install it, or give a path/to/file.py.") from None
        raise InputError(f"{where} needs the package {error.name!r}.", "Install it.") from error
    except Exception as error:
        if where.startswith("robustbench_lite."):
            raise
        raise InputError(f"{where} fails on import: {type(error).__name__}: {error}", "Mend it.") from error


def _load_file(where: str) -> Any:
    path = Path(where).expanduser()
    if not path.is_file():
        raise InputError(f"no such file: {where}", "Check the path.")
    # A name of its own in sys.modules: dataclasses and pickling look their module up there.
    name = f"{FILE_MODULE}{path.stem}_{stable_hash(path.resolve()):016x}"
    if name in sys.modules:
        return sys.modules[name]
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise InputError(f"{where} is not a Python file.", "Check the path.")
    module = importlib.util.module_from_spec(module_spec)
    module.__rb_path__ = where  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, (Exception, SystemExit)):  # a script that ends itself fails as well
            raise
        raise InputError(f"{where} fails on import: {type(error).__name__}: {error}", "Mend the file.") from error
    return module
