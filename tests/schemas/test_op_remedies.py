"""Remedies lead to ops that the converter's table has."""

from __future__ import annotations

import re

import onnx
import pytest

from dlclint_schemas.ops import op_table
from dlclint_schemas.remedies import remedy
from dlclint_schemas.resource import load

ENTRIES = load("op_remedies")["remedies"]
OPS = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
NAMED_AS_SOURCES = {"Attention", "DequantizeLinear", "Scan", "If"}
"""Ops that a remedy mentions as part of the model, or that the quantizer reads."""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["ops"][0])
def test_a_remedy_leads_to_ops_of_the_table(entry: dict[str, object]) -> None:
    named = set(re.findall(r"\b[A-Z][A-Za-z0-9]+\b", str(entry["help"]))) & OPS
    assert named - set(entry["ops"]) - NAMED_AS_SOURCES <= set(op_table().rows), entry  # type: ignore[arg-type]


def test_every_op_that_onnx_has_and_the_table_lacks_is_known_or_has_no_remedy() -> None:
    lacking = sorted(OPS - set(op_table().rows))
    without = [op for op in lacking if not remedy(op)]
    assert len(without) < len(lacking) / 2, without


def test_a_domain_has_a_remedy_of_its_own() -> None:
    assert "eager" in remedy("MultiHeadAttention", "com.microsoft")
    assert remedy("Anything", "com.microsoft") and not remedy("Anything", "my.domain") and not remedy("Relu")
