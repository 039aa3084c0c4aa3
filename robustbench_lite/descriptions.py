"""What ``rb ls`` says of a name: its first line and its parameters, read from the source, unimported."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from robustbench_lite.registry import names


class Description(NamedTuple):
    """One line of ``rb ls``."""

    name: str
    summary: str
    parameters: Mapping[str, str]  # name -> default, as text; without a default: "required"
    scores_only: bool = False  # an attack that needs no gradient


def describe(kind: str) -> list[Description]:
    """Every registered name of a kind, with one line and its parameters, read from the source unimported."""
    return [_describe(name, where) for name, where in sorted(names(kind).items())]


@functools.cache
def _source(module: str) -> str:
    """The source of a module; empty if there is none."""
    try:
        found = importlib.util.find_spec(module)
        return Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
    except Exception:  # somebody else's package: whatever is wrong with it, the list goes on without it
        return ""


def _definition(module: str, member: str) -> ast.ClassDef | ast.FunctionDef | None:
    """The class or function of that name, from the source of its module."""
    source = _source(module)
    # From its first line to the next that is not indented: parsing whole modules took a third of rb ls.
    block = re.search(
        rf"^(class|def) {re.escape(member)}\b.*?(?=^[^\s)\]}}#]|\Z)", source, re.MULTILINE | re.DOTALL
    )
    for text in (block.group() if block else "", source):
        try:
            nodes = ast.parse(text).body
        except (SyntaxError, ValueError):
            continue
        for node in nodes:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == member:
                return node
    return None


@functools.cache  # a suite is checked against every rule, and asks for every one of its conditions
def _describe(name: str, where: str) -> Description:
    module, _, member = where.partition(":")
    node = _definition(module, member)
    if node is None:
        return Description(name, f"not importable: {where}", {})
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    free = any(re.fullmatch(r"needs_gradient\b.* = False", ast.unparse(n)) for n in node.body)
    if isinstance(node, ast.ClassDef):
        fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        parameters = {
            n.target.id: _default(n.value)  # type: ignore[union-attr]
            for n in fields
            if "ClassVar" not in ast.unparse(n.annotation) and "compare=False" not in ast.unparse(n)
        }
        if any(ast.unparse(base) in ("ScaledShift", "Warp") for base in node.bases):
            parameters = {"severity": "3", **parameters}  # the field that it inherits
    else:
        positional = node.args.args
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
        pairs = zip(positional, [*defaults, *node.args.defaults], strict=True)
        parameters = {a.arg: ast.unparse(d) if d else "required" for a, d in pairs}
    return Description(name, summary, parameters, free)


def _default(value: ast.expr | None) -> str:
    """The default of a field, as text; ``scaled`` and ``fixed`` of shifts/scale.py stand for theirs."""
    if value is None:
        return "required"
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("scaled", "fixed"):
        return "None" if ast.unparse(value.func) == "scaled" else ast.unparse(value.args[0])
    return ast.unparse(value)
