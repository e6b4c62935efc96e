"""How small a channel's weight scale may be before HTP saturates the channel, asked of Qualcomm's backend.

    python -m benchmarks.htp_scales

A Conv with int8 weights, one grid for each channel; one channel's scale is a power of two below the others'.
Printed for each chip and width of activations: the largest error of that channel and of the others, in steps
of the output. `channel_scales` in measured_side_inputs.json comes from here. It needs the extra `qnn`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from dlclint.confirm.process import Backend, QuestionLimits, backend
from dlclint.confirm.socs import asked_soc
from dlclint.model.op_facts import MICROSOFT
from dlclint.socs import resolve_soc

SOCS = ("SM8350", "SM8450", "SM8550", "SM8650", "SM8750", "SM8850")
EXPONENTS = (10, 12, 13, 14, 15, 16, 17, 18, 20)
CHANNELS, SMALL = 8, 3


def question(exponent: int, bits: int, random: np.random.Generator) -> tuple[bytes, Any, Any]:
    """A model, its quantized input, and the integers that follow from the documents."""
    weights = random.integers(-127, 128, (CHANNELS, CHANNELS, 1, 1)).astype(np.int8)
    scales = np.full(CHANNELS, 0.01, np.float32)
    scales[SMALL] *= np.float32(2.0**-exponent)
    half, dtype = 2 ** (bits - 1), np.uint16 if bits == 16 else np.uint8
    read, made = (np.float32(reach / (2**bits - 1)) for reach in (4.0, 16.0))
    stored = {
        "read": read, "made": made, "middle": np.asarray(half, dtype),
        "w": weights, "scales": scales, "zeros": np.zeros(CHANNELS, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["xq", "read", "middle"], ["x"], domain=MICROSOFT),
        helper.make_node("DequantizeLinear", ["w", "scales", "zeros"], ["wf"], axis=0, domain=MICROSOFT),
        helper.make_node("Conv", ["x", "wf"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "made", "middle"], ["yq"], domain=MICROSOFT),
    ]
    kind, shape = TensorProto.UINT16 if bits == 16 else TensorProto.UINT8, [1, CHANNELS, 8, 8]
    ends = [[helper.make_tensor_value_info(name, kind, shape)] for name in ("xq", "yq")]
    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in stored.items()]
    graph = helper.make_graph(nodes, "scales", *ends, tensors)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    integers = random.integers(0, 2**bits, shape).astype(dtype)
    exact = np.einsum(
        "oi,nihw->nohw", weights[:, :, 0, 0] * scales[:, None].astype(float), (integers - half * 1.0) * read
    )
    return model.SerializeToString(), integers, np.clip(np.rint(exact / made) + half, 0, 2**bits - 1)


def errors(asked: Backend, soc: str, exponent: int, bits: int) -> str:
    """The largest error of the small channel and of the others."""
    model, integers, expected = question(exponent, bits, np.random.default_rng(exponent))
    with TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(inputs, xq=integers)
        asked.ask(model, Path(folder), soc, run=[(inputs, outputs)])
        if not outputs.exists():
            return "refused"
        with np.load(outputs) as arrays:
            off = np.abs(arrays["arr_0"].astype(float) - expected).max(axis=(0, 2, 3))
    return f"{off[SMALL]:.0f} / {np.delete(off, SMALL).max():.0f}"


def main() -> None:
    """Print the table."""
    print("| chip | bits | " + " | ".join(f"2^-{exponent}" for exponent in EXPONENTS) + " |")
    print("|" + " --- |" * (2 + len(EXPONENTS)))
    with backend(QuestionLimits()) as asked:
        for name in SOCS:
            soc = str(asked_soc(resolve_soc(name)).id)
            for bits in (16, 8):
                cells = " | ".join(errors(asked, soc, exponent, bits) for exponent in EXPONENTS)
                print(f"| {name} | {bits} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
