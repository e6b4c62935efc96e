"""Native code that a model's contents end, and how work continues without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dlclint.contained.guard import Ended, call
from dlclint_schemas.record import record

Result = TypeVar("Result")

INFERENCE = "onnx's shape inference"
CHECKER = "onnx.checker"
CONVERTER = "onnx.version_converter"
PARSER = "the parser"


@record
class Crash:
    """A native call that ends its process, or exceeds its limit of time or memory."""

    call: str
    """The call, in words."""
    how: str
    """How it ends, such as "dies (SIGSEGV)"."""
    graph: str = ""
    """The path of the node's graph."""
    index: int | None = None
    """The index of the node in its graph; None where the call was about a whole model or function."""
    tried: bool = True
    """Whether this call itself ended; False where it was skipped after others like it."""


class Crashes:
    """The crashes of one model, each kept once."""

    def __init__(self) -> None:
        self._known: dict[Crash, None] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def attempt(
        self,
        kind: str,
        function: Callable[..., Result],
        *arguments: Any,
        graph: str = "",
        index: int | None = None,
        **options: Any,
    ) -> Result:
        """As `dlclint.contained.guard.call`; a call that ends is recorded.

        Raises:
            Ended: as there.
        """
        try:
            return call(kind, function, *arguments, **options)
        except Ended as ended:
            self._known[Crash(kind, ended.how, graph, index, ended.tried)] = None
            raise

    def found(self) -> tuple[Crash, ...]:
        """What is known: for each call the nodes that end it, or the whole where no single node does."""
        on_nodes = {crash.call for crash in self._known if crash.index is not None}
        return tuple(crash for crash in self._known if crash.index is not None or crash.call not in on_nodes)

    def on_node(self, kind: str) -> bool:
        """Whether a call of this kind ended on a single node."""
        return any(crash.call == kind and crash.index is not None for crash in self._known)

    def ended(self, kind: str, graph: str = "") -> bool:
        """Whether a call of this kind ended on the whole model, or on the function of a graph."""
        return any(
            crash.call == kind and crash.index is None and crash.graph in ("", graph) for crash in self._known
        )
