"""What the backend reports for each node of the file, read from its log and from its session."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import replace

from dlclint.analysis.folding import NodeKey
from dlclint.confirm.log import BackendLog, CheckedGroup
from dlclint.confirm.process import BackendAnswer
from dlclint.confirm.question import Question
from dlclint.confirm.reasons import CONFIGURED, provider_reason, validator_reason
from dlclint.confirm.worker import PROVIDER
from dlclint.model.graph import Model
from dlclint.model.op_facts import QDQ, is_qdq
from dlclint_schemas.record import record

_MADE_IN_FLOAT = frozenset({"Quantize", "Dequantize"})


class Said(enum.Enum):
    """The result for a node."""

    TAKEN = "taken"
    REFUSED = "refused"
    """Refused by Hexagon's validator, with a code."""
    NOT_COMPILED = "not-compiled"
    """Validated, but compiling finds no implementation or the graph does not take it."""
    VALIDATED = "validated"
    """The validator accepts it, but the graph as a whole failed: whether it compiles is unknown."""
    NOT_OFFERED = "not-offered"
    """Refused by the provider, ONNX Runtime's wrapper, which did not ask the backend."""
    CRASHED = "crashed"
    """The backend's process died while it checked this node."""
    GONE = "gone"
    """Folded, removed or made part of other ops before the backend saw the graph."""
    UNASKED = "unasked"
    """In the body of an If, Loop or Scan, or never reached."""

    @property
    def is_backends_no(self) -> bool:
        """Whether Qualcomm's code refused it, not the wrapper."""
        return self in (Said.REFUSED, Said.NOT_COMPILED, Said.CRASHED)


@record
class NodeVerdict:
    """The result for one node, why, and with which code of the backend.

    `in_float` means that quantization was requested but the op is computed in float.
    """

    said: Said
    reason: str = ""
    code: int | None = None
    qnn_op: str = ""
    in_float: bool = False
    by: str = ""
    """The name of the backend or tool, "" for the HTP backend."""


def verdicts_of(
    model: Model, question: Question, answer: BackendAnswer, log: BackendLog, compiled: bool
) -> dict[NodeKey, NodeVerdict]:
    """A verdict for every node of every graph."""
    judged = _judged(question, log)
    node_verdicts: dict[NodeKey, NodeVerdict] = {}
    for graph in model.graphs():
        inner = graph.parent is not None
        for node in graph.nodes:
            default = NodeVerdict(Said.UNASKED if inner or answer.ended or not judged else Said.GONE)
            node_verdicts[node.key] = judged.get(node.key, default)
    if answer.placed and compiled and not answer.error:
        _lose_unplaced(node_verdicts, question, answer)
    to_be_quantized = _to_be_quantized(model, question)
    in_float = _in_float(question, log) & to_be_quantized
    for key, reason, code in _late(question, log, in_float):
        if key in node_verdicts:
            node_verdicts[key] = NodeVerdict(Said.NOT_COMPILED, reason, code)
    if compiled and answer.error:
        _withhold(model, node_verdicts)
    if answer.ended and not log.composing:
        tried = question.node_of(log.last_tried)
        if tried is not None and node_verdicts[tried].said is Said.UNASKED:
            node_verdicts[tried] = NodeVerdict(
                Said.CRASHED, f"the backend was judging it when {answer.ended}"
            )
    alike = (
        (in_float, (Said.TAKEN, Said.NOT_COMPILED)),
        (_asked_in_float(question, log) & to_be_quantized, (Said.REFUSED,)),
    )
    for keys, kinds in alike:
        for key in keys:
            if node_verdicts[key].said in kinds:
                node_verdicts[key] = replace(node_verdicts[key], in_float=True)
    return node_verdicts


def _withhold(model: Model, node_verdicts: dict[NodeKey, NodeVerdict]) -> None:
    """Change the verdict of nodes that pass validation in a graph that fails.

    Whether they compile is unknown, except for a single op, whose failure it is. Nodes that quantize or
    dequantize only set an op's precision and do not count.
    """
    quantizing = {
        node.key for graph in model.graphs() for node in graph.nodes if is_qdq(node.op_type, node.domain)
    }
    passed = [key for key, verdict in node_verdicts.items() if verdict.said is Said.TAKEN]
    ops = [key for key in passed if key not in quantizing]
    others = any(
        verdict.said in (Said.NOT_OFFERED, Said.UNASKED) or verdict.said.is_backends_no
        for verdict in node_verdicts.values()
    )
    for key in passed:
        if [key] == ops and not others:
            node_verdicts[key] = NodeVerdict(
                Said.NOT_COMPILED, "it passes validation, but compiling it alone fails"
            )
        else:
            node_verdicts[key] = replace(node_verdicts[key], said=Said.VALIDATED)


def _judged(question: Question, log: BackendLog) -> dict[NodeKey, NodeVerdict]:
    """The verdict of the last pass that names each node; for a node refused in both, the first reason.

    The first pass only decides where the layout changes. It may refuse a node that the second accepts and
    that is then placed on the backend: observed for HardSigmoid before Mul, which the provider tries as one
    HardSwish first, and for nodes that it merges with their neighbors.
    """
    node_verdicts: dict[NodeKey, NodeVerdict] = {}
    for judged in log.passes:
        for key, verdict in _in_one_pass(question, judged).items():
            known = node_verdicts.get(key)
            if known is None or known.said is Said.TAKEN or verdict.said is Said.TAKEN:
                node_verdicts[key] = verdict
    return node_verdicts


def _in_one_pass(question: Question, judged: list[CheckedGroup]) -> dict[NodeKey, NodeVerdict]:
    """The first refusal of each node, or that it was accepted."""
    node_verdicts: dict[NodeKey, NodeVerdict] = {}
    for group in judged:
        computes = any(op not in QDQ for op, _ in group.members)
        for op, name in group.members:
            key = question.node_of(name)
            if key is None or (computes and op in QDQ):
                continue  # QuantizeLinear and DequantizeLinear around an op become its encodings
            known = node_verdicts.get(key)
            if known is None or (known.said is Said.TAKEN and not group.taken):
                node_verdicts[key] = _verdict(group, op)
    return node_verdicts


def _verdict(group: CheckedGroup, op: str) -> NodeVerdict:
    if group.taken:
        quantized = any(member in QDQ for member, _ in group.members) and len(group.members) > 1
        in_float = quantized and op not in QDQ and bool(_MADE_IN_FLOAT & set(group.built_ops))
        return NodeVerdict(Said.TAKEN, in_float=in_float)
    if CONFIGURED in group.reason:
        return NodeVerdict(Said.TAKEN, provider_reason(group))
    if group.code is not None:
        return NodeVerdict(Said.REFUSED, validator_reason(group), group.code, group.qnn_op)
    return NodeVerdict(Said.NOT_OFFERED, provider_reason(group))


def _lose_unplaced(
    node_verdicts: dict[NodeKey, NodeVerdict], question: Question, answer: BackendAnswer
) -> None:
    """Nodes that were accepted one by one but ended on the CPU."""
    elsewhere = {question.node_of(node.name) for node in answer.placed if node.provider != PROVIDER}
    for key in elsewhere - {
        question.node_of(session_node.name)
        for session_node in answer.placed
        if session_node.provider == PROVIDER
    }:
        if key is not None and node_verdicts[key].said is Said.TAKEN and not node_verdicts[key].reason:
            reason = "the provider leaves it out: the part of the graph around it is not worth handing over"
            node_verdicts[key] = NodeVerdict(Said.NOT_OFFERED, reason)


def _late(
    question: Question, log: BackendLog, in_float: set[NodeKey]
) -> Iterator[tuple[NodeKey, str, int | None]]:
    """Nodes that failed after validation.

    Hexagon v68 computes nothing in float. Where the provider leaves an op there in float, compiling names it
    and also quantized ops near it, which compile without it (measured with layer normalizations, LSTM,
    GroupNormalization, ReduceL2 and ScatterND): nothing is known about those.
    """
    unprepared = [key for name in log.unprepared if (key := question.node_of(name)) is not None]
    causes = [key for key in unprepared if key in in_float]
    for key in causes or unprepared:
        yield key, "it passes validation, but compiling finds no implementation of it", 1002
    for name, code in log.unadded:
        key = question.node_of(name)
        if key is not None:
            why = "a tensor has a dimension of size 0" if code == 6005 else "the graph does not take it"
            yield key, f"it passes validation, but {why}", code


def _to_be_quantized(model: Model, question: Question) -> set[NodeKey]:
    """Nodes that quantization was inserted around, and those that read dequantized data."""
    return set(question.quantized) | {
        node.key
        for graph in model.graphs()
        for node in graph.nodes
        if any(
            name and (producer := graph.producer(name)) and producer.op_type == "DequantizeLinear"
            for name in node.inputs
        )
    }


def _in_float(question: Question, log: BackendLog) -> set[NodeKey]:
    """Nodes that were accepted without the quantization around them, or built in float.

    What is built shows more than what is checked: some ops, GRU among them, are accepted with the
    quantization around them and placed between Dequantize and Quantize only afterwards.
    """
    names = {
        name
        for group in log.groups()
        if group.taken and not any(op in QDQ for op, _ in group.members)
        for _, name in group.members
    }
    return {key for name in names | set(log.composed_in_float) if (key := question.node_of(name)) is not None}


def _asked_in_float(question: Question, log: BackendLog) -> set[NodeKey]:
    """Nodes that the backend was never asked about with the quantization around them.

    The provider has no quantized form of some ops, GatherND among them: a refusal is one of the float form.
    """
    asked: dict[bool, set[NodeKey]] = {True: set(), False: set()}
    for group in log.groups():
        quantized = any(op in QDQ for op, _ in group.members)
        asked[quantized].update(
            key for _, name in group.members if (key := question.node_of(name)) is not None
        )
    return asked[False] - asked[True]
