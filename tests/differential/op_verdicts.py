"""Expected op verdicts straight from the tables, compared with what dlclint says.

Written apart from the rules: plain onnx, plain JSON, a reading of the tables of its own. Prints
each disagreement and exits 1 if there is any:

    python tests/differential/op_verdicts.py FOLDER_OR_MODEL...
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.target import Runtime, Target

Verdict = tuple[str, int, str]  # rule, node index, severity ("" where the table leaves it open)

JUDGED = {
    "ops/unsupported",
    "ops/version-not-listed",
    "ops/version-changed-structure",
    "ops/attribute",
    "ops/rank",
    "ops/dynamic-parameter",
    "ops/extra-output",
    "ops/not-foldable",
    "ops/no-runtime",
}
LACKS_SIZES = {"shapes/dynamic-dim", "batch/symbolic"}
FOLLOWS_FROM_SIZES = {"ops/not-foldable", "ops/dynamic-parameter"}
"""What is counted by one finding where inputs lack sizes, and no finding of its own."""
COLUMN = {"cpu": "cpu", "gpu": "gpu", "gpu_float16": "gpu", "dsp": "dsp_v66", "htp": "htp", "aip": "aip"}


def table(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files("dlclint_schemas").joinpath(f"data/{name}.json").read_bytes())
    return data


OPS = table("snpe_onnx_ops")["ops"]
LAYERS = table("snpe_network_layers")
TAKEN_THOUGH_DENIED = table("measured_forms")["taken_though_denied"]
"""Op to the DLC kinds in which HTP's validator takes it, measured, though the layer table says no."""
ROWS = {row["name"]: row["runtimes"] for row in LAYERS["layers"]}
ROWLESS = {row["onnx"]: row for row in LAYERS["flags"]["onnx_ops_in_ops_table_without_layer_row"]}


class Facts:
    """Shapes, constants and foldable nodes of a main graph, read with onnx alone."""

    def __init__(self, model: onnx.ModelProto) -> None:
        with contextlib.suppress(Exception):
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        graph = self.graph = model.graph
        self.opset = next((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), 1)
        self.functions = {(f.domain, f.name) for f in model.functions}
        self.constants = {t.name: t for t in graph.initializer}
        self.shapes: dict[str, list[int | None]] = {t.name: list(t.dims) for t in graph.initializer}
        for value in (*graph.value_info, *graph.output, *graph.input):
            kind = value.type.tensor_type
            if value.type.HasField("tensor_type") and kind.HasField("shape"):
                self.shapes[value.name] = [
                    d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim
                ]
        static = set(self.constants)
        self.folded: set[int] = set()
        for index, node in enumerate(graph.node):
            inputs = [name for name in node.input if name]
            subgraphs = any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self.constants[node.output[0]] = attribute.t
            elif node.op_type in ("Shape", "Size") and inputs and inputs[0] not in static:
                shape = self.shapes.get(inputs[0])
                if shape is None:
                    continue
                start, end = self.attribute(node, "start", 0), self.attribute(node, "end", None)
                if None in shape[start:end]:
                    continue
            elif not inputs or subgraphs or not set(inputs) <= static or not self.foldable(node):
                continue
            self.folded.add(index)
            static.update(node.output)
        self.static = static

    def foldable(self, node: onnx.NodeProto) -> bool:
        if node.domain not in ("", "ai.onnx") or (node.domain, node.op_type) in self.functions:
            return False
        random = ("Random", "Multinomial", "Bernoulli", "Dropout")
        return not node.op_type.startswith(random) and "QuantizeLinear" not in node.op_type

    def version(self, op: str) -> int | None:
        try:
            return int(onnx.defs.get_schema(op, self.opset).since_version)
        except onnx.defs.SchemaError:
            return None

    def attribute(self, node: onnx.NodeProto, name: str, default: Any) -> Any:
        for attribute in node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default


def expected(model: onnx.ModelProto, runtime: str) -> set[Verdict]:
    """What the tables state about every node of the main graph that does not fold."""
    facts = Facts(model)
    verdicts: set[Verdict] = set()
    told: set[tuple[str, int]] = set()
    for index, node in enumerate(facts.graph.node):
        if index in facts.folded or node.domain not in ("", "ai.onnx"):
            continue
        if (node.domain, node.op_type) in facts.functions:
            continue
        row = OPS.get(node.op_type)
        if row is None:
            verdicts.add(("ops/unsupported", index, "error"))
            continue
        version = facts.version(node.op_type)
        if version is not None and version not in row["opset_versions"]:
            same = {
                u["version"]: u["structure_unchanged"] for u in row["unlisted_registry_versions_up_to_21"]
            }
            if version in same:
                same[version] = same[version] or is_as_before(facts, node)
                rule = "version-not-listed" if same[version] else "version-changed-structure"
                if not same[version] or (node.op_type, version) not in told:
                    verdicts.add((f"ops/{rule}", index, "info" if same[version] else "warning"))
                told.add((node.op_type, version))  # one finding for all nodes of the same kind
        for constraint in row["constraints"]:
            since, last = constraint.get("since_op_version", 1), constraint.get("max_op_version", 99)
            if since <= (version or max(row["opset_versions"])) <= last:
                rule = violated(facts, node, constraint)
                if rule:
                    verdicts.add((rule, index, "error"))
        severity = absent(facts, node, runtime)
        if severity:
            verdicts.add(("ops/no-runtime", index, severity))
    return verdicts


def is_as_before(facts: Facts, node: onnx.NodeProto) -> bool:
    """Whether a node uses nothing of what its version brought."""
    if node.op_type == "Cast":
        return facts.attribute(node, "to", 1) < 17  # the 8-bit floats have numbers from 17
    training = facts.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    inference = len(node.input) < 3 or (training is not None and not numpy_helper.to_array(training).any())
    return node.op_type == "Sign" or (node.op_type == "Dropout" and inference)


def violated(facts: Facts, node: onnx.NodeProto, constraint: dict[str, Any]) -> str:
    """The rule that a constraint of the table breaks, or ""."""
    kind, name = constraint["kind"], constraint.get("attribute", "")
    written = any(a.name == name for a in node.attribute)
    value = facts.attribute(node, name, None)
    if kind == "attribute_must_equal" and node.op_type != "Gemm":
        value = constraint.get("onnx_default") if value is None else value
        return "ops/attribute" if value is not None and value != constraint["value"] else ""
    if kind == "attribute_one_of":
        return "ops/attribute" if written and value not in constraint["values"] else ""
    if kind == "attribute_all_equal":
        return "ops/attribute" if written and set(value) - {constraint["value"]} else ""
    if kind == "attribute_absent":
        return "ops/attribute" if written else ""
    if kind == "attribute_absent_or_default" and written:
        if "default" in constraint:
            return "" if value == constraint["default"] else "ops/attribute"
        each = constraint["default_per_direction"]
        twice = facts.attribute(node, "direction", "forward") == "bidirectional"
        values = [directions.decode().lower() for directions in value]
        return "" if values == [word.lower() for word in each] * (1 + twice) else "ops/attribute"
    if kind == "attribute_matches_weight_shape" and written:
        shape = facts.shapes.get(node.input[1])
        known = shape is not None and None not in shape
        return "ops/attribute" if shape and known and list(value) != shape[2:] else ""
    if kind == "input_value_range":
        axis, shape = facts.constants.get(node.input[1]), facts.shapes.get(node.input[0])
        if axis is None or shape is None:
            return ""
        return "" if abs(int(numpy_helper.to_array(axis).item())) < len(shape) else "ops/attribute"
    if kind == "inference_only" and len(node.input) > 2 and node.input[2]:
        training = facts.constants.get(node.input[2])
        return "ops/attribute" if training is None or numpy_helper.to_array(training).item() else ""
    if kind == "input_rank_one_of":
        shape = facts.shapes.get(node.input[constraint["input"]])
        return "ops/rank" if shape is not None and len(shape) not in constraint["ranks"] else ""
    if kind == "input_static":
        wanted = constraint["inputs"]
        names = node.input[1:] if wanted == "after_first" else [node.input[i] for i in wanted]
        return "ops/dynamic-parameter" if set(names) - facts.static - {""} else ""
    if kind == "single_output":
        read = {name for other in facts.graph.node for name in other.input}
        read |= {value.name for value in facts.graph.output}
        return "ops/extra-output" if read & set(node.output[1:]) - {""} else ""
    return "ops/not-foldable" if kind == "constant_foldable_only" else ""


def absent(facts: Facts, node: onnx.NodeProto, runtime: str) -> str:
    """Severity with which the layer table denies the op, "" if it does not."""
    op, column = node.op_type, COLUMN[runtime]
    if op in ("Shape", "If", "Erf"):
        return ""  # checked by separate rules
    if op in ("QuantizeLinear", "DequantizeLinear"):
        return ""  # the converter strips them (--keep_quant_nodes keeps them)
    if op == "HardSigmoid" and any(
        other.op_type == "Mul" and set(other.input) == {node.input[0], node.output[0]}
        for other in facts.graph.node
    ):
        return ""  # x * HardSigmoid(x): the HardSwish layer, whose row is the same on every runtime
    if op in ROWLESS:
        candidates = ROWLESS[op]["candidate_layers"]
        if ROWLESS[op]["class"] == "folded_or_removed" or any(ROWS[c][column] for c in candidates):
            return ""
        return "warning" if candidates else "info"
    layers = LAYERS["onnx_to_layers"][op]
    shape = facts.shapes.get(node.input[0]) if node.input else None
    rank = None if shape is None else len(shape)
    if op in ("Resize", "Upsample"):
        mode = facts.attribute(node, "mode", "nearest")
        special = "ResizeNearestNeighbor" if mode == "nearest" else "ResizeBilinear"
        plain = op == "Resize" and (mode == "cubic" or (rank is not None and rank != 4))
        layers = ["Resize"] if plain else [special]
    elif any(layer.endswith("3d") for layer in layers) and rank is not None:
        layers = [layer for layer in layers if layer.endswith("3d") == (rank >= 5)]
    missing = [layer for layer in layers if not ROWS[layer][column]]
    if not missing:
        return ""
    derived = any(c["onnx"] == op and c.get("derived") for c in LAYERS["onnx_to_layers_conditions"])
    partly = len(missing) < len(layers) and op != "ReduceLogSumExp"
    if runtime == "htp" and {"float", "quantized"} <= set(TAKEN_THOUGH_DENIED.get(op, ())):
        derived = True  # two sources contradict each other, so the verdict is less sure
    return "info" if partly else "warning" if derived else "error"


def disagreements(path: Path, runtime: str) -> list[str]:
    """One line per verdict that only one side gives."""
    wanted = expected(onnx.load(path, load_external_data=False), runtime)
    outcome = lint_file(Job(path, Target((Runtime(runtime),))))
    said = {
        (finding.rule, finding.location.node_index or 0, finding.severity.value)
        for finding in outcome.diagnostics
        if finding.rule in JUDGED and not finding.location.graph
    }
    if any(finding.rule in LACKS_SIZES for finding in outcome.diagnostics):
        wanted, said = ({v for v in side if v[0] not in FOLLOWS_FROM_SIZES} for side in (wanted, said))
    lines = [
        f"{path.parent.name}/{path.name} {runtime}: tables say {v}, dlclint does not" for v in wanted - said
    ]
    lines += [
        f"{path.parent.name}/{path.name} {runtime}: dlclint says {v}, tables do not" for v in said - wanted
    ]
    return sorted(lines)


def main(arguments: list[str]) -> int:
    """Compare every model under the paths, on every runtime."""
    paths = [
        p for a in arguments for p in (sorted(Path(a).rglob("*.onnx")) if Path(a).is_dir() else [Path(a)])
    ]
    lines: list[str] = []
    for path in paths:
        for runtime in COLUMN:
            lines.extend(disagreements(path, runtime))
    print("\n".join(lines))
    by_rule = Counter(line.partition("('")[2].partition("'")[0] for line in lines)
    print(f"{len(paths)} models on {len(COLUMN)} runtimes: {len(lines)} disagreements {dict(by_rule) or ''}")
    return 1 if lines or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
