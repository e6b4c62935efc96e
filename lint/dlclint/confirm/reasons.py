"""The backend's reasons in plain words.

Only the few forms that decide something are known here; everything else is passed on unchanged.
"""

from __future__ import annotations

import re

from dlclint.confirm.log import AskedType, BackendLog, CheckedGroup

_RANK = re.compile(r"has incorrect Rank (\d+)")
_VALUE = re.compile(r"has incorrect Value (-?\d+(?:\.\d+)?), expected (>=|<=|<|>|==) (-?\d+(?:\.\d+)?)")
_EXACTLY = re.compile(r"has incorrect Value (-?\d+(?:\.\d+)?), expected equal to (-?\d+(?:\.\d+)?)")
_MIDDLES = ("-128", "-32768")
_NO_FP16 = re.compile(r"SocModel doesn't support FP16")
_CONFIGURATION = re.compile(r"datatype sets for the configuration: (\w+)")
_NO_TRANSLATION = re.compile(r"Operators of type `([^`]*)` are not supported")
_BOILERPLATE = re.compile(
    r"^(Supported I/O datatype|Requested I/O|Please refer|QnnBackend_validateOpConfig|Failed to validate op"
    r"|validateNativeOps|unexpected GraphHtpSettings)"
)
_REFUSAL = re.compile(r"\w+: \[ONNXRuntimeError\] : \d+ : \w+ : ")
_ARCHITECTURES = frozenset({"66", "68", "69", "73", "75", "79", "81"})
_WORDS = {
    "FLOAT_32": "float32",
    "FLOAT_16": "float16",
    "FLOAT_64": "float64",
    "BFLOAT_16": "bfloat16",
    "BOOL_8": "bool",
    "UFIXED_POINT_8": "quantized uint8",
    "SFIXED_POINT_8": "quantized int8",
    "UFIXED_POINT_16": "quantized uint16",
    "SFIXED_POINT_16": "quantized int16",
    "SFIXED_POINT_32": "quantized int32",
}
_FORMS = {"FP16": "float", "BF16": "bfloat16", "INT16": "16-bit", "INT8": "8-bit", "OTHERS": "integer"}
CONFIGURED = "configured to not take"
"""In the reason for quantization at the graph's edge, which the provider intentionally leaves to the CPU."""


def validator_reason(group: CheckedGroup) -> str:
    """Why Hexagon's validator refused a group, as one clause."""
    said = "\n".join(group.errors)
    if _NO_FP16.search(said):
        return "the SoC has no float16 on HTP"
    rank = _RANK.search(said)
    if rank:
        return f"{group.qnn_op} takes no tensor of rank {rank[1]}"
    value = _VALUE.search(said)
    if value:
        actual, relation, wanted = value.groups()
        if relation == ">=" and actual in _ARCHITECTURES and wanted in _ARCHITECTURES:
            return f"it needs Hexagon v{wanted}, the SoC has v{actual}"
        return f"{group.qnn_op} has a value of {actual}, it must be {relation} {wanted}"
    exactly = _EXACTLY.search(said)
    if exactly:
        middle = " (the offset of a symmetric grid)" if exactly[2] in _MIDDLES else ""
        return f"{group.qnn_op} has a value of {exactly[1]}, it must be {exactly[2]}{middle}"
    if group.asked_types:
        forms = dict.fromkeys(_FORMS.get(name, name) for name in _CONFIGURATION.findall(said))
        have = f"; its forms are {', '.join(forms)}" if forms else ""
        return f"{group.qnn_op} has no form for {_types(group.asked_types)}{have}"
    rest = [line for line in group.errors if not _BOILERPLATE.match(line)]
    return rest[0] if rest else f"{group.qnn_op} is refused without a reason"


def _types(asked: tuple[AskedType, ...]) -> str:
    """A description such as `input 0 float32, output 0 float32`."""
    shown = []
    for side, position, name in asked:
        shown.append(f"{side}put {position} {_WORDS.get(name, name.lower().replace('_', ''))}")
    return ", ".join(shown)


def provider_reason(group: CheckedGroup) -> str:
    """Why the provider did not ask the backend, as one clause."""
    reason = group.reason
    op = _NO_TRANSLATION.search(reason)
    if op:
        return f"the provider has no translation of {op[1]}"
    if reason.startswith("Cannot get shape"):
        return "a shape is unknown; give every input its size"
    if "Failed to map Onnx data type" in reason:
        return "the provider has no QNN type for one of its tensors"
    if CONFIGURED in reason:
        return "quantization at the graph's edge stays on the CPU"
    return f"the provider says: {reason}" if reason else "the provider gives no reason"


def failure_reason(error: str, log: BackendLog) -> str:
    """Why no session was created although nodes were checked, as one clause ("" if it was created)."""
    if not error or "MODEL_REQUIRES_COMPILATION" in error:
        return ""
    if "finalize QNN graph" in error:
        return "compiling fails: " + (
            "there is no implementation of the ops named here"
            if log.unprepared
            else "the backend does not say for which op"
        )
    if "zero graph inputs" in error:
        return "a part of the graph is left without inputs, which the backend does not take"
    if "compose Qnn graph" in error:
        codes = sorted({code for _, code in log.unadded})
        if 6005 in codes or any("0 sized" in line for line in log.late_errors):
            return "the graph cannot be built: a tensor has a dimension of size 0"
        if any("datatype 612" in line for line in log.late_errors):
            return "the graph cannot be built: it holds a float64 constant"
        return "the graph cannot be built" + (f" (code {', '.join(map(str, codes))})" if codes else "")
    if "was inserted using the NHWC format" in error:
        return "a node was taken before the layout change and refused after it"
    return _first_line(error)


def _first_line(error: str) -> str:
    line = " ".join(error.partition("\n")[0].split())
    match = _REFUSAL.match(line)
    return f"ONNX Runtime refuses the model: {line[match.end() :]}" if match else line
