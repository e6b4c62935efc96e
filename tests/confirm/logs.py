"""Logs in the form that the backend writes, built from the few fields that a reader needs."""

from __future__ import annotations

STAMP = "2026-01-02 03:04:05.000000001"


def record(where: str, text: str, level: str = "V") -> str:
    """One record as ONNX Runtime writes it; warnings are colored."""
    line = f"{STAMP} [{level}:onnxruntime:Default, {where}] {text}"
    return f"\x1b[0;93m{line}\x1b[m\n" if level == "W" else f"{line}\n"


def validator(text: str) -> str:
    """An error of Qualcomm's validator."""
    return record("a.cc:1 QnnLogging", f" <E> {text}\n")


def trying(name: str, op: str) -> str:
    """The provider begins to translate a node."""
    return record(
        "b.cc:1 AddToModelBuilder", f"x. Onnx node name: [{name}] onnx node type: [{op}]."
    ) + record(
        "c.cc:1 CreateQnnNode", f"Qnn_OpConfig node name: {name} package_name: p QNN_op_type: {op} n: 1"
    )


def judged(*members: tuple[str, str], reason: str | None = None, kind: str = "OrtNodeUnit") -> str:
    """The provider's verdict on a group of (op, name); refused if there is a reason."""
    verdict = "PASSED" if reason is None else "FAILED"
    lines = [f"Validation {verdict} for {len(members)} nodes in {kind} ({members[0][0]}) :"]
    lines += [f"\tOperator type: {op} Node name: {name} Node index: 0" for op, name in members]
    if reason is not None:
        lines.append(f"\tREASON : {reason}")
    return record("d.cc:1 LogNodeSupport", "\n".join(lines) + "\n")


def code(name: str, op: str, number: int = 3110) -> str:
    """The provider passes on the backend's error code."""
    text = f"QNN.backendValidateOpConfig() failed for node `{name}` of type `{op}` with error code {number}"
    return record("c.cc:2 CreateQnnNode", text, "W")


def refused(name: str, op: str, *errors: str) -> str:
    """A node that the validator refuses, saying `errors`."""
    return (
        trying(name, op)
        + "".join(map(validator, errors))
        + code(name, op)
        + judged((op, name), reason="Failed to add node.")
    )


def begin(number: int) -> str:
    """The beginning of a pass."""
    return record("e.cc:1 GetCapabilityImpl", f"GetCapability pass {number} (x)")


def composed(name: str, op: str, kind: str, stored: str = "FLOAT_32") -> str:
    """A QNN node of the built graph, its data of one type and its weights of another."""
    tensors = "\n".join(
        f" name={end} id=1 type=QNN_TENSOR_TYPE_{storage} dataFormat=0 dataType=QNN_DATATYPE_{data} rank=1"
        for end, storage, data in (("x", "NATIVE", kind), ("w", "STATIC", stored), ("y", "NATIVE", kind))
    )
    text = f"Qnn_OpConfig node name: {name} package_name: p QNN_op_type: {op} num_of_inputs: 2"
    return record("f.cc:2 ComposeQnnGraph", f"{text}\n node_inputs:\n{tensors}\n")


COMPOSING = record("f.cc:1 ComposeGraph", "Graph name: g")
BUILD = record("g.cc:1 SetupBackend", "Backend build version: v9.8.7.0")
