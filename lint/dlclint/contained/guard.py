"""The worker's side: each native call is recorded before it runs, and has a limit of time and memory.

Outside a worker (in tests, or where dlclint is used as a library) calls run without limits.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

JOURNAL = 4096
"""Bytes of the memory that a worker shares with its parent."""
_HEADER = struct.Struct("<QdQI")
"""The number of recorded steps, the limits of the current one (seconds, bytes) and its text's length.
"""
_LONGEST = 300
"""Characters of a name that are kept; a longer one is identified by its checksum."""
SECONDS = 1.5
"""Processor time that a call on a whole model may take, beyond what its size allows."""
SECONDS_ON_NODE = 0.5
"""The same for a call on a single node."""
SECONDS_PER_BYTE = 2e-5
"""The additional time for each byte of structure: twenty times what onnx takes for a plain chain of nodes."""
MEMORY = 512 << 20
"""Bytes that a call may allocate, beyond what its size allows."""
MEMORY_PER_BYTE = 50
"""The additional bytes for each byte of structure, which onnx copies several times."""
CLOCK = 4
"""Limits are of processor time; where wall-clock time is measured, it may be so many times as long."""
ANY = "*"


class NativeStep(NamedTuple):
    """What runs: a kind of native call, the op it is about, and where. "" where it is about a whole model."""

    kind: str
    op: str = ""
    spot: str = ""


class Ended(Exception):
    """A call that ended its worker, or would; the argument states how, such as "dies (SIGSEGV)".

    `tried` is False where the call itself was not made, because too many calls like it ended.
    """

    def __init__(self, how: str, tried: bool = True) -> None:
        super().__init__(how)
        self.how = how
        self.tried = tried


class Guard:
    """The state of a worker: where to record steps, and which ended a worker before."""

    def __init__(self, journal: Any, ended: Mapping[NativeStep, str]) -> None:
        self._journal = journal
        self._ended = dict(ended)
        self._noted = 0
        self._current = (b"", 0.0, 0)
        self._limits = _limits()

    @contextmanager
    def step(
        self, step: NativeStep, seconds: float = 0.0, memory: int = 0, clock: bool = False
    ) -> Iterator[None]:
        """Record what runs in the block. Steps may be nested, and the time of an inner step counts for both.

        Args:
            step: what runs.
            seconds: the time limit, 0 for none.
            memory: the limit in bytes, 0 for none.
            clock: whether waiting counts too.

        Raises:
            Ended: the step ended a worker before, or exceeds its limit of memory.
        """
        if self._ended:
            self._refuse(step)
        before = self._current
        self._note(_encoded(step), seconds, memory)
        try:
            if not seconds:
                yield
                return
            with self._limits.limited(
                seconds, memory, often=bool(step.op), clock=seconds * CLOCK if clock else 0.0
            ):
                yield
        except MemoryError:
            if not memory:
                raise
            how = self._ended[step] = takes_more(seconds, memory)
            raise Ended(how) from None
        finally:
            self._note(*before)

    def _refuse(self, step: NativeStep) -> None:
        for known in (step, NativeStep(step.kind, step.op, ANY), NativeStep(step.kind, ANY, ANY)):
            if known in self._ended:
                raise Ended(self._ended[known], known == step)

    def _note(self, text: bytes, seconds: float, memory: int) -> None:
        self._noted += 1
        self._current = (text, seconds, memory)
        _HEADER.pack_into(self._journal, 0, self._noted, seconds, memory, len(text))
        self._journal[_HEADER.size : _HEADER.size + len(text)] = text


class Noted(NamedTuple):
    """The contents of a journal: the number of recorded steps, the current one, if any, and its limits."""

    number: int
    step: NativeStep | None
    seconds: float
    memory: int


def noted(journal: Any) -> Noted:
    """Read what a worker recorded last."""
    number, seconds, memory, length = _HEADER.unpack_from(journal, 0)
    text = bytes(journal[_HEADER.size : _HEADER.size + length])
    step = NativeStep(*text.decode("utf-8", "replace").split("\0")) if text else None
    return Noted(number, step, seconds, memory)


def _encoded(step: NativeStep) -> bytes:
    return "\0".join(step).encode("utf-8", "replace")


def spot(*parts: object) -> str:
    """A place by its parts, such as a graph's path and a tensor's name, short enough for a journal."""
    text = "/".join(str(part) for part in parts).replace("\0", " ")
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > _LONGEST:
        return f"{encoded[:_LONGEST].decode('utf-8', 'ignore')}#{zlib.crc32(encoded):08x}"
    return encoded.decode("utf-8")


def takes_more(seconds: float, memory: int) -> str:
    """How a call ended that exceeded its limit of time or memory.

    Which of the two limits it reaches first may depend on the machine, and the message must not.
    """
    limits = [f"{seconds:.3g} s"] * bool(seconds) + [f"{memory >> 20} MiB of memory"] * bool(memory)
    return f"takes more than {' or '.join(limits)}"


class _NoLimits:
    """For systems without these limits; there the parent enforces them."""

    @contextmanager
    def limited(self, seconds: float, memory: int, often: bool = False, clock: float = 0.0) -> Iterator[None]:
        yield


def _limits() -> Any:
    if sys.platform == "win32":
        return _NoLimits()
    # Imported here because Windows does not have the modules that it imports.
    from dlclint.contained.limits import Limits

    return Limits()


_guard: Guard | None = None


def put_guard(guard: Guard | None) -> None:
    """Set the guard of this process; None for none."""
    global _guard
    _guard = guard


def is_guarded() -> bool:
    """Whether this process is a worker, which may die."""
    return _guard is not None


@contextmanager
def step(
    kind: str, op: str = "", where: str = "", seconds: float = 0.0, clock: bool = False
) -> Iterator[None]:
    """Record that dlclint's or a plugin's Python code runs, so that a worker's death is attributed to it.

    `seconds` and `clock` are those of `Guard.step`.

    Raises:
        Ended: the step ended a worker before.
    """
    if _guard is None:
        yield
        return
    with _guard.step(NativeStep(kind, spot(op), where), seconds, clock=clock):
        yield


def call(
    kind: str,
    function: Callable[..., Result],
    *arguments: Any,
    op: str = "",
    where: str = "",
    size: int = 0,
    limits: tuple[float, int] | None = None,
    **options: Any,
) -> Result:
    """Call native code.

    Args:
        kind: the native code in words, such as "shape inference".
        function: called with `arguments` and `options`.
        op: the op that it is about, "" for a whole model.
        where: the node (see `spot`), "" for a whole model.
        size: bytes of its input, with which its limits grow.
        limits: seconds and bytes of memory (0 for no limit), where the limits for onnx do not apply.

    Raises:
        Ended: the call ended a worker before, or exceeds its limit of memory.
    """
    if _guard is None:
        return function(*arguments, **options)
    seconds = (SECONDS_ON_NODE if op else SECONDS) + size * SECONDS_PER_BYTE
    seconds, memory = limits or (seconds, MEMORY + size * MEMORY_PER_BYTE)
    with _guard.step(NativeStep(kind, spot(op), where), seconds, memory):
        return function(*arguments, **options)
