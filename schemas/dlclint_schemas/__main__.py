"""`python -m dlclint_schemas --check`: all rows of the tables are present, and every version exists."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import onnx

from dlclint_schemas.devices import device_table
from dlclint_schemas.layers import LayerTable, layer_table
from dlclint_schemas.limitations import limit_table
from dlclint_schemas.ops import TABLES, WHOLE, OpTable, op_table
from dlclint_schemas.releases import changes, releases
from dlclint_schemas.resource import load

COUNTS = {"ops": 122, "layers": 134, "devices": 45, "limits": 64}
COLUMNS = {"cpu", "gpu", "aip", "htp", "dsp_v66"}
NO_ONNX_OP = {"FC", "ScaledTanh"}
"""Rows of the ops table that are no longer ONNX ops (facts: document slips)."""


def count_failures(counts: dict[str, int]) -> Iterator[str]:
    """One line for each table that does not have the rows of its document."""
    for table, expected in COUNTS.items():
        if counts[table] != expected:
            yield f"{table}: {counts[table]} rows, the document has {expected}"


def layer_failures(table: LayerTable) -> Iterator[str]:
    """Numbering, runtime columns, AIP against DSP v66, and that every link leads to a row."""
    if sorted(row.number for row in table.rows.values()) != list(range(1, len(table.rows) + 1)):
        yield "layers: the rows are not numbered from 1 without gap"
    for row in table.rows.values():
        if set(row.runtimes) != COLUMNS:
            yield f"layer {row.name}: runtime columns are {sorted(row.runtimes)}"
        elif row.runtimes["aip"] != row.runtimes["dsp_v66"]:
            yield f"layer {row.name}: AIP differs from DSP v66"
    for op, layers in table.onnx_to_layers.items():
        for layer in layers:
            if layer not in table.rows:
                yield f"op {op}: leads to layer {layer}, which has no row"


def op_failures(ops: OpTable, layers: LayerTable) -> Iterator[str]:
    """Every constraint kind is declared, every op has a layer or a reason, every version is real."""
    newest = onnx.defs.onnx_opset_version()
    real: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            real.setdefault(schema.name, set()).add(schema.since_version)
    for row in ops.rows.values():
        for constraint in row.constraints:
            if constraint.kind not in ops.constraint_kinds:
                yield f"op {row.name}: constraint kind {constraint.kind} is not declared"
        if row.name not in layers.onnx_to_layers and row.name not in layers.rowless:
            yield f"op {row.name}: has neither a layer nor a reason for having none"
        if row.name not in NO_ONNX_OP:
            for version in (*row.versions, *row.unlisted):
                if version <= newest and version not in real.get(row.name, set()):
                    yield f"op {row.name}: version {version} is not in the onnx registry"


def schema_failures(name: str, data: dict[str, Any]) -> Iterator[str]:
    """The errors of `<name>.schema.json` in the data."""
    # Imported here because only this check needs it.
    import jsonschema

    schema = json.loads(files(__package__).joinpath(f"{name}.schema.json").read_bytes())
    for error in jsonschema.Draft202012Validator(schema).iter_errors(data):
        yield f"{name}: {'/'.join(map(str, error.path))}: {error.message[:200]}"


def limit_failures(limits: dict[str, Any]) -> Iterator[str]:
    """Constants that no entry of the limitations defines."""
    machines = [entry["machine"] for entry in limits["limits"] if "machine" in entry]
    defined = {machine.get("name") for machine in machines if machine["kind"] == "constants"}
    for machine in machines:
        for name in machine.get("constants", ()):
            if name not in defined:
                yield f"limitations: no entry defines the constant {name}"


def release_failures(layers: LayerTable) -> Iterator[str]:
    """Changes of ops that ONNX does not have, and unknown releases."""
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()} | {"GroupQueryAttention"}
    for change in changes():
        for op in change.ops:
            if op not in known and op not in layers.onnx_to_layers:
                yield f"release {change.since}: ONNX has no op {op}"
        for name in filter(None, (change.since, change.not_before)):
            if name not in releases():
                yield f"release {name} is not among those known"


def main(arguments: list[str]) -> int:
    """Print one line per failure; exit status 1 if there is any."""
    if arguments != ["--check"]:
        print("usage: python -m dlclint_schemas --check", file=sys.stderr)
        return 2
    ops, layers = op_table(WHOLE), layer_table()
    counts = {
        "ops": len(ops.rows),
        "layers": len(layers.rows),
        "devices": len(device_table().rows),
        "limits": len(limit_table()),
    }
    failures = [*count_failures(counts), *layer_failures(layers), *op_failures(ops, layers)]
    for table in TABLES[1:]:
        failures += op_failures(op_table(table), layers)
    limits = load("snpe_limitations")
    failures += [*schema_failures("limitations", limits), *limit_failures(limits)]
    failures += [*schema_failures("releases", load("sdk_releases")), *release_failures(layers)]
    for failure in failures:
        print(failure)
    if not failures:
        print(", ".join(f"{count} {table}" for table, count in counts.items()) + ": all there, all real")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
