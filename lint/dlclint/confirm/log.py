"""The backend's log of its checks: its fields, without interpretation.

The log has two sources. The provider (ONNX Runtime's wrapper around the backend) reports for each group of
nodes whether it takes them, twice: before and after it changes the layout. Qualcomm's validator writes
between those lines; its lines belong to the group that the provider names next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dlclint_schemas.record import record

_RECORD = re.compile(
    r"(?P<support>LogNodeSupport\] Validation (?P<verdict>PASSED|FAILED) for \d+ nodes"
    r" in (?P<group>\w+)[^\n]*)"
    r"|CreateQnnNode\] QNN\.\w+\(\) failed for node `[^`\n]*` of type `(?P<type>[^`\n]*)`"
    r" with error code (?P<code>\d+)"
    r"|CreateQnnNode\] Qnn_OpConfig node name: (?P<made>\S+) [^\n]*QNN_op_type: (?P<made_as>\S+)"
    r"|ComposeQnnGraph\] Qnn_OpConfig node name: (?P<composed>\S+) [^\n]*QNN_op_type: (?P<composed_as>\S+)"
    r"|QnnLogging\]\s+<E> (?P<error>[^\n]*)"
    r"|Onnx node name: \[(?P<tried>[^\]\n]*)\]"
    r"|(?P<pass>GetCapability pass \d)"
    r"|(?P<compose>ComposeGraph\] )"
    r"|ComposeQnnGraph\] QNN\.graphAddNode\(\) failed for node `(?P<unadded>[^`\n]*)` of type `[^`\n]*`"
    r" with error code (?P<add_code>\d+)"
    r"|Backend build version: v?(?P<build>[\w.]+)"
    r"|QNN SetupBackend failed (?:Unable to load backend, error: *)?(?P<setup>[^\n\x1b]*)"
    r"|(?P<opset>cannot be used with this model due to its ONNX opset)"
)
_MEMBER = re.compile(r"Operator type: (\S+) Node name: (\S*) Node index")
_REASON = re.compile(r"REASON : ([^\n]*)")
_UNPREPARED = re.compile(r'"([^"\n]*)" generated: could not create op')
_TYPE = re.compile(r"\b(in|out)\[(\d+)\]:QNN_DATATYPE_(\w+)")
_FLOAT = re.compile(r" type=QNN_TENSOR_TYPE_(?!STATIC)\w+ [^\n]*dataType=QNN_DATATYPE_FLOAT_")
_BETWEEN_TYPES = frozenset({"Cast", "Convert", "Dequantize", "Quantize"})
"""QNN ops that change the type, so that a float tensor at one end says nothing about the op."""
_STAMPED = re.compile(r"^(?:\x1b\[[\d;]*m)?\d{4}-\d\d-\d\d ", re.MULTILINE)


class AskedType(NamedTuple):
    """The data type of one input ("in") or output ("out") of the op that the validator was asked about."""

    side: str
    position: int
    data_type: str
    """As QNN names it, such as UFIXED_POINT_8."""


@record
class CheckedGroup:
    """Nodes that the provider checked together.

    `members` are (op, name); `reason` is the provider's, "" if it took them; `code` is the backend's error
    code, None where the backend was not asked; `errors` are the validator's lines with the data types that it
    was given; `built_ops` are the QNN ops that were built for the validator.
    """

    kind: str
    members: tuple[tuple[str, str], ...]
    taken: bool
    reason: str = ""
    code: int | None = None
    qnn_op: str = ""
    errors: tuple[str, ...] = ()
    asked_types: tuple[AskedType, ...] = ()
    built_ops: tuple[str, ...] = ()


@dataclass(slots=True)
class BackendLog:
    """A whole log. `passes` holds the groups of each pass in order."""

    passes: list[list[CheckedGroup]] = field(default_factory=list)
    build: str = ""
    old_opset: bool = False
    """Whether the model was not even offered to the provider, because its opset is too old."""
    unloaded: str = ""
    """Why the backend's library could not be loaded, "" if it was."""
    last_tried: str = ""
    """The node whose translation the provider started last: where a crash happened."""
    composing: bool = False
    """Whether validation had ended and the graph was being built."""
    composed_in_float: list[str] = field(default_factory=list)
    """QNN nodes of the built graph that read or produce float tensors."""
    unprepared: list[str] = field(default_factory=list)
    """QNN nodes for which compiling found no implementation."""
    unadded: list[tuple[str, int]] = field(default_factory=list)
    """QNN nodes that could not be added to the graph, with the error code."""
    late_errors: list[str] = field(default_factory=list)
    """The backend's errors after validation."""

    def groups(self) -> Iterator[CheckedGroup]:
        """The groups of every pass in order."""
        for judged in self.passes:
            yield from judged


def read_log(text: str) -> BackendLog:
    """Read a log of severity verbose."""
    log = BackendLog()
    current = _Span()
    for match in _RECORD.finditer(text):
        kind = match.lastgroup
        if match["support"]:
            if not log.passes:
                log.passes.append([])
            log.passes[-1].append(current.close(match, _continued(text, match.end())))
            current = _Span()
        elif kind == "pass":
            log.passes.append([])
            current = _Span()
        elif kind == "compose":
            log.composing = True
        elif kind == "code":
            current.code, current.qnn_op = int(match["code"]), match["type"]
        elif kind == "made_as":
            current.built_ops.append(match["made_as"])
        elif kind == "composed_as":
            if match["composed_as"] not in _BETWEEN_TYPES and _FLOAT.search(_continued(text, match.end())):
                log.composed_in_float.append(match["composed"])
        elif kind == "error":
            unprepared = _UNPREPARED.search(match["error"])
            if unprepared:
                log.unprepared.append(unprepared[1])
            if log.composing:
                log.late_errors.append(match["error"].strip())
            else:
                current.error(match["error"].strip(), text, match.end())
        elif kind == "tried":
            log.last_tried = match["tried"]
        elif kind == "add_code":
            log.unadded.append((match["unadded"], int(match["add_code"])))
        elif kind == "build":
            log.build = match["build"]
        elif kind == "setup":
            log.unloaded = log.unloaded or match["setup"].strip().rstrip("!.")
        elif kind == "opset":
            log.old_opset = True
    return log


def _continued(text: str, position: int) -> str:
    """The lines that follow a record until the next one begins."""
    following = _STAMPED.search(text, position)
    return text[position : following.start() if following else len(text)]


class _Span:
    """The lines since the last verdict."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.qnn_op = ""
        self.errors: list[str] = []
        self.types: list[AskedType] = []
        self.built_ops: list[str] = []

    def error(self, line: str, text: str, end: int) -> None:
        if line.startswith("Requested I/O datatype set") and not self.types:
            matches = _TYPE.findall(_continued(text, end))
            self.types = [AskedType(side, int(position), name) for side, position, name in matches]
        if line not in self.errors:
            self.errors.append(line)

    def close(self, verdict: re.Match[str], rest: str) -> CheckedGroup:
        members = tuple(_MEMBER.findall(rest))
        reason = _REASON.search(rest)
        taken = verdict["verdict"] == "PASSED"
        return CheckedGroup(
            verdict["group"],
            members,
            taken,
            "" if taken else (reason[1].strip() if reason else ""),
            None if taken else self.code,
            "" if taken else self.qnn_op,
            () if taken else tuple(self.errors),
            () if taken else tuple(self.types),
            tuple(self.built_ops),
        )
