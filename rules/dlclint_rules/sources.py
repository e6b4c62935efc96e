"""The citations that rules of several families share."""

from __future__ import annotations

from dlclint.diagnostic import Confidence, Source
from dlclint_schemas.layers import layer_table
from dlclint_schemas.limitations import limit_table
from dlclint_schemas.ops import OpTable

READ = {"whole": Confidence.DOCUMENTED}
"""The confidence of a finding from a page of the release history: a page read in part is only a report."""
ONNX = Source("ONNX specification")
CHECKER = Source("ONNX specification", "onnx.checker")
CONVERTER = Source("80-63442-2 Rev BL, Tools", "snpe-onnx-to-dlc")

JOINED = Source("ultralytics/ultralytics#23537", "boxes and scores in one output")
STEP = Source("80-63442-2 Rev BL, Quantized vs Non-Quantized Models", "quantize and clamp")
SECOND_INPUT = Source("onnxruntime/onnxruntime-qnn#300; qualcomm/aimet#4091", "--use_dynamic_16_bit_weights")
CLE = Source("80-63442-2 Rev BL, Quantized vs Non-Quantized Models", "CLE")


def op_row(table: OpTable, op: str = "") -> Source:
    """A row of a supported-ops table, or the whole table."""
    return Source(table.rows[op].document, f"row {op}") if op else Source(table.document)


def layer_row(row: str) -> Source:
    """A place in the network-layers table."""
    return Source(layer_table().document, row)


def limit(id: str) -> Source:
    """An entry of the limitations."""
    entry = limit_table()[id]
    return Source(f"{entry['document']}, {entry['title']}", str(entry["limit"]))
