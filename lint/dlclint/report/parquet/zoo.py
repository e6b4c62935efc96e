"""Format `parquet` of `dlclint zoo`: one row for each row of its tables, which `table` names.

A column that a table does not have is null.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

import pyarrow
import pyarrow.parquet

from dlclint.report.json.zoo import zoo_report
from dlclint.zoo import Zoo

TABLES = ("runtimes", "fixes", "ops", "rules", "chips")
"""The tables, named as in the JSON report."""
_TEXTS = ("table", "rule", "severity", "op", "runtime", "soc", "fix", "help")
_NUMBERS = (
    "models",
    "alone",
    "nodes",
    "findings",
    "whole",
    "split",
    "no",
    "stopped",
    "refused",
    "at_risk",
    "errors",
)


def render(zoo: Zoo, stream: TextIO | None) -> bytes:
    """The file; values that are in no table are in its metadata."""
    types = [(name, pyarrow.string()) for name in _TEXTS] + [(name, pyarrow.int64()) for name in _NUMBERS]
    whole = zoo_report(zoo)
    about = {
        "dlclint": zoo.version,
        "models": str(zoo.models),
        **{f"converts {word}": str(number) for word, number in whole["converts"].items()},
        "overrides": str(zoo.overrides),
    }
    table = pyarrow.Table.from_pylist(list(_rows(whole)), pyarrow.schema(types, about))
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer)
    return bytes(buffer.getvalue())


def _rows(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return ({"table": name, **row} for name in TABLES for row in whole[name])
