"""The data check passes on the real tables and fails on damaged ones."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest

from dlclint_schemas import __main__ as check
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import NEWEST, WHOLE, Constraint, op_table
from dlclint_schemas.resource import load


def test_real_tables_pass() -> None:
    assert check.main(["--check"]) == 0


def test_missing_row_fails() -> None:
    counts = dict(check.COUNTS, layers=133)
    assert list(check.count_failures(counts)) == ["layers: 133 rows, the document has 134"]


def test_damaged_layers_fail() -> None:
    table = layer_table()
    rows = dict(table.rows)
    row = rows.pop("Argmax")
    assert len(list(check.layer_failures(dataclasses.replace(table, rows=rows)))) == 2
    rows["Argmax"] = dataclasses.replace(row, runtimes=MappingProxyType({**row.runtimes, "aip": False}))
    failures = list(check.layer_failures(dataclasses.replace(table, rows=rows)))
    assert failures == ["layer Argmax: AIP differs from DSP v66"]


def test_damaged_ops_fail() -> None:
    table, layers = op_table(WHOLE), layer_table()
    unreal = dataclasses.replace(table.rows["Relu"], versions=(1, 6, 7))
    undeclared = dataclasses.replace(table.rows["Abs"], constraints=(Constraint("odd", "Abs", {}),))
    rows = {**table.rows, "Relu": unreal, "Abs": undeclared}
    failures = list(check.op_failures(dataclasses.replace(table, rows=rows), layers))
    assert sorted(failures) == [
        "op Abs: constraint kind odd is not declared",
        "op Relu: version 7 is not in the onnx registry",
    ]


def test_the_newer_table_lists_what_it_adds_and_falls_back() -> None:
    """80-63442-10: Conv 22 and Constant 24 came in; nothing after Einsum could be read."""
    old, new = op_table(WHOLE), op_table(NEWEST)
    assert set(new.rows) == set(old.rows)
    assert new.rows["Conv"].versions == (1, 11, 22)
    assert 22 not in old.rows["Conv"].versions
    assert new.rows["Constant"].versions[-1] == 24
    assert new.stated_max_opset == 24
    assert new.rows["Relu"] == old.rows["Relu"]
    assert sum(row.document.startswith("80-63442-10") for row in new.rows.values()) == 24
    assert new.document == old.document
    assert new.rows["Elu"].versions == (1, 6, 22)
    assert new.rows["Elu"].document == "80-63442-2 (October 2025), Supported ONNX Ops"
    assert not any(set(row.versions) & set(row.unlisted) for row in new.rows.values())
    with pytest.raises(KeyError):
        op_table("snpe-1.0")


def test_damaged_limits_fail() -> None:
    limits = load("snpe_limitations")
    assert not [*check.schema_failures("limitations", limits), *check.limit_failures(limits)]
    machines = {entry["id"]: entry["machine"] for entry in limits["limits"] if "machine" in entry}
    machines["LIM012"]["constants"] = ["Unheard"]
    assert list(check.limit_failures(limits)) == ["limitations: no entry defines the constant Unheard"]
    machines["LIM012"]["applies_to"] = "every layer"
    machines["LIM025"]["except_layers"] = "depthwise"
    places = {failure.split(":")[1].strip() for failure in check.schema_failures("limitations", limits)}
    assert {"limits/11/machine", "limits/24/machine"} <= places
