"""The data check passes on the real tables and fails on damaged ones."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

from dlclint_schemas import __main__ as check
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import Constraint, op_table


def test_real_tables_pass() -> None:
    assert check.main(["--check"]) == 0


def test_missing_row_fails() -> None:
    found = dict(check.COUNTS, layers=133)
    assert list(check.count_failures(found)) == ["layers: 133 rows, the document has 134"]


def test_damaged_layers_fail() -> None:
    table = layer_table()
    rows = dict(table.rows)
    row = rows.pop("Argmax")
    assert len(list(check.layer_failures(dataclasses.replace(table, rows=rows)))) == 2
    rows["Argmax"] = dataclasses.replace(row, runtimes=MappingProxyType({**row.runtimes, "aip": False}))
    failures = list(check.layer_failures(dataclasses.replace(table, rows=rows)))
    assert failures == ["layer Argmax: AIP differs from DSP v66"]


def test_damaged_ops_fail() -> None:
    table, layers = op_table(), layer_table()
    unreal = dataclasses.replace(table.rows["Relu"], versions=(1, 6, 7))
    undeclared = dataclasses.replace(table.rows["Abs"], constraints=(Constraint("odd", "Abs", {}),))
    rows = {**table.rows, "Relu": unreal, "Abs": undeclared}
    failures = list(check.op_failures(dataclasses.replace(table, rows=rows), layers))
    assert sorted(failures) == [
        "op Abs: constraint kind odd is not declared",
        "op Relu: version 7 is not in the onnx registry",
    ]
