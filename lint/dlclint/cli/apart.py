"""Run a command in a separate process, because native code may end that process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain

Result = TypeVar("Result")


class _Screen(NamedTuple):
    """What the command must know about the streams that receive its texts."""

    is_terminal: bool
    shows_errors: bool
    columns: int
    lines: int


class Rest(NamedTuple):
    """What a command leaves to the process that waits for it: a dlclint function and its arguments.

    That process loads what the function needs while the command runs.
    """

    function: str
    """As `module:function`; it returns the exit status."""
    arguments: tuple[Any, ...]


class _Printed(NamedTuple):
    """What a command printed, its exit status or rest, and the error that ended it, with its traceback."""

    status: int | Rest
    output: str
    errors: str
    error: Exception | None


class _Held(io.StringIO):
    """A stream that keeps what is printed, and reports whether the real stream is a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def apart(
    function: Callable[..., Result], *arguments: Any, meanwhile: Callable[[], None] | None = None
) -> Result:
    """What a function returns when it runs in a separate process; see `dlclint.contained.process.in_worker`.

    Raises:
        UsageError: the process dies whichever step is left out.
        Exception: what the function raises.
    """
    # Imported here because it takes longer to import than it takes to show help.
    from dlclint.contained.deaths import Died
    from dlclint.contained.process import in_worker

    try:
        return in_worker(function, *arguments, meanwhile=meanwhile)
    except Died as died:
        said = f"the process {died}, and the step that caused it cannot be skipped"
        raise UsageError(f"{said}{_limit()}") from None


def _limit() -> str:
    """What to do where memory is limited, because numpy and onnx do not always report that when they load."""
    if sys.platform == "win32":
        return ""
    # Imported here because Windows does not have it.
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return ""
    advice = "raise the limit (ulimit -v), or set OPENBLAS_NUM_THREADS=1"
    return f"; memory is limited to {limit >> 20} MiB: {advice}"


def run_apart(run: str, *arguments: Any, meanwhile: Callable[[], None] | None = None) -> int:
    """Run a dlclint function, named as `module:function`, that prints and returns an exit status or a rest.

    `meanwhile` loads what the rest needs into this process. What the function prints appears here when the
    function is done, so that a run that native code ends prints nothing partial. The function then runs again
    without the native call that ended it.

    Raises:
        UsageError: as `apart`.
        Exception: what the function raises.
    """
    screen = _Screen(sys.stdout.isatty(), sys.stderr.isatty(), *_size())
    printed = apart(_print, run, arguments, screen, meanwhile=meanwhile)
    for stream, text in ((sys.stdout, printed.output), (sys.stderr, printed.errors)):
        if text:
            stream.write(text)
    if printed.error is not None:
        raise printed.error
    return finish_command(printed.status)


def finish_command(status: int | Rest) -> int:
    """The exit status of a command, after its rest has run."""
    if isinstance(status, int):
        return status
    return int(function_of(status.function)(*status.arguments))


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal, if there is one."""
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0, 0


def function_of(run: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, function = run.partition(":")
    named: Callable[..., Any] = getattr(import_module(module), function)
    return named


def _print(run: str, arguments: tuple[Any, ...], screen: _Screen) -> _Printed:
    # Imported here because a worker has loaded it already.
    from dlclint.contained.worker import alone, terminal

    if screen.columns:
        os.environ.update(COLUMNS=str(screen.columns), LINES=str(screen.lines))
    output, errors = _Held(screen.is_terminal), _Held(False)
    sys.stdout = output
    # On a terminal, progress is shown at once.
    sys.stderr = terminal() if screen.shows_errors else errors
    status: int | Rest = 0
    problem: Exception | None = None
    hint = _limit()
    try:
        if hint:
            # Imported here because a failure at this point means a lack of memory.
            import onnx  # noqa: F401
        status = function_of(run)(*arguments)
    except (MemoryError, ImportError) as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        said = plain(str(root) or "memory ran out", 200)
        problem = alone(UsageError(f"{said}{hint}") if hint else error)
    except Exception as error:
        problem = alone(error)
    return _Printed(status, output.getvalue(), errors.getvalue(), problem)
