"""What commands print: results on stdout, everything else on stderr; errors as one line with an exit code."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from robustbench_lite.errors import ExitCode, RbError

if TYPE_CHECKING:
    from rich.console import Console, RenderHook

_T = TypeVar("_T")


def stdout() -> Console:
    """For results. Wide when it is no terminal, so that a log keeps its columns."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, emoji=False)
    console.push_render_hook(_safe_hook())
    return console


def _safe_hook() -> RenderHook:
    """Whatever is printed: names in it send a terminal no escape sequences, and the log of a CI job no command."""
    from rich.console import ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    from robustbench_lite.reports.safe import terminal

    class Safe:
        def __init__(self, inner: ConsoleRenderable) -> None:
            self.inner = inner

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for text, style, control in console.render(self.inner, options):
                safe = text if control else "\n".join(map(terminal, text.split("\n")))
                yield Segment(safe, style, control)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Safe(renderable) for renderable in renderables]

    return Hook()


def stderr() -> Console:
    """For progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json_text(document))


def json_text(document: Any) -> str:
    """JSON that can be looked at in a terminal: control characters (a terminal obeys U+009B, too), marks that turn
    the direction of writing, and halves of characters stand in it as escapes. NaN is no JSON, and refused.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return re.sub("[\x7f-\U0010ffff]", _shown, text) + "\n"


def _shown(found: re.Match[str]) -> str:
    c = found[0]
    if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return c
    return "\\u007f" if c == "\x7f" else json.dumps(c)[1:-1]


def note(text: str) -> None:
    """A line on stderr: brackets in it are no markup, and names in it are only text."""
    from robustbench_lite.reports.safe import terminal

    stderr().print("\n".join(map(terminal, text.split("\n"))), markup=False)


def set_verbosity(*, verbose: bool, quiet: bool) -> None:
    """Let our own log through to stderr: from warnings on, with -v from infos on, with -q errors only."""
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("robustbench_lite").setLevel(level)


@contextmanager
def busy(text: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner on a terminal while something takes seconds."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with stderr().status(text):
        yield


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr, moved by ``update(done, total, text)``; none where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, text: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


def guarded(command: Callable[..., _T]) -> Callable[..., _T]:
    """Turn every error of a command into one message and its exit code. RB_DEBUG=1 shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> _T:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:  # rb ls | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.DONE) from None
        except typer.Exit:
            raise
        except Exception as error:
            if os.environ.get("RB_DEBUG"):
                raise
            raise typer.Exit(_report(error)) from None

    return wrapped


def _report(error: Exception) -> ExitCode:
    if isinstance(error, RbError):
        text, code = str(error), error.exit_code
    elif isinstance(error, OSError) and error.strerror:
        text, code = f"{error.strerror}: {error.filename}", ExitCode.FAULT
    else:
        text, code = _told(error)
    note("error: " + " ".join(" ".join([text, *getattr(error, "__notes__", [])]).splitlines()))
    return code


def _told(error: Exception) -> tuple[str, ExitCode]:
    """An exception that nobody expected, blamed on the user's own file if it passed through one."""
    from robustbench_lite.references import FILE_MODULE

    own = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith(FILE_MODULE)
    ]
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not own and missing not in ("", "robustbench_lite"):
        text = f"{missing} is not installed, and this command needs it. Install it: pip install {missing}"
        return text, ExitCode.REFUSED
    if not own:
        return f"{type(error).__name__}: {error} This is a fault of ours; RB_DEBUG=1 shows where.", ExitCode.FAULT
    file = own[-1].f_globals["__rb_path__"]
    text = f"{file} failed in {own[-1].f_code.co_name}: {type(error).__name__}: {error}"
    return f"{text} Mend the file; RB_DEBUG=1 shows where.", ExitCode.REFUSED
